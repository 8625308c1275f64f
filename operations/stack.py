"""Everything on one machine: a real Kafka, a real PostgreSQL and a process for each service, as child processes."""

import contextlib
import fcntl
import json
import math
import os
import re
import secrets
import socket
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import urlsplit

from operations.connection import RUN_HERE, CompanyAccess, Connection, read_connection, write_privately
from operations.embedded import ChildProcess, EmbeddedKafka, EmbeddedPostgres, NotStarted, Waiting, free_port
from operations.files import WrongFile
from operations.json_files import read_fields
from operations.provisioning import provision_services
from shared.contract.topics import OPERATOR, SERVICES

T = TypeVar("T")

WITH_DATABASE = ("claims", "reporting", "suggestions", "portal")
_PORTS = ("kafka", "postgres", "portal")
_WITH_MEDIA = ("linking", "portal")
_WITH_MEDIA_SECRET = ("claims", "portal")
_READS_ALONG = ("reporting", "suggestions", "portal")
"""What follows the stream. In a storm it gives way to the services that a partner's outcome passes through."""
_GIVES_WAY = 10
"""Its niceness."""

_HEALTH_S = 2.0
_MOST_DEATHS = 3
"""So often one may die while it is waited for, before that is taken for what it always does."""
_STOP_S = 20.0
_LOOK_EVERY_S = 0.1
_FIRST_BACKOFF_S = 0.2
_LONGEST_BACKOFF_S = 30.0
_HEALTHY_AFTER_S = 30.0


class NotUp(Exception):
    """Something would not start."""


class Server(Protocol):
    """A server that the services need, embedded or in a container."""

    @property
    def pid(self) -> int:
        """The process id."""

    def is_running(self) -> bool:
        """Whether it was started and has not ended."""

    def start(self) -> None:
        """Start it and wait until it answers."""

    def stop(self) -> None:
        """Stop it cleanly."""

    def kill(self) -> None:
        """End it at once."""


class KafkaServer(Server, Protocol):
    """A Kafka with SCRAM and ACLs."""

    @property
    def bootstrap_servers(self) -> str:
        """Where clients connect."""


class PostgresServer(Server, Protocol):
    """A PostgreSQL with passwords."""

    def url(self, database: str, user: str, password: str) -> str:
        """Tell where a database is."""

    def create_database(self, name: str, *, owner: str, password: str) -> None:
        """Make a database and its owner."""


class _Backoff:
    """When to start again what has died: soon at first, then later and later; soon again after a healthy while."""

    def __init__(self) -> None:
        self._wait_s = _FIRST_BACKOFF_S
        self._started_at = 0.0
        self._again_at = 0.0

    def started(self) -> None:
        """Note a start."""
        self._started_at = time.monotonic()

    def is_due(self) -> bool:
        """Tell of what is found dead whether its time has come."""
        now = time.monotonic()
        if not self._again_at:
            if now - self._started_at > _HEALTHY_AFTER_S:
                self._wait_s = _FIRST_BACKOFF_S
            self._again_at = now + self._wait_s
            self._wait_s = min(self._wait_s * 2, _LONGEST_BACKOFF_S)
        if now < self._again_at:
            return False
        self._again_at = 0.0
        return True


class Instance:
    """One process of one service, started again with backoff when it dies."""

    def __init__(self, service: str, number: int, environment: Mapping[str, str], log: Path) -> None:
        self.service = service
        self.name = f"{service}-{number}"
        self.health = f"http://127.0.0.1:{environment['CLAIMBUS_HEALTH_PORT']}"
        self.wanted = True
        self.log = log
        self._command = [sys.executable, "-m", f"services.{service}"]
        self._environment = dict(environment)
        self._backoff = _Backoff()
        self._process: ChildProcess | None = None

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process is not None and self._process.is_running() else None

    def start(self) -> None:
        """Start the process, and have it started again whenever it dies."""
        self.wanted = True
        self._process = ChildProcess(
            self._command,
            log=self.log,
            env=os.environ | self._environment,
            niceness=_GIVES_WAY if self.service in _READS_ALONG else 0,
        )
        self._process.start()
        self._backoff.started()

    def ask_to_stop(self) -> None:
        """Ask it to stop, for good, and don't wait."""
        self.wanted = False
        if self._process is not None:
            self._process.ask_to_stop()

    def stop(self) -> None:
        """Stop it cleanly, for good."""
        self.wanted = False
        if self._process is not None:
            self._process.stop(_STOP_S)

    def watch(self) -> bool:
        """Start it again if it has died and its time has come; tell whether it was started."""
        if not self.wanted or self.pid is not None:
            return False
        if not self._backoff.is_due():
            return False
        self.start()
        return True

    def is_ready(self) -> bool:
        """Ask the service itself; one that has ended is not ready, whoever answers in its place."""
        return self.why_not_ready() is None

    def why_not_ready(self) -> str | None:
        """Ask the service itself what it waits for; None if it is ready."""
        if self.pid is None:
            return self.end() or "not started"
        try:
            with urllib.request.urlopen(f"{self.health}/health/ready", timeout=_HEALTH_S) as answer:  # noqa: S310
                return None if answer.status == 200 else str(answer.status)
        except urllib.error.HTTPError as error:
            return error.read().decode(errors="replace").strip() or str(error.code)
        except (OSError, HTTPException):
            return "does not answer yet"

    def end(self) -> str | None:
        """Tell how it ended, as in `ended with status 1`; None while it runs."""
        return None if self._process is None else self._process.end()

    def log_tail(self) -> str:
        """The end of its log."""
        return self._process.tail_of_log(20) if self._process is not None else ""


class Stack:
    """Starts, watches and stops it all. Its folder is kept between starts; only one stack can use it at a time."""

    def __init__(
        self,
        folder: Path,
        instances: Mapping[str, int] | None = None,
        *,
        portal_port: int | None = None,
        say: Callable[[str], None] | None = None,
        kafka: Callable[..., KafkaServer] = EmbeddedKafka,
        postgres: Callable[..., PostgresServer] = EmbeddedPostgres,
    ) -> None:
        """`instances` are how many processes of a service to run; `kafka` and `postgres` are what to run them on.

        The first process of the portal listens on `portal_port`, or without one on a free port, as the others do.
        `say` is told from time to time what a start waits for.
        """
        self.folder = folder
        self._servers = kafka, postgres
        self._waiting = Waiting(say)
        self.instances: list[Instance] = []
        self._wanted = dict.fromkeys(RUN_HERE, 1) | dict(instances or {})
        self._folder_lock: int | None = None
        self._passwords: dict[str, str] = {}
        self._server_backoffs = {"kafka": _Backoff(), "postgres": _Backoff()}
        self._media_secret = ""
        self._portal_port = portal_port
        self._portal_secret = secrets.token_urlsafe(32)
        self.kafka: KafkaServer
        self.postgres: PostgresServer
        self.connection: Connection

    def start(self) -> None:
        """Start Kafka and PostgreSQL, provision them, start the services, wait until they are ready.

        That takes as long as it takes, while what is waited for lives. Raises NotUp or NotStarted as soon as something
        has died.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock_folder()
        (self.folder / "logs").mkdir(exist_ok=True)
        self._passwords = self._kept_passwords()
        self._media_secret = self._kept_media_secret()
        ports = self._kept_ports()
        if self._portal_port is not None and not _is_free(self._portal_port):
            raise NotUp(f"port {self._portal_port} is in use; give the portal another with --portal-port")
        companies = self._kept_companies()
        kafka, postgres = self._servers
        operator = {OPERATOR: companies[OPERATOR].password}
        self.kafka = kafka(self.folder / "kafka", port=ports["kafka"], users=operator, waiting=self._waiting)
        self.postgres = postgres(self.folder / "postgres", port=ports["postgres"], waiting=self._waiting)
        self.kafka.start()
        self.postgres.start()
        self.connection = Connection(
            bootstrap_servers=self.kafka.bootstrap_servers,
            companies=companies,
            portal=f"http://127.0.0.1:{self._portal_port or ports['portal']}",
            media=(self.folder / "media").absolute().as_uri(),
            companies_file=self._companies_file,
        )
        provision_services(self.connection, self._passwords, late=self._while_kafka_runs)
        self._waiting.over()
        for service in WITH_DATABASE:
            self.postgres.create_database(service, owner=service, password=self._passwords[service])
            self.connection.databases[service] = self.postgres.url(service, service, self._passwords[service])
        self._start_services()
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
        if self._folder_lock is not None:
            os.close(self._folder_lock)
            self._folder_lock = None

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
        """Start again what has died and whose time has come; tell what was started."""
        started = [instance.name for instance in self.instances if instance.watch()]
        for name, backoff in self._server_backoffs.items():
            server: Server = getattr(self, name)
            if not server.is_running() and backoff.is_due():
                with contextlib.suppress(NotStarted):  # its log says why; it is tried again
                    server.start()
                    started.append(name)
                backoff.started()
        if started:
            self._note_processes()
        return started

    def take_up_companies(self, connection_file: Path) -> None:
        """Take in the companies that `claimbus apply` has put in the connection file meanwhile."""
        with contextlib.suppress(WrongFile):  # whatever became of it, it is written anew
            self.connection.companies |= read_connection(connection_file).companies

    def wait_until_ready(self, *, at_start: bool = False, patience_s: float = math.inf) -> None:
        """Wait until every instance that should run says that it is ready, by default for as long as that takes.

        What lives is getting on, however slowly: it may wait for Kafka, for its database, or for a processor, and what
        it waits for is said at intervals. Raises NotUp as soon as one has died `at_start`; later it is started again,
        and NotUp is raised when that happens again and again. Raises NotUp, with what is not ready and why, when
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
                    raise NotUp(_died(instance))
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

    def _start_services(self) -> None:
        for service, count in self._wanted.items():
            for number in range(1, count + 1):
                self._new_instance(service, number).start()

    def _new_instance(self, service: str, number: int) -> Instance:
        environment = {
            "CLAIMBUS_BOOTSTRAP_SERVERS": self.connection.bootstrap_servers,
            "CLAIMBUS_USERNAME": service,
            "CLAIMBUS_PASSWORD": self._passwords[service],
            "CLAIMBUS_DATABASE_URL": self.connection.databases.get(service, ""),
            "CLAIMBUS_HEALTH_PORT": str(free_port()),
        }
        if service == "portal":
            port = str(urlsplit(self.connection.portal or "").port) if number == 1 else str(free_port())
            environment |= {"CLAIMBUS_PORTAL_PORT": port, "CLAIMBUS_PORTAL_URL": self.connection.portal or ""}
            environment |= {"CLAIMBUS_PORTAL_SECRET": self._portal_secret, "CLAIMBUS_PORTAL_LOG_IN_FROM_DIRECTORY": "1"}
        if service in _WITH_MEDIA:
            environment["CLAIMBUS_MEDIA"] = self.connection.media or ""
        if service in _WITH_MEDIA_SECRET:
            environment["CLAIMBUS_MEDIA_SECRET"] = self._media_secret
        instance = Instance(service, number, environment, self.folder / "logs" / f"{service}-{number}.log")
        self.instances.append(instance)
        return instance

    def _note_processes(self) -> None:
        pids = {service: [i.pid for i in self.of(service) if i.pid is not None] for service in self._wanted}
        self.connection.processes = {"kafka": [self.kafka.pid], "postgres": [self.postgres.pid], **pids}
        self.connection.health = {service: [i.health for i in self.of(service)] for service in self._wanted}

    def _lock_folder(self) -> None:
        self._folder_lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._folder_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NotUp(f"another `claimbus up` is using {self.folder}") from None

    @property
    def _companies_file(self) -> Path:
        return self.folder / "companies.json"

    def _kept_companies(self) -> dict[str, CompanyAccess]:
        companies = _kept(self._companies_file, dict[str, CompanyAccess])
        companies.setdefault(OPERATOR, CompanyAccess.new())
        return companies

    def _kept_passwords(self) -> dict[str, str]:
        file = self.folder / "services.json"
        passwords = {service: secrets.token_urlsafe(24) for service in SERVICES} | _kept(file, dict[str, str])
        write_privately(file, json.dumps(passwords, indent=2))
        return passwords

    def _kept_media_secret(self) -> str:
        """What keys of uploads are signed with; another one would make those that companies hold worthless."""
        file = self.folder / "media-secret.json"
        secret: str = _kept(file, dict[str, str]).get("secret") or secrets.token_urlsafe(32)
        write_privately(file, json.dumps({"secret": secret}))
        return secret

    def _kept_ports(self) -> dict[str, int]:
        """The ports of the last start where they are free, so that what companies have configured stays true."""
        file = self.folder / "ports.json"
        kept = _kept(file, dict[str, int])
        ports = {name: kept[name] if _is_free(kept.get(name)) else free_port() for name in _PORTS}
        write_privately(file, json.dumps(ports))
        return ports


def _died(instance: Instance) -> str:
    tail = instance.log_tail()
    return f"{instance.name} {instance.end()}: {_last_said(tail)}\nits log, {instance.log}, ends:\n{tail}"


def _last_said(log: str) -> str:
    """Tell the last line of a log, or all of the error that it ends with."""
    lines = [line.strip() for line in log.splitlines() if line.strip() and "errors.pydantic.dev" not in line]
    raised = [number for number, line in enumerate(lines) if re.match(r"[\w.]*(Error|Exception)\b", line)]
    return " ".join(lines[raised[-1] if raised else -1 :]) or "it has said nothing"


def _kept(file: Path, kind: type[dict[str, T]]) -> dict[str, T]:
    """Read what an earlier start has kept. Raises NotUp if somebody has broken it."""
    if not file.exists():
        return {}
    try:
        return read_fields(file, kind)
    except WrongFile as error:
        raise NotUp(f"{error}; put it right, or remove it and have what it keeps made anew") from None


def _is_free(port: int | None) -> bool:
    if port is None:
        return False
    with socket.socket() as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@contextlib.contextmanager
def running(
    folder: Path,
    instances: Mapping[str, int] | None = None,
    *,
    portal_port: int | None = None,
    say: Callable[[str], None] | None = None,
) -> Iterator[Stack]:
    """Run a stack; whatever happens, nothing of it is left behind."""
    stack = Stack(folder, instances, portal_port=portal_port, say=say)
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()
