"""Which faults happen when: all of it follows from the seed. Pure."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from operations.services import REGISTRY


class Kind(StrEnum):
    """What is done."""

    KILL = "kill"
    """End a process at once; it is started again."""
    HANG = "hang"
    """Stop a process, with its children, and let it go on after a while."""
    ADD = "add"
    """Start one more instance of a service, and stop it cleanly after a while: partitions move in mid-batch."""
    CUT = "cut"
    """Reset all connections to PostgreSQL, and refuse new ones for a while."""
    STALL = "stall"
    """Let nothing through to PostgreSQL and back, with the connections open, for a while."""
    DROP_ANSWERS = "drop answers"
    """Let each COMMIT through, and reset its connection instead of its answer: was it committed?"""
    SLOW = "slow"
    """Have each piece to and from PostgreSQL come late."""


KAFKA, POSTGRES = "kafka", "postgres"
_SERVICES = tuple(REGISTRY)
_ON_THE_ROAD = ("permissions", "claims", "delivery")


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault."""

    at_s: float
    """After the start."""
    kind: Kind
    target: str
    for_s: float = 0.0
    """How long it lasts; 0 of what is over at once."""

    def __str__(self) -> str:
        lasting = f" for {self.for_s:.1f} s" if self.for_s else ""
        return f"{self.at_s:6.1f} s: {self.kind} {self.target}{lasting}"


def schedule(seed: int, seconds: float, *, longest_s: float = 12.0) -> Sequence[Fault]:
    """Make the faults of so many seconds, alone and overlapping; one lasts no longer than `longest_s`."""
    chance = random.Random(seed)
    faults: list[Fault] = []
    at_s = chance.uniform(1, 3)
    while at_s < seconds:
        kind = chance.choices(tuple(Kind), weights=(6, 4, 3, 2, 2, 2, 1))[0]
        if kind in (Kind.KILL, Kind.HANG):
            targets = (*_SERVICES, *_ON_THE_ROAD, *_ON_THE_ROAD, KAFKA, POSTGRES)
            target = chance.choice(targets)
        else:
            target = chance.choice(_SERVICES) if kind is Kind.ADD else POSTGRES
        faults.append(Fault(at_s, kind, target, 0.0 if kind is Kind.KILL else chance.uniform(1, longest_s)))
        at_s += chance.expovariate(1 / 3)
    return faults
