"""Who is measured: Claimbus with some or all of its services, or a peer; each with its processes and topics."""

import asyncio
import os
import time
from collections.abc import Collection, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Protocol

import asyncpg
from confluent_kafka.admin import AdminClient, NewTopic
from pydantic import SecretStr

from benchmarks.client import Load
from benchmarks.installation import INSURER, OFFICE, PARTNER
from benchmarks.lag import Groups, Lag
from benchmarks.names import ALL_SEVEN, ROAD
from benchmarks.peers.registry import PEERS, Missing
from benchmarks.peers.sample import TABLES, take
from benchmarks.peers.stages import Place, Stage
from operations.embedded import ChildProcess
from operations.options import err
from operations.services import REGISTRY
from operations.stack import Stack
from shared.contract.topics import DIRECTORY, EVENTS, OPERATOR, REQUESTS
from shared.runtime.settings import DatabaseSettings
from shared.storage.database import engine_for
from shared.storage.migrations import migrate

OUTCOME_ROAD = ("permissions", "claims", "delivery")
_CATCH_UP_S = 1800.0
_START_S = 120.0
_STOP_S = 20.0
_LOOK_EVERY_S = 0.1
_TURNS = count(1)


class NotDone(Exception):
    """A contestant has not done the job, or would not start; the message says what is missing."""


class Contestant(Protocol):
    """Somebody that takes requests and gives outcomes."""

    name: str
    at_most: int | None
    """No more claims than that, for one that takes long."""

    @property
    def groups(self) -> Groups:
        """The consumer groups of its processes, with what they read."""

    def start(self) -> None:
        """Start its processes, and wait until they are ready and have nothing left to do."""

    def stop(self) -> None:
        """Stop them."""

    def processes(self) -> dict[str, list[int]]:
        """Its processes, without the servers."""

    def load(self, claims: int, rate: float | None = None) -> Load:
        """A load for it."""

    def stored(self) -> Mapping[str, int]:
        """How many rows there are, by table."""

    @property
    def of_insurer(self) -> str:
        """The topic with the insurer's copies."""


class Claimbus:
    """Some or all of the services of a stack."""

    at_most: int | None = None

    def __init__(
        self,
        stack: Stack,
        name: str,
        services: Collection[str] = tuple(REGISTRY),
        *,
        instances: int = 1,
        database: str | None = None,
    ) -> None:
        """`instances` are of each service; `database` is where claims are recorded, if not where the stack has them."""
        self.name = name
        self._stack = stack
        self._services = services
        self._instances = instances
        self._database = database or stack.connection.database("claims")

    @property
    def groups(self) -> Groups:
        """As the contract has them; of the companies' requests only the partner's."""
        return {
            service: [
                REQUESTS.of(PARTNER) if t.per_company else t.name for t in REGISTRY[service].reads if t != DIRECTORY
            ]
            for service in self._services
        }

    def start(self) -> None:
        """Start the services, and wait until they have read what others have left."""
        if self._stack.connection.databases["claims"] != self._database:
            self._stack.connection.databases["claims"] = self._database
            for instance in self._stack.of("claims"):
                self._stack.remove(instance)
        for service in self._services:
            for instance in self._stack.of(service)[self._instances :]:
                self._stack.remove(instance)
            for instance in self._stack.of(service):
                if instance.pid is None:
                    instance.start()
            while len(self._stack.of(service)) < self._instances:
                self._stack.add(service)
        self._stack.wait_until_ready()
        Lag(self._stack.connection, self.groups).wait_until_none(_CATCH_UP_S)

    def stop(self) -> None:
        """Stop all services."""
        stop_services(self._stack)

    def processes(self) -> dict[str, list[int]]:
        """Each service's instances."""
        return {
            service: [each.pid for each in self._stack.of(service) if each.pid is not None]
            for service in self._services
        }

    def load(self, claims: int, rate: float | None = None) -> Load:
        """As the partner sends it."""
        client = self._stack.connection.client(PARTNER)
        return _load(client, REQUESTS.of(PARTNER), EVENTS.of(PARTNER), claims, rate)

    def stored(self) -> Mapping[str, int]:
        """The record of claims."""
        return asyncio.run(_counts(self._database))

    @property
    def of_insurer(self) -> str:
        """As the contract has it."""
        return EVENTS.of(INSURER)


class Peer:
    """Three processes of somebody else, on topics and in a database of their own that are new at each start."""

    def __init__(
        self, stack: Stack, name: str, command: Sequence[str | Path], sample: Path, *, at_most: int | None = None
    ) -> None:
        """The command gets the stage as its last word."""
        self.name = name
        self.at_most = at_most
        self._stack = stack
        self._command = command
        self._sample = sample
        self._database = f"peer_{name.replace('-', '_')}"
        self._processes: dict[Stage, ChildProcess] = {}
        self._place = Place("", PARTNER, INSURER)

    @property
    def groups(self) -> Groups:
        """Those of the three stages."""
        return self._place.groups

    def start(self) -> None:
        """Make its topics and tables, start it, and wait until each partition has a reader. Raises NotDone."""
        self._place = Place(f"{self.name}-{next(_TURNS)}", PARTNER, INSURER)
        password = self._stack.passwords["claims"]
        self._stack.postgres.create_database(self._database, owner=self._database, password=password)
        asyncio.run(empty_tables(self._url()))
        admin = AdminClient(self._stack.connection.client())
        wanted = [NewTopic(name, t.partitions, 1, config=t.config()) for name, t in self._place.topics.items()]
        for made in admin.create_topics(wanted).values():
            made.result()
        environment = {
            **os.environ,
            **self._place.environment,
            "CLAIMBUS_BOOTSTRAP_SERVERS": self._stack.connection.bootstrap_servers,
            "CLAIMBUS_USERNAME": OPERATOR,
            "CLAIMBUS_PASSWORD": self._stack.connection.companies[OPERATOR].password,
            "CLAIMBUS_DATABASE_URL": self._url(),
            "PEER_SAMPLE": str(self._sample),
        }
        for stage in Stage:
            log = self._stack.folder / f"{self._place.group(stage)}.log"
            self._processes[stage] = ChildProcess([*self._command, stage], log=log, env=environment)
            self._processes[stage].start()
        self._wait_for_readers(admin)

    def stop(self) -> None:
        """Stop it, and leave nothing that costs anything."""
        for process in self._processes.values():
            process.stop(_STOP_S)
        self._processes = {}
        admin = AdminClient(self._stack.connection.client())
        for gone in admin.delete_topics(list(self._place.topics)).values():
            gone.result()

    def processes(self) -> dict[str, list[int]]:
        """One of each stage."""
        return {stage: [process.pid] for stage, process in self._processes.items()}

    def load(self, claims: int, rate: float | None = None) -> Load:
        """On its topics."""
        return _load(self._stack.connection.client(), self._place.requests, self._place.of_partner, claims, rate)

    def stored(self) -> Mapping[str, int]:
        """Its own tables."""
        return asyncio.run(_counts(self._url()))

    @property
    def of_insurer(self) -> str:
        """A topic of its own."""
        return self._place.of_insurer

    def _url(self) -> str:
        return self._stack.postgres.url(self._database, self._database, self._stack.passwords["claims"])

    def _wait_for_readers(self, admin: AdminClient) -> None:
        wanted = sum(topic.partitions for name, topic in self._place.topics.items() if name in self._read())
        deadline = time.monotonic() + _START_S
        while _assigned(admin, list(self.groups)) < wanted:
            for stage, process in self._processes.items():
                if not process.is_running() or time.monotonic() > deadline:
                    raise NotDone(f"{self.name}'s {stage} would not start; its log ends:\n{process.tail_of_log()}")
            time.sleep(_LOOK_EVERY_S)

    def _read(self) -> set[str]:
        return {topic for topics in self.groups.values() for topic in topics}


def all_contestants(stack: Stack, peers: Collection[str]) -> list[Contestant]:
    """Claimbus twice, and the peers of these names that can be run here; of the others it is said why not."""
    sample = stack.folder / "sample.json"
    sample.write_text(take(stack.connection, PARTNER, OFFICE, INSURER).model_dump_json())
    found: list[Contestant] = []
    for entry in (PEERS[name] for name in peers):
        try:
            found.append(Peer(stack, entry.name, entry.command(), sample, at_most=entry.at_most))
        except Missing as missing:
            err.print(f"{entry.name} is skipped: {missing}")
    return [*found, Claimbus(stack, ROAD, OUTCOME_ROAD), Claimbus(stack, ALL_SEVEN)]


def stop_services(stack: Stack) -> None:
    """Stop all services of a stack."""
    for instance in stack.instances:
        instance.ask_to_stop()
    for instance in stack.instances:
        instance.stop()


def _load(client: dict[str, object], requests: str, events: str, claims: int, rate: float | None) -> Load:
    return Load(
        client=client,
        requests=requests,
        events=events,
        partner=PARTNER,
        office=OFFICE,
        insurer=INSURER,
        claims=claims,
        rate=rate,
    )


def _assigned(admin: AdminClient, groups: list[str]) -> int:
    """How many partitions have a reader."""
    descriptions = [answer.result() for answer in admin.describe_consumer_groups(groups).values()]
    return sum(len(member.assignment.topic_partitions) for group in descriptions for member in group.members)


async def empty_tables(url: str) -> None:
    """Make the tables of the record of claims, without a row."""
    engine = engine_for(DatabaseSettings(database_url=SecretStr(url)))
    await migrate(engine, "services.claims")
    await engine.dispose()
    connection = await asyncpg.connect(url)
    await connection.execute(f"truncate {', '.join(TABLES)}")
    await connection.close()


async def _counts(url: str) -> dict[str, int]:
    connection = await asyncpg.connect(url)
    counts = {table: await connection.fetchval(f"select count(*) from {table}") for table in TABLES}
    await connection.close()
    return counts
