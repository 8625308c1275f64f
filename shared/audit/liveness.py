"""Whether what can get on does: looks at lag, progress and readiness over time in, standstills out. No I/O."""

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from shared.audit.violations import Violation

Partition = tuple[str, int]

STANDSTILL = "standstill-is-told"
"""What has something to read, and makes no progress, is not ready."""


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen of a service at a moment."""

    at_s: float
    service: str
    lag: int
    """How much there was to read that it had not committed."""
    progress: Hashable
    """What changes when it gets on, such as its committed offsets."""
    all_ready: bool
    """Whether every instance of it said that it was ready."""


def standstills(looks: Iterable[Look], patience_s: float) -> Iterator[Violation]:
    """Find services that stood still for so long with something to read, and said all the time that they were ready.

    Looks are in the order of time. What nobody could see, as while the brokers were away, has no look, and a gap of
    more than a third of the patience begins anew.
    """
    since: dict[str, Look] = {}
    last: dict[str, float] = {}
    told: set[str] = set()
    for look in looks:
        begun = since.get(look.service)
        unseen = look.at_s - last.get(look.service, look.at_s) > patience_s / 3
        last[look.service] = look.at_s
        if not (look.lag and look.all_ready):
            since.pop(look.service, None)
        elif begun is None or unseen or look.progress != begun.progress:
            since[look.service] = look
        elif look.at_s - begun.at_s > patience_s and look.service not in told:
            told.add(look.service)
            for_s = look.at_s - begun.at_s
            yield Violation(
                STANDSTILL, look.service, f"ready for {for_s:.0f} s with {look.lag} to read, and no progress"
            )


def lag_of(ends: Mapping[Partition, int], committed: Mapping[Partition, int]) -> int:
    """How much of partitions is not committed."""
    return sum(max(0, end - max(0, committed.get(partition, 0))) for partition, end in ends.items())
