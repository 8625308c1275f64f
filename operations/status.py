"""`claimbus status`: how far each service is behind, what waits for people, and whether all is well."""

import asyncio
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from http.client import HTTPException
from typing import Annotated, NoReturn

import typer
from confluent_kafka import Consumer, KafkaException, TopicPartition
from rich.console import RenderableType
from rich.table import Table

from operations.connection import Connection, Unreachable, load_connection
from operations.dead_letters import DeadLetters
from operations.groups import Groups
from operations.options import AsJson, ConnectionFile, fail, out, print_json, sentence_of
from operations.patience import ask
from operations.services import REGISTRY
from services.claims.inventory import count_temporary_claims
from shared.contract.topics import DIRECTORY, OPERATOR, SERVICES, TOPICS, Topic
from shared.storage.database import DatabaseAway

_TIMEOUT_S = 15.0
_DATABASE_S = 5.0
_READ_S = 5.0
_LATE_AFTER_S = 300.0
_WATCH_EVERY_S = 2.0

Place = tuple[str, int, int]
"""A topic, a partition and an offset."""


@dataclass(frozen=True)
class ServiceStatus:
    """One service: what all its instances together have still to read, and what each says of itself."""

    service: str
    lag: int | None
    """How many messages; None if it has never read anything and nothing is known of any instance."""
    lag_seconds: float | None
    """The age of the oldest of them by append time, 0 if there is none; None like `lag`."""
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

    def is_late(self, after_s: float) -> bool:
        """Whether a service has not read a message that is so old."""
        return any((service.lag_seconds or 0) > after_s for service in self.services)


LateAfter = Annotated[
    float, typer.Option("--late-after", help="Seconds that the oldest unread message may be old, for status 0.", min=0)
]


def status(
    watch: Annotated[bool, typer.Option("--watch", help="Look again every few seconds, until Ctrl-C.")] = False,
    connection_file: ConnectionFile = None,
    as_json: AsJson = False,
    late_after: LateAfter = _LATE_AFTER_S,
) -> None:
    """The lag of each service, temporary claims that wait, dead letters, health.

    Status 1 if any instance is not ready, or a service is late.
    """
    if watch and as_json:
        raise typer.BadParameter("--watch is for people; with --json, run it again and again")
    try:
        connection = load_connection(connection_file)
        if watch:
            _watch(connection)
        now = look(connection)
    except Unreachable as error:
        fail(error)
    except KafkaException as error:
        fail(f"the bus cannot be reached: {error.args[0].str()}")
    if as_json:
        print_json(asdict(now) | {"healthy": now.healthy})
    else:
        _print(now)
    if not now.healthy or now.is_late(late_after):
        raise typer.Exit(1)


def look(connection: Connection) -> Status:
    """Ask everything. Raises Unreachable or KafkaException."""
    ends = _ends(connection)
    with Groups(connection) as groups:
        unread = {
            service: _unread(groups, service, ends, runs=service in connection.health)
            for service in SERVICES
            if service in (connection.health or REGISTRY)
        }
    appended = _append_times(connection, {place for places in unread.values() for place in places or ()})
    services = [
        ServiceStatus(
            service,
            None if places is None else sum(places.values()),
            None if places is None else _age_s(appended[place] for place in places if place in appended),
            [_health(at) for at in connection.health.get(service, [])],
        )
        for service, places in unread.items()
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
    """The first and the next offset of every partition."""
    problems: list[str] = []
    client = connection.client() | {"group.id": f"{OPERATOR}.claimbus"}
    consumer = Consumer(client | {"error_cb": lambda error: problems.append(error.str())})
    try:
        topics = ask(lambda wait_s: consumer.list_topics(timeout=wait_s), _TIMEOUT_S).topics
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


def _unread(
    groups: Groups, service: str, ends: dict[tuple[str, int], tuple[int, int]], *, runs: bool
) -> dict[Place, int] | None:
    """Count what a service has not read of the topics that it reads in a group, by where each partition goes on.

    One that has never read anything has everything to read, if it is known that it `runs`; else it is None.
    """
    read = [topic for topic in REGISTRY[service].reads if topic != DIRECTORY]
    its = {partition: at for partition, at in ends.items() if any(_is(topic, partition[0]) for topic in read)}
    committed = groups.committed(service, its)
    if not committed and not runs:
        return None
    places = {(*partition, max(first, committed.get(partition, first))): end for partition, (first, end) in its.items()}
    return {place: end - place[2] for place, end in places.items() if end > place[2]}


def _append_times(connection: Connection, places: set[Place]) -> dict[Place, float]:
    """When the records at these places were appended, in seconds since 1970 UTC; unreadable ones are left out."""
    if not places:
        return {}
    consumer = Consumer(connection.client() | {"group.id": f"{OPERATOR}.claimbus", "enable.auto.commit": False})
    found: dict[tuple[str, int], float] = {}
    try:
        # A place can be several services', at different offsets of the same partition: one after the other.
        appended: dict[Place, float] = {}
        left = set(places)
        while left:
            together = {place[:2]: place for place in left}
            left -= set(together.values())
            consumer.assign([TopicPartition(*place) for place in together.values()])
            found.clear()
            deadline = time.monotonic() + _READ_S
            while len(found) < len(together) and time.monotonic() < deadline:
                for message in consumer.consume(500, 0.2):
                    if message.error() is None:
                        found.setdefault(
                            (str(message.topic()), message.partition() or 0), message.timestamp()[1] / 1000
                        )
            appended |= {together[partition]: at for partition, at in found.items()}
        return appended
    finally:
        consumer.close()


def _age_s(appended: Iterable[float]) -> float:
    return max(0.0, time.time() - min(appended, default=time.time()))


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


def _watch(connection: Connection) -> NoReturn:
    """Show it again and again; what cannot be asked now may be in a moment."""
    while True:
        try:
            shown = list(_shown(look(connection)))
        except (Unreachable, KafkaException) as error:
            shown = [sentence_of(error)]
        if out.is_terminal:
            out.clear()
        out.print(time.strftime("%H:%M:%S"))
        for part in shown:
            out.print(part)
        time.sleep(_WATCH_EVERY_S)


def _print(now: Status) -> None:
    for part in _shown(now):
        out.print(part)


def _shown(now: Status) -> Iterator[RenderableType]:
    table = Table("service", "behind", "oldest", "health", box=None)
    for service in now.services:
        behind = "–" if service.lag is None else str(service.lag)
        oldest = f"{service.lag_seconds:.0f} s" if service.lag else "–"
        table.add_row(service.service, behind, oldest, "; ".join(service.health))
    yield table
    yield f"dead letters: {now.dead_letters}"
    if now.temporary_claims is None:
        yield "temporary claims: not known, since the claims database does not answer or is not in the connection"
    for insurer, count in (now.temporary_claims or {}).items():
        yield f"temporary claims of {insurer}: {count}"
