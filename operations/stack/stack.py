"""Starting, watching and stopping it all."""

import contextlib
import math
import os
import secrets
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from operations.connection import Connection, read_connection, write_privately
from operations.embedded import ChildProcess, EmbeddedKafka, EmbeddedPostgres, NotStarted, Waiting, free_port
from operations.files import WrongFile
from operations.provisioning import provision_services
from operations.services import REGISTRY, WITH_DATABASE
from operations.stack.databases import all_are_new_enough
from operations.stack.instance import Backoff, Instance
from operations.stack.kept import KeptFolder, NotUp, is_free
from operations.stack.servers import KafkaServer, PostgresServer, Server
from shared.contract.topics import OPERATOR

_MOST_DEATHS = 3
"""So often one may die while it is waited for, before that is taken for what it always does."""
_LOOK_EVERY_S = 0.1


class Stack:
    """Starts, watches and stops it all. Its folder is kept between starts; only one stack can use it at a time."""

    def __init__(
        self,
        folder: Path,
        instances: Mapping[str, int] | None = None,
        *,
        portal_port: int | None = None,
        media: str | None = None,
        report: Callable[[str], None] | None = None,
        kafka: Callable[..., KafkaServer] = EmbeddedKafka,
        postgres: Callable[..., PostgresServer] = EmbeddedPostgres,
        module_of: Callable[[str], str] = "services.{}".format,
    ) -> None:
        """`instances` are how many processes of a service to run; `kafka` and `postgres` are what to run them on,
        and `module_of` gives the module that is run as a service.

        `media` is the address of the store of media, by default a folder of its own.
        The first process of the portal listens on `portal_port`, or without one on a free port, as the others do.
        `report` gets a sentence from time to time about what a start waits for.
        """
        self.folder = folder
        self._servers = kafka, postgres
        self._module_of = module_of
        self._waiting = Waiting(report)
        self.instances: list[Instance] = []
        self._wanted = dict.fromkeys(REGISTRY, 1) | dict(instances or {})
        self._kept = KeptFolder(folder)
        self.passwords: dict[str, str] = {}
        """Each service's, on the bus and in its database."""
        self._server_backoffs = {"kafka": Backoff(), "postgres": Backoff()}
        self._media = media
        self._media_secret = ""
        self._portal_port = portal_port
        self._portal_secret = secrets.token_urlsafe(32)
        self.kafka: KafkaServer
        self.postgres: PostgresServer
        self.connection: Connection

    def start(self) -> None:
        """Start Kafka, PostgreSQL and the services, provision the servers, wait until the services are ready.

        That takes as long as it takes, while what is waited for lives. Raises NotUp or NotStarted as soon as something
        has died.
        """
        self._kept.open()
        self.passwords = self._kept.passwords()
        self._media_secret = self._kept.media_secret()
        ports = self._kept.ports()
        if self._portal_port is not None and not is_free(self._portal_port):
            raise NotUp(f"port {self._portal_port} is in use; give the portal another with --portal-port")
        companies = self._kept.companies()
        kafka, postgres = self._servers
        operator = {OPERATOR: companies[OPERATOR].password}
        self.kafka = kafka(self.folder / "kafka", port=ports["kafka"], users=operator, waiting=self._waiting)
        self.postgres = postgres(self.folder / "postgres", port=ports["postgres"], waiting=self._waiting)
        self.connection = Connection(
            bootstrap_servers=self.kafka.bootstrap_servers,
            companies=companies,
            portal=f"http://127.0.0.1:{self._portal_port or ports['portal']}",
            media=self._media or self._kept.media.absolute().as_uri(),
            companies_file=self._kept.companies_file,
        )
        for service in WITH_DATABASE:
            self.connection.databases[service] = self.postgres.url(service, service, self.passwords[service])
        self.kafka.launch()
        with self._services_held():
            self.postgres.start()
            with self._migrating():
                self.kafka.wait_until_ready()
                provision_services(
                    self.connection,
                    self.passwords,
                    replication=self.kafka.replication,
                    late=self._while_kafka_runs,
                )
                self._waiting.over()
        self.wait_until_ready(at_start=True)

    def stop(self) -> None:
        """Stop it all: the services first, so that each finishes what it is in."""
        for instance in self.instances:
            instance.ask_to_stop()
        for instance in self.instances:
            instance.stop()
        for server in ("postgres", "kafka"):
            if hasattr(self, server):
                getattr(self, server).stop()
        self._kept.close()

    def of(self, service: str) -> list[Instance]:
        """The instances of a service."""
        return [instance for instance in self.instances if instance.service == service]

    def add(self, service: str) -> Instance:
        """Start one more instance of a service."""
        instance = self._new_instance(service, len(self.of(service)) + 1)
        instance.start()
        return instance

    def remove(self, instance: Instance) -> None:
        """Stop an instance for good."""
        instance.stop()
        self.instances.remove(instance)

    def watch(self) -> list[str]:
        """Start again what has died and whose time has come; the names of what was started."""
        started = [instance.name for instance in self.instances if instance.watch()]
        for name, backoff in self._server_backoffs.items():
            server: Server = getattr(self, name)
            if not server.is_running() and backoff.is_due():
                try:
                    server.start()
                    started.append(name)
                except NotStarted:
                    pass  # its log says why; it is tried again
                finally:
                    backoff.started()
        if started:
            self._note_processes()
        return started

    def take_up_companies(self, connection_file: Path) -> None:
        """Add the companies that `claimbus apply` has put in the connection file meanwhile."""
        with contextlib.suppress(WrongFile):  # whatever became of it, it is written again
            self.connection.companies |= read_connection(connection_file).companies

    def wait_until_ready(self, *, at_start: bool = False, patience_s: float = math.inf) -> None:
        """Wait until every instance that should run says that it is ready, by default for as long as that takes.

        What lives is getting on, however slowly: it may wait for Kafka, for its database, or for a processor, and what
        it waits for is reported at intervals. Raises NotUp as soon as one has died `at_start`; later it is started
        again, and NotUp is raised when that happens again and again. Raises NotUp, with what is not ready and why, when
        patience is over.
        """
        deaths: Counter[str] = Counter()
        deadline = time.monotonic() + patience_s
        unready = [instance for instance in self.instances if instance.wanted]
        while unready:
            if at_start:
                self._look_after_servers()
            for instance in unready:
                if instance.pid is None and (at_start or deaths[instance.name] >= _MOST_DEATHS):
                    raise NotUp(instance.obituary())
                deaths[instance.name] += instance.watch()
            reasons = {instance: instance.why_not_ready() for instance in unready}
            unready = [instance for instance in unready if reasons[instance] is not None]
            if unready:
                still = "; ".join(f"{instance.name}: {reasons[instance]}" for instance in unready)
                if time.monotonic() > deadline:
                    raise NotUp(f"not ready after {patience_s:g} s: {still}")
                self._waiting.still(still)
                time.sleep(_LOOK_EVERY_S)
        self._waiting.over()
        self._note_processes()

    def _while_kafka_runs(self, what: str) -> None:
        self._look_after_servers()
        self._waiting.still(what)

    def _look_after_servers(self) -> None:
        """Raise NotUp if a server that was started has ended: nothing that needs it will ever be ready."""
        for name in ("kafka", "postgres"):
            server: Server | None = getattr(self, name, None)
            if server is not None and not server.is_running():
                raise NotUp(f"{name} has ended; its log is in {self.folder / name}")

    @contextlib.contextmanager
    def _migrating(self) -> Iterator[None]:
        """Bring all databases to the versions that services need, while something else is done."""
        for service in WITH_DATABASE:
            self.postgres.create_database(service, owner=service, password=self.passwords[service])
        if all_are_new_enough(self.connection.databases):
            yield
            return
        databases = self.folder / "databases.json"
        write_privately(databases, self.connection.model_dump_json(include={"bootstrap_servers", "databases"}))
        migration = ChildProcess(
            [sys.executable, "-m", "operations", "migrate", "--connection-file", databases],
            log=self._kept.logs / "migrate.log",
        )
        migration.start()
        try:
            yield
            migration.finish(self._waiting, "migrating the databases")
        finally:
            migration.kill()
            databases.unlink()

    @contextlib.contextmanager
    def _services_held(self) -> Iterator[None]:
        """Start the services, which import what they are made of meanwhile, and let them go on at the end."""
        held, hold = os.pipe()
        try:
            for service, count in self._wanted.items():
                for number in range(1, count + 1):
                    self._new_instance(service, number).start(held_by=held)
            yield
        finally:
            os.close(hold)
            os.close(held)

    def _new_instance(self, service: str, number: int) -> Instance:
        environment = {
            "CLAIMBUS_BOOTSTRAP_SERVERS": self.connection.bootstrap_servers,
            "CLAIMBUS_USERNAME": service,
            "CLAIMBUS_PASSWORD": self.passwords[service],
            "CLAIMBUS_DATABASE_URL": self.connection.databases.get(service, ""),
            "CLAIMBUS_HEALTH_PORT": str(free_port()),
        }
        if service == "portal":
            port = str(urlsplit(self.connection.portal or "").port) if number == 1 else str(free_port())
            environment |= {"CLAIMBUS_PORTAL_PORT": port, "CLAIMBUS_PORTAL_URL": self.connection.portal or ""}
            environment |= {"CLAIMBUS_PORTAL_SECRET": self._portal_secret, "CLAIMBUS_PORTAL_LOG_IN_FROM_DIRECTORY": "1"}
        if REGISTRY[service].opens_media_store:
            environment["CLAIMBUS_MEDIA"] = self.connection.media or ""
        if REGISTRY[service].has_media_secret:
            environment["CLAIMBUS_MEDIA_SECRET"] = self._media_secret
        log = self._kept.logs / f"{service}-{number}.log"
        instance = Instance(service, number, environment, log, self._module_of(service))
        self.instances.append(instance)
        return instance

    def _note_processes(self) -> None:
        pids = {service: [i.pid for i in self.of(service) if i.pid is not None] for service in self._wanted}
        self.connection.processes = {"kafka": [self.kafka.pid], "postgres": [self.postgres.pid], **pids}
        self.connection.health = {service: [i.health for i in self.of(service)] for service in self._wanted}


@contextlib.contextmanager
def running(
    folder: Path,
    instances: Mapping[str, int] | None = None,
    *,
    portal_port: int | None = None,
    report: Callable[[str], None] | None = None,
) -> Iterator[Stack]:
    """Run a stack; whatever happens, nothing of it is left behind."""
    stack = Stack(folder, instances, portal_port=portal_port, report=report)
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()
