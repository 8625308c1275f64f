"""Everything on one machine: a real Kafka, a real PostgreSQL and a process for each service, as child processes."""

import contextlib
import fcntl
import json
import os
import secrets
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from operations.connection import RUN_HERE, CompanyAccess, Connection, write_privately
from operations.embedded import ChildProcess, EmbeddedKafka, EmbeddedPostgres, NotStarted, free_port
from operations.provisioning import provision_services
from shared.contract.topics import OPERATOR, SERVICES

WITH_DATABASE = ("claims", "reporting", "suggestions", "portal")
_PORTS = ("kafka", "postgres", "portal")
_WITH_MEDIA = ("linking", "portal")
_WITH_MEDIA_SECRET = ("claims", "portal")
_READS_ALONG = ("reporting", "suggestions", "portal")
"""What follows the stream. In a storm it gives way to the services that a partner's outcome passes through."""
_GIVES_WAY = 10
"""Its niceness."""

_READY_S = 60.0
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
        self._command = [sys.executable, "-m", f"services.{service}"]
        self._environment = dict(environment)
        self._log = log
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
            log=self._log,
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
        if self.pid is None:
            return False
        try:
            with urllib.request.urlopen(f"{self.health}/health/ready", timeout=5) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

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
        kafka: Callable[..., KafkaServer] = EmbeddedKafka,
        postgres: Callable[..., PostgresServer] = EmbeddedPostgres,
    ) -> None:
        """`instances` are how many processes of a service to run; `kafka` and `postgres` are what to run them on.

        The first process of the portal listens on `portal_port`, or without one on a free port, as the others do.
        """
        self.folder = folder
        self._servers = kafka, postgres
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
        """Start Kafka and PostgreSQL, provision them, start the services, wait until they are ready. Raises NotUp."""
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
        self.kafka = kafka(self.folder / "kafka", port=ports["kafka"], users={OPERATOR: companies[OPERATOR].password})
        self.postgres = postgres(self.folder / "postgres", port=ports["postgres"])
        self.kafka.start()
        self.postgres.start()
        self.connection = Connection(
            bootstrap_servers=self.kafka.bootstrap_servers,
            companies=companies,
            portal=f"http://127.0.0.1:{self._portal_port or ports['portal']}",
            media=(self.folder / "media").absolute().as_uri(),
            companies_file=self._companies_file,
        )
        provision_services(self.connection, self._passwords)
        for service in WITH_DATABASE:
            self.postgres.create_database(service, owner=service, password=self._passwords[service])
            self.connection.databases[service] = self.postgres.url(service, service, self._passwords[service])
        self._start_services()
        self.wait_until_ready()

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
        with contextlib.suppress(OSError, ValueError):  # whatever became of it, it is written anew
            self.connection.companies |= Connection.model_validate_json(connection_file.read_text()).companies

    def wait_until_ready(self) -> None:
        """Wait until every instance that should run says that it is ready. Raises NotUp."""
        deadline = time.monotonic() + _READY_S
        waiting = [instance for instance in self.instances if instance.wanted]
        while waiting:
            waiting = [instance for instance in waiting if not instance.is_ready()]
            for instance in waiting:
                if time.monotonic() > deadline:
                    raise NotUp(
                        f"{instance.name} is not ready after {_READY_S:g} s; its log ends:\n{instance.log_tail()}"
                    )
                instance.watch()
            time.sleep(_LOOK_EVERY_S)
        self._note_processes()

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
        kept = _json(self._companies_file)
        companies = {name: CompanyAccess.model_validate(access) for name, access in kept.items()}
        companies.setdefault(OPERATOR, CompanyAccess.new())
        return companies

    def _kept_passwords(self) -> dict[str, str]:
        file = self.folder / "services.json"
        passwords = {service: secrets.token_urlsafe(24) for service in SERVICES} | _json(file)
        write_privately(file, json.dumps(passwords, indent=2))
        return passwords

    def _kept_media_secret(self) -> str:
        """What keys of uploads are signed with; another one would make those that companies hold worthless."""
        file = self.folder / "media-secret.json"
        secret: str = _json(file).get("secret") or secrets.token_urlsafe(32)
        write_privately(file, json.dumps({"secret": secret}))
        return secret

    def _kept_ports(self) -> dict[str, int]:
        """The ports of the last start where they are free, so that what companies have configured stays true."""
        file = self.folder / "ports.json"
        kept = _json(file)
        ports = {name: kept[name] if _is_free(kept.get(name)) else free_port() for name in _PORTS}
        write_privately(file, json.dumps(ports))
        return ports


def _json(file: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(file.read_text())
    except FileNotFoundError:
        return {}
    return content


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
    folder: Path, instances: Mapping[str, int] | None = None, *, portal_port: int | None = None
) -> Iterator[Stack]:
    """Run a stack; whatever happens, nothing of it is left behind."""
    stack = Stack(folder, instances, portal_port=portal_port)
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()
