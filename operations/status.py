"""`claimbus status`: how far each service is behind, what waits for people, and whether all is well."""

import asyncio
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass
from http.client import HTTPException

import typer
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from rich.table import Table

from operations.connection import RUN_HERE, Connection, Unreachable, load_connection
from operations.dead_letters import DeadLetters
from operations.options import AsJson, ConnectionFile, fail, out, print_json
from services.claims.store import count_temporary_claims
from shared.contract.topics import OPERATOR, SERVICES, TOPICS, Topic
from shared.runtime.database import DatabaseAway

_TIMEOUT_S = 15.0
_DATABASE_S = 5.0


@dataclass(frozen=True)
class ServiceStatus:
    """One service: how many messages it has still to read, and what each of its instances says of itself."""

    service: str
    lag: int | None
    """None if it has never read anything."""
    health: list[str]


@dataclass(frozen=True)
class Status:
    """The whole system."""

    services: list[ServiceStatus]
    dead_letters: int
    temporary_claims: dict[str, int] | None
    """Temporary claims that are neither converted nor linked nor cancelled, by insurer; None without the database."""

    @property
    def healthy(self) -> bool:
        """Whether every instance that we know of is ready."""
        return all(health.split(";")[0] == "ready" for service in self.services for health in service.health)


def status(connection_file: ConnectionFile = None, as_json: AsJson = False) -> None:
    """Tell the lag of each service, temporary claims that wait, dead letters, health. Status 1 if any is not ready."""
    try:
        now = look(load_connection(connection_file))
    except Unreachable as error:
        fail(error)
    except KafkaException as error:
        fail(f"the bus cannot be reached: {error.args[0].str()}")
    if as_json:
        print_json(asdict(now) | {"healthy": now.healthy})
    else:
        _tell(now)
    if not now.healthy:
        raise typer.Exit(1)


def look(connection: Connection) -> Status:
    """Ask everything. Raises Unreachable or KafkaException."""
    ends = _ends(connection)
    admin = AdminClient(connection.client())
    services = [
        ServiceStatus(service, _lag(admin, service, ends), [_health(at) for at in connection.health.get(service, [])])
        for service in SERVICES
        if service in (connection.health or RUN_HERE)
    ]
    return Status(
        services=services,
        dead_letters=len(DeadLetters(connection).open()),
        temporary_claims=_waiting(connection.databases.get("claims")),
    )


def _waiting(claims_database: str | None) -> dict[str, int] | None:
    async def count(url: str) -> dict[str, int]:
        async with asyncio.timeout(_DATABASE_S):
            return await count_temporary_claims(url)

    try:
        return None if claims_database is None else asyncio.run(count(claims_database))
    except (OSError, TimeoutError, DatabaseAway):
        return None


def _ends(connection: Connection) -> dict[tuple[str, int], tuple[int, int]]:
    """Tell the first and the next offset of every partition."""
    problems: list[str] = []
    client = connection.client() | {"group.id": f"{OPERATOR}.claimbus"}
    consumer = Consumer(client | {"error_cb": lambda error: problems.append(error.str())})
    try:
        topics = consumer.list_topics(timeout=_TIMEOUT_S).topics
        return {
            (name, number): consumer.get_watermark_offsets(TopicPartition(name, number), timeout=_TIMEOUT_S)
            for name, metadata in topics.items()
            if any(_is(topic, name) for topic in TOPICS)
            for number in metadata.partitions
        }
    except KafkaException as error:
        consumer.poll(0)  # to hear what the problem was, such as a wrong password
        raise Unreachable(f"the bus cannot be reached: {[*problems, error.args[0].str()][0]}") from error
    finally:
        consumer.close()


def _lag(admin: AdminClient, service: str, ends: dict[tuple[str, int], tuple[int, int]]) -> int | None:
    """Count what a service has not read of the topics that it reads in a group."""
    read = [topic for topic in TOPICS if service in topic.read_by and topic.name != "directory"]
    (answer,) = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(service)]).values()
    committed: dict[tuple[str, int], int] = {
        (p.topic, p.partition): p.offset for p in answer.result(timeout=_TIMEOUT_S).topic_partitions
    }
    if not committed:
        return None
    return sum(
        max(0, end - max(first, committed.get(partition, first)))
        for partition, (first, end) in ends.items()
        if any(_is(topic, partition[0]) for topic in read)
    )


def _is(topic: Topic, name: str) -> bool:
    return name.startswith(topic.prefix) if topic.per_company else name == topic.name


def _health(address: str) -> str:
    try:
        with urllib.request.urlopen(f"{address}/health/ready", timeout=5) as answer:  # noqa: S310 - our own address
            return str(answer.read().decode(errors="replace"))
    except urllib.error.HTTPError as error:
        return error.read().decode(errors="replace")
    except (OSError, HTTPException):
        return "does not answer"


def _tell(now: Status) -> None:
    table = Table("service", "behind", "health", box=None)
    for service in now.services:
        table.add_row(service.service, "–" if service.lag is None else str(service.lag), "; ".join(service.health))
    out.print(table)
    out.print(f"dead letters: {now.dead_letters}")
    if now.temporary_claims is None:
        out.print("temporary claims: not known, since the claims database does not answer or is not in the connection")
    for insurer, count in (now.temporary_claims or {}).items():
        out.print(f"temporary claims of {insurer}: {count}")
