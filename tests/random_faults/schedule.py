"""Which faults happen when: all of it follows from the seed. Pure."""

import random
from collections.abc import Collection, Sequence
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
    FAIL_STORE = "fail store"
    """Have the store of media answer 503 to everything."""
    FILL_STORE = "fill store"
    """Have the store of media answer to what is to be written that it is full."""
    SPOIL_STORE = "spoil store"
    """Have the store of media give files with wrong bytes."""
    HALVE_UPLOADS = "halve uploads"
    """Reset the connection in the middle of each file that is sent to the store of media."""
    FORGET_OFFSETS = "forget offsets"
    """Have what a service has committed expire: stop all its instances, delete its group, start them again."""
    EXPIRE = "expire"
    """Delete all requests of companies that ask again, read or not, and what everybody has read of other topics."""
    DELETE_REQUESTS = "delete requests"
    """Delete the topic of a company's requests, and make it again after a while."""
    REFUSE_CONNECTIONS = "refuse connections"
    """Have PostgreSQL end all connections of the services, and refuse new ones: there are too many."""
    FILL_DISK = "fill disk"
    """Leave no byte on the disk that PostgreSQL writes to, for a while."""
    REWIND = "rewind"
    """Set what a service has committed of half of its partitions back to their beginning, as an operator could."""
    MOVE_LEADERS = "move leaders"
    """Have each partition led by another broker."""
    LEAVE_ONE = "leave one"
    """End all brokers at once but one, for a while: fewer copies are in sync than acknowledge a message."""
    UPGRADE = "upgrade"
    """Restart the instances of a service one after the other in the new version, and after a while in the old one."""
    FAIL_OVER = "fail over"
    """End PostgreSQL at once, and with it the commits of the last seconds, as a replica that lacks them takes over."""


class Extra(StrEnum):
    """Faults that a run has only where it is told so."""

    MEDIA = "media"
    """Of the store of media, with companies that upload files and name them in reports."""
    RETENTION = "retention"
    """Of what the brokers keep: messages, topics and committed offsets."""
    DATABASE = "database"
    """Of PostgreSQL itself."""
    FAILOVER = "failover"
    """PostgreSQL loses its last commits whenever it is ended."""
    BROKERS = "brokers"
    """Of one of three brokers, which keep copies of each other's partitions, and whose clocks are apart."""
    UPGRADE = "upgrade"
    """Of another version of the services, which runs beside this one."""


KAFKA, POSTGRES, STORE, COMPANIES = "kafka", "postgres", "store", "companies"
SERVERS = (KAFKA, POSTGRES)
BROKERS = ("broker 1", "broker 2", "broker 3")
CONTROLLER = "controller"
"""Of the brokers; it leads no partition."""
_SERVICES = tuple(REGISTRY)
_ON_THE_ROAD = ("permissions", "claims", "delivery")
_TARGETS: dict[Kind, Sequence[str]] = {
    Kind.KILL: (*_SERVICES, *_ON_THE_ROAD, *_ON_THE_ROAD, *SERVERS),
    Kind.HANG: (*_SERVICES, *_ON_THE_ROAD, *_ON_THE_ROAD, *SERVERS),
    Kind.ADD: _SERVICES,
    Kind.FLOOD: (COMPANIES,),
    Kind.REGISTER: (COMPANIES,),
    Kind.DELETE_TOPIC: (COMPANIES,),
    Kind.FAIL_STORE: (STORE,),
    Kind.FILL_STORE: (STORE,),
    Kind.SPOIL_STORE: (STORE,),
    Kind.HALVE_UPLOADS: (STORE,),
    Kind.FORGET_OFFSETS: _SERVICES,
    Kind.EXPIRE: (KAFKA,),
    Kind.DELETE_REQUESTS: (COMPANIES,),
    Kind.REFUSE_CONNECTIONS: (POSTGRES,),
    Kind.FILL_DISK: (POSTGRES,),
    Kind.FAIL_OVER: (POSTGRES,),
    Kind.REWIND: _SERVICES,
    Kind.MOVE_LEADERS: (KAFKA,),
    Kind.LEAVE_ONE: BROKERS,
}
"""What each can happen to; the others happen to servers, and to the store of media where there is one."""
_NODES = (*BROKERS, *BROKERS, CONTROLLER)
"""What is killed and hangs too where there are several brokers."""
_ONLY_WITH = {
    Kind.FAIL_STORE: Extra.MEDIA,
    Kind.FILL_STORE: Extra.MEDIA,
    Kind.SPOIL_STORE: Extra.MEDIA,
    Kind.HALVE_UPLOADS: Extra.MEDIA,
    Kind.FORGET_OFFSETS: Extra.RETENTION,
    Kind.EXPIRE: Extra.RETENTION,
    Kind.DELETE_REQUESTS: Extra.RETENTION,
    Kind.REFUSE_CONNECTIONS: Extra.DATABASE,
    Kind.FILL_DISK: Extra.DATABASE,
    Kind.FAIL_OVER: Extra.FAILOVER,
    Kind.REWIND: Extra.RETENTION,
    Kind.MOVE_LEADERS: Extra.BROKERS,
    Kind.LEAVE_ONE: Extra.BROKERS,
    Kind.UPGRADE: Extra.UPGRADE,
}
_OFTEN = {Kind.KILL: 6, Kind.HANG: 4, Kind.ADD: 3, Kind.CUT: 2, Kind.STALL: 2, Kind.DROP_ANSWERS: 2}
_OFTEN |= dict.fromkeys((Kind.FAIL_STORE, Kind.FILL_STORE, Kind.SPOIL_STORE, Kind.HALVE_UPLOADS), 2)
_OFTEN |= {Kind.FAIL_OVER: 2, Kind.MOVE_LEADERS: 2, Kind.LEAVE_ONE: 2, Kind.UPGRADE: 0}
_OVER_AT_ONCE = (
    *(Kind.KILL, Kind.FLOOD, Kind.REGISTER, Kind.FORGET_OFFSETS, Kind.EXPIRE, Kind.REWIND, Kind.MOVE_LEADERS),
    Kind.FAIL_OVER,
)


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


def schedule(seed: int, seconds: float, extras: Collection[Extra] = (), *, longest_s: float = 12.0) -> Sequence[Fault]:
    """Make the faults of so many seconds, alone and overlapping; one lasts no longer than `longest_s`."""
    kinds = [kind for kind in Kind if kind not in _ONLY_WITH or _ONLY_WITH[kind] in extras]
    nodes = _NODES if Extra.BROKERS in extras else ()
    servers = (*SERVERS, *([STORE] if Extra.MEDIA in extras else []), *nodes[: len(BROKERS)])
    targets = dict(_TARGETS)
    for kind in (Kind.KILL, Kind.HANG):
        targets[kind] = (*_TARGETS[kind], *nodes)
    chance = random.Random(seed)
    faults = _upgrades(random.Random(f"{seed}/upgrades"), seconds) if Extra.UPGRADE in extras else []
    at_s = chance.uniform(1, 3)
    while at_s < seconds:
        kind = chance.choices(kinds, weights=[_OFTEN.get(kind, 1) for kind in kinds])[0]
        target = chance.choice(targets.get(kind, servers))
        faults.append(Fault(at_s, kind, target, 0.0 if kind in _OVER_AT_ONCE else chance.uniform(1, longest_s)))
        at_s += chance.expovariate(1 / 3)
    return sorted(faults, key=lambda fault: fault.at_s)


def _upgrades(chance: random.Random, seconds: float) -> list[Fault]:
    """One service after the other, each in the first half, and back in the second: every pair of versions is met."""
    return [
        Fault(at_s, Kind.UPGRADE, service, chance.uniform(0.5, 0.9) * seconds - at_s)
        for service in _SERVICES
        for at_s in [chance.uniform(0.05, 0.5) * seconds]
    ]
