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
    """Reset all connections to a server, and refuse new ones for a while."""
    STALL = "stall"
    """Let nothing through to a server and back, with the connections open, for a while."""
    ONE_WAY = "one way"
    """Let everything through to a server, and nothing back, for a while."""
    FORGET_CLIENTS = "forget clients"
    """End all connections to a server where they begin, while the server takes them for open, for a while."""
    FORGET_SERVERS = "forget servers"
    """End all connections to a server where they end, while its clients take them for open, for a while."""
    DROP_ANSWERS = "drop answers"
    """Let each COMMIT, or each publish, through, and reset its connection instead of its answer: was it done?"""
    SLOW = "slow"
    """Have each piece to and from a server come 200 ms late."""
    DRIP = "drip"
    """Have the beginning of each piece to and from a server come byte by byte."""
    FLOOD = "flood"
    """Have one company send hundreds of requests at once."""
    REGISTER = "register"
    """Register an insurer and two partners, which then send requests like the others."""
    DELETE_TOPIC = "delete topic"
    """Delete the topic that a company reads, and make it again after a while."""


KAFKA, POSTGRES, COMPANIES = "kafka", "postgres", "companies"
SERVERS = (KAFKA, POSTGRES)
_SERVICES = tuple(REGISTRY)
_ON_THE_ROAD = ("permissions", "claims", "delivery")
_TARGETS: dict[Kind, Sequence[str]] = {
    Kind.KILL: (*_SERVICES, *_ON_THE_ROAD, *_ON_THE_ROAD, *SERVERS),
    Kind.HANG: (*_SERVICES, *_ON_THE_ROAD, *_ON_THE_ROAD, *SERVERS),
    Kind.ADD: _SERVICES,
    Kind.FLOOD: (COMPANIES,),
    Kind.REGISTER: (COMPANIES,),
    Kind.DELETE_TOPIC: (COMPANIES,),
}
"""What each can happen to; the others happen to servers."""
_OFTEN = {Kind.KILL: 6, Kind.HANG: 4, Kind.ADD: 3, Kind.CUT: 2, Kind.STALL: 2, Kind.DROP_ANSWERS: 2}
_OVER_AT_ONCE = (Kind.KILL, Kind.FLOOD, Kind.REGISTER)


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
        kind = chance.choices(tuple(Kind), weights=[_OFTEN.get(kind, 1) for kind in Kind])[0]
        target = chance.choice(_TARGETS.get(kind, SERVERS))
        faults.append(Fault(at_s, kind, target, 0.0 if kind in _OVER_AT_ONCE else chance.uniform(1, longest_s)))
        at_s += chance.expovariate(1 / 3)
    return faults
