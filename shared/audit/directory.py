"""Whether what the directory remembers was decided right. No I/O."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from shared.audit.violations import Violation, named
from shared.contract.directory_events import DirectoryEvent
from shared.domain.directory import Directory

DIRECTORY = named(
    "directory-decisions-recomputed", "A request about the directory is decided by the directory as it was then."
)
_MOST = 100
"""So many wrong decisions are looked for: each takes as long as reading the directory again."""

Entry = tuple[DirectoryEvent, datetime]
"""A message of `directory` with its append time."""


def check_directory(
    entries: Sequence[Entry],
    request_of: Callable[[DirectoryEvent], Any],
    settle: Callable[[Directory, Any], DirectoryEvent],
) -> Iterator[Violation]:
    """Decide each request again whose message is still there; `request_of` returns None for the others.

    An instance of permissions may not have read yet what another one put into the directory a moment before. So any
    state of the directory will do between what was appended before the request and what stands before its decision.
    """
    apart = clocks_apart(entries)
    directory = Directory()
    found = 0
    for number, (event, at) in enumerate(entries):
        received = request_of(event) if directory.settled(event.company, event.request_id) is None else None
        if received is not None and not _is(settle(directory, received), event):
            earlier = _states(entries[:number], event.requested_at - apart)
            if not any(_is(settle(state, received), event) for state in earlier):
                found += 1
                about = f"{event.company}/{event.request_id}"
                yield Violation(DIRECTORY, about, f"directory has {event.NAME}, which is not what comes of it")
        if found >= _MOST:
            return
        directory.apply(event, at)


def clocks_apart(entries: Sequence[Entry]) -> timedelta:
    """Return how long before its request something was appended at most, by the brokers' clocks; 0 where they agree."""
    return max([timedelta(0), *(event.requested_at - at for event, at in entries)])


def _states(entries: Sequence[Entry], since: datetime) -> Iterator[Directory]:
    directory = Directory()
    for event, at in entries:
        if at > since:
            yield directory
        directory.apply(event, at)


def _is(decided: DirectoryEvent, given: DirectoryEvent) -> bool:
    return type(decided) is type(given) and decided.json_bytes() == given.json_bytes()
