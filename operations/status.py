"""`claimbus status`: how far each service is behind, what waits for people, and whether all is well."""

import asyncio
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from http.client import HTTPException
from typing import Annotated, NoReturn

import typer
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from rich.console import RenderableType
from rich.table import Table

from operations.backlog import Place, age_s, append_times, ends_of_topics, is_of, unread
from operations.connection import Connection, Unreachable, load_connection
from operations.dead_letters import DeadLetters
from operations.groups import Groups
from operations.options import AsJson, ConnectionFile, fail, out, print_json, sentence_of
from operations.pausing import paused
from operations.services import REGISTRY
from services.claims.inventory import count_temporary_claims
from shared.contract.topics import DIRECTORY, EVENTS, SERVICES
from shared.storage.database import DatabaseAway

_DATABASE_S = 5.0
_ANSWER_S = 15.0
_LATE_AFTER_S = 300.0
_WATCH_EVERY_S = 2.0


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
class CompanyStatus:
    """What a company has not read of its topic, in one of its groups."""

    company: str
    group: str | None
    """None for a company that has read nothing in a group: it has everything to read, or reads without one."""
    lag: int
    lag_seconds: float
    """The age of the oldest of it by append time, 0 if there is none."""


@dataclass(frozen=True)
class Status:
    """The whole system."""

    services: list[ServiceStatus]
    dead_letters: int
    temporary_claims: dict[str, int] | None
    """Temporary claims that are neither converted nor linked nor cancelled, by insurer; None without the database."""
    paused: list[str]
    """The services and companies that an operator has paused."""
    companies: list[CompanyStatus] | None = None
    """Whatever has least of its messages read comes first; None where it was not asked for."""

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
    companies: Annotated[
        bool, typer.Option("--companies", help="What each company has not read of its events, too.")
    ] = False,
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
            _watch(connection, with_companies=companies)
        now = look(connection, with_companies=companies)
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


def look(connection: Connection, *, with_companies: bool = False) -> Status:
    """Ask everything. Raises Unreachable or KafkaException."""
    ends = ends_of_topics(connection)
    with Groups(connection) as groups:
        places_of = {
            service: _unread(groups, service, ends, runs=service in connection.health)
            for service in SERVICES
            if service in (connection.health or REGISTRY)
        }
    appended = append_times(connection, {place for places in places_of.values() for place in places or ()})
    services = [
        ServiceStatus(
            service,
            None if places is None else sum(places.values()),
            None if places is None else age_s(appended[place] for place in places if place in appended),
            [_health(at) for at in connection.health.get(service, [])],
        )
        for service, places in places_of.items()
    ]
    return Status(
        services=services,
        dead_letters=len(DeadLetters(connection).open()),
        temporary_claims=_waiting(connection.databases.get("claims")),
        paused=paused(connection),
        companies=_companies(connection, ends) if with_companies else None,
    )


def _companies(connection: Connection, ends: Mapping[tuple[str, int], tuple[int, int]]) -> list[CompanyStatus]:
    """What each company has to read, in each of its groups, whose ids begin with its own and a dot."""
    admin = AdminClient(connection.client())
    listed = admin.list_consumer_groups(request_timeout=_ANSWER_S).result().valid
    groups_of = defaultdict[str, list[str]](list)
    for group in sorted(each.group_id for each in listed):
        groups_of[group.partition(".")[0]].append(group)
    its = defaultdict[str, dict[tuple[str, int], tuple[int, int]]](dict)
    for partition, at in ends.items():
        if is_of(EVENTS, partition[0]):
            its[partition[0].removeprefix(EVENTS.prefix)][partition] = at
    places_of: dict[tuple[str, str | None], dict[Place, int]] = {}
    for company in sorted(its):
        places_of[company, None] = unread(its[company], {})
        for group in groups_of[company]:
            with Groups(connection) as groups:  # one connection at a time
                committed = groups.committed(group, its[company])
            if committed:
                places_of.pop((company, None), None)
                places_of[company, group] = unread(its[company], committed)
    appended = append_times(connection, {place for places in places_of.values() for place in places})
    found = [
        CompanyStatus(company, group, sum(places.values()), age_s(appended[p] for p in places if p in appended))
        for (company, group), places in places_of.items()
    ]
    return sorted(found, key=lambda each: -each.lag)


def _waiting(claims_database: str | None) -> dict[str, int] | None:
    async def count(url: str) -> dict[str, int]:
        async with asyncio.timeout(_DATABASE_S):
            return await count_temporary_claims(url)

    try:
        return None if claims_database is None else asyncio.run(count(claims_database))
    except (OSError, TimeoutError, DatabaseAway):
        return None


def _unread(
    groups: Groups, service: str, ends: dict[tuple[str, int], tuple[int, int]], *, runs: bool
) -> dict[Place, int] | None:
    """Count what a service has not read of the topics that it reads in a group, by where each partition goes on.

    One that has never read anything has everything to read, if it is known that it `runs`; else it is None.
    """
    read = [topic for topic in REGISTRY[service].reads if topic != DIRECTORY]
    its = {partition: at for partition, at in ends.items() if any(is_of(topic, partition[0]) for topic in read)}
    committed = groups.committed(service, its)
    return unread(its, committed) if committed or runs else None


def _health(address: str) -> str:
    try:
        with urllib.request.urlopen(f"{address}/health/ready", timeout=5) as answer:  # noqa: S310 - our own address
            return str(answer.read().decode(errors="replace"))
    except urllib.error.HTTPError as error:
        return error.read().decode(errors="replace")
    except (OSError, HTTPException):
        return "does not answer"


def _watch(connection: Connection, *, with_companies: bool) -> NoReturn:
    """Show it again and again; what cannot be asked now may be in a moment."""
    while True:
        try:
            shown = list(_shown(look(connection, with_companies=with_companies)))
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
    if now.paused:
        yield f"paused: {', '.join(now.paused)}"
    yield f"dead letters: {now.dead_letters}"
    if now.temporary_claims is None:
        yield "temporary claims: not known, since the claims database does not answer or is not in the connection"
    for insurer, count in (now.temporary_claims or {}).items():
        yield f"temporary claims of {insurer}: {count}"
    if now.companies is not None:
        table = Table("company", "reads as", "behind", "oldest", box=None)
        for each in now.companies:
            oldest = f"{each.lag_seconds:.0f} s" if each.lag else "–"
            table.add_row(each.company, each.group or "–", str(each.lag), oldest)
        yield table
