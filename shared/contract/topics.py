"""Every topic: who writes it, who reads it, how long it is kept; users and ACLs follow from it."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

DAY_MS = 24 * 60 * 60 * 1000
KIB = 1024
MIB = 1024 * KIB

SERVICES = ("permissions", "claims", "linking", "reporting", "delivery", "portal", "suggestions")
OPERATOR = "operator"
COMPANY = "<company>"
"""Stands in a topic's name and among its readers and writers for each company."""


class ReadModel(StrEnum):
    """The services whose view of claims is made of events alone: all can be sent to them again (`republish-claim`)."""

    REPORTING = "reporting"
    SUGGESTIONS = "suggestions"
    PORTAL = "portal"


@dataclass(frozen=True)
class Topic:
    """A topic, or with `<company>` in its name one for each company."""

    name: str
    key: str
    written_by: tuple[str, ...]
    read_by: tuple[str, ...]
    kept_ms: int
    """-1 is for ever."""
    partitions: int
    max_message_bytes: int = 5 * MIB
    """A little more than the 4 MiB that we send at most, for headers and batches."""
    compression: str | None = None
    """How the brokers pack it; None leaves it as it was sent."""
    watched_by: tuple[str, ...] = ()
    """Who may see how far it goes and how far its readers have come, without reading it."""
    recovered_by: tuple[str, ...] = ()
    """Who may read it again in no group, for what its database has lost."""

    @property
    def per_company(self) -> bool:
        """Whether there is one for each company."""
        return COMPANY in self.name

    @property
    def prefix(self) -> str:
        """The part of the name before the company."""
        return self.name.removesuffix(COMPANY)

    def of(self, company: str) -> str:
        """The name for a company."""
        return self.name.replace(COMPANY, company)

    def config(self) -> dict[str, str]:
        """The topic's Kafka settings."""
        # A segment is deleted as a whole, so it must not grow old before it is closed.
        segments = {} if self.kept_ms < 0 else {"segment.ms": str(DAY_MS)}
        packed = {} if self.compression is None else {"compression.type": self.compression}
        return (
            segments
            | packed
            | {
                "cleanup.policy": "delete",
                "max.message.bytes": str(self.max_message_bytes),
                "message.timestamp.type": "LogAppendTime",
                "retention.ms": str(self.kept_ms),
            }
        )


REQUESTS = Topic(
    "requests.<company>",
    "claim id",
    (COMPANY, "portal"),
    ("permissions",),
    30 * DAY_MS,
    3,
    max_message_bytes=MIB,
    watched_by=("reporting",),
)
EVENTS = Topic("events.<company>", "claim id or request id", ("delivery",), (COMPANY,), 30 * DAY_MS, 3)
DIRECTORY = Topic(
    "directory", "company, office or user id", ("permissions",), ("permissions", "portal", "reporting"), -1, 1
)
CLAIM_COMMANDS = Topic(
    "claim-commands",
    "claim id",
    ("permissions", "linking", "claims"),
    ("claims",),
    30 * DAY_MS,
    12,
    watched_by=("reporting",),
)
CLAIM_EVENTS = Topic(
    "claim-events",
    "claim id",
    ("claims",),
    ("reporting", "portal", "delivery", "linking", "suggestions"),
    30 * DAY_MS,
    12,
    recovered_by=("claims",),
)
REQUEST_OUTCOMES = Topic(
    "request-outcomes",
    "request id",
    ("permissions", "claims"),
    ("reporting", "portal", "delivery"),
    30 * DAY_MS,
    12,
    recovered_by=("claims",),
)
REPORTS = Topic("reports", "insurer's id", ("reporting",), ("delivery", "portal"), -1, 1)
LINK_REQUESTS = Topic("link-requests", "target claim's id", ("claims",), ("linking",), 30 * DAY_MS, 6)
LINK_SUGGESTIONS = Topic(
    "link-suggestions", "temporary claim's id", ("suggestions",), ("portal", "delivery"), 30 * DAY_MS, 12
)
DEAD_LETTERS = Topic(
    "dead-letters",
    "source topic",
    SERVICES,
    (OPERATOR,),
    90 * DAY_MS,
    1,
    max_message_bytes=8 * MIB,
    compression="gzip",  # a letter of a small message is many times as large, and like those before it
)

TOPICS = (
    REQUESTS,
    EVENTS,
    DIRECTORY,
    CLAIM_COMMANDS,
    CLAIM_EVENTS,
    REQUEST_OUTCOMES,
    REPORTS,
    LINK_REQUESTS,
    LINK_SUGGESTIONS,
    DEAD_LETTERS,
)


class Resource(StrEnum):
    """What an ACL is about."""

    TOPIC = "topic"
    GROUP = "group"


class Operation(StrEnum):
    """What an ACL allows; READ and WRITE include DESCRIBE."""

    READ = "read"
    WRITE = "write"
    DESCRIBE = "describe"


@dataclass(frozen=True, order=True)
class Acl:
    """What a SCRAM user may do, or may not; `prefix` makes the name the beginning of names."""

    user: str
    operation: Operation
    resource: Resource
    name: str
    prefix: bool = False
    allowed: bool = True
    """False takes away what another ACL allows: Kafka lets a refusal win."""


def acls_of_service(service: str) -> list[Acl]:
    """What a service may do: write and read its topics, in the consumer group of its name, and watch others."""
    acls = [Acl(service, Operation.READ, Resource.GROUP, service)]
    for topic in TOPICS:
        for operation, users in (
            (Operation.WRITE, topic.written_by),
            (Operation.READ, (*topic.read_by, *topic.recovered_by)),
            (Operation.DESCRIBE, topic.watched_by),
        ):
            if service in users:
                acls.append(Acl(service, operation, Resource.TOPIC, topic.prefix, topic.per_company))
        if service in topic.watched_by:
            acls += [Acl(service, Operation.DESCRIBE, Resource.GROUP, reader) for reader in topic.read_by]
    if service in REQUESTS.written_by:
        # The operator's requests are no company's: whoever writes for companies must not speak for it.
        acls.append(Acl(service, Operation.WRITE, Resource.TOPIC, REQUESTS.of(OPERATOR), allowed=False))
    return acls


def acls_of_company(company: str) -> list[Acl]:
    """What a company may do: write its requests, read its events, in groups that start with its id and a dot."""
    acls = [Acl(company, Operation.READ, Resource.GROUP, f"{company}.", prefix=True)]
    for topic in TOPICS:
        for operation, users in ((Operation.WRITE, topic.written_by), (Operation.READ, topic.read_by)):
            if COMPANY in users:
                acls.append(Acl(company, operation, Resource.TOPIC, topic.of(company)))
    return acls


def all_acls(companies: Iterable[str]) -> list[Acl]:
    """Every ACL there should be. The operator needs none: it is the cluster's super user."""
    services = [acl for service in SERVICES for acl in acls_of_service(service)]
    return services + [acl for company in companies for acl in acls_of_company(company)]


def company_of_requests(topic: str) -> str:
    """Whose requests a topic holds: the company is that of the topic and nothing else (domain rule 5)."""
    return topic.removeprefix(REQUESTS.prefix)
