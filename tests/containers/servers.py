"""Kafka and PostgreSQL in containers, to be used where tests use the embedded ones: same constructors, same methods."""

import atexit
import contextlib
import hashlib
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from testcontainers.core.container import DockerContainer, ExecConfig
from testcontainers.core.docker_client import DockerClient
from testcontainers.core.labels import create_labels
from testcontainers.core.wait_strategies import ExecWaitStrategy

from operations.embedded import NotStarted, Waiting, free_port

KAFKA = "apache/kafka:4.1.0"
POSTGRES = "postgres:18"

_COMPOSE = Path(__file__).parents[2] / "deploy" / "compose"
_UP_S = 600
_STOP_S = 30
_CREATE_DATABASE = r"""
\getenv name NAME
\getenv owner OWNER
\getenv password PASSWORD
select format('create role %I login', :'owner') where not exists (select from pg_roles where rolname = :'owner') \gexec
alter role :"owner" password :'password';
select format('create database %I owner %I', :'name', :'owner')
 where not exists (select from pg_database where datname = :'name') \gexec
revoke connect on database :"name" from public;
"""


class ContainerKafka:
    """As EmbeddedKafka: a broker and controller with SCRAM and ACLs, started as docker-compose.yml starts it.

    What it stores stays between starts, in a volume of the folder's; the process's end removes it.
    """

    replication = 1

    def __init__(
        self, folder: Path, *, port: int | None = None, users: Mapping[str, str], waiting: Waiting | None = None
    ) -> None:
        self._port = port or free_port()
        self._users = dict(users)
        self._waiting = waiting or Waiting()
        self._server = _Server(KAFKA, _Volume(f"{folder.absolute()}/kafka", "/var/lib/kafka/data"), (9094, self._port))

    @property
    def bootstrap_servers(self) -> str:
        """Where clients connect."""
        return f"127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        """The process id as the host sees it; of a stopped one the last; 0 where that cannot be told."""
        return self._server.pid

    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._server.is_running()

    def start(self) -> None:
        """Start it and wait until it answers. Raises NotStarted."""
        self.launch()
        self.wait_until_ready()

    def launch(self) -> None:
        """Start it, and don't wait."""
        container = self._server.made().with_command(["bash", "-c", (_COMPOSE / "kafka.sh").read_text()])
        container.with_envs(
            CLAIMBUS_KAFKA_USERS="\n".join(f"{user}={password}" for user, password in self._users.items()),
            CLAIMBUS_KAFKA_INSIDE="localhost:9092",
            CLAIMBUS_KAFKA_OUTSIDE=self.bootstrap_servers,
        )
        self._server.start(container)

    def stop(self) -> None:
        """Stop it cleanly; safe to repeat."""
        self._server.stop()

    def kill(self) -> None:
        """End it at once, as a machine that fails would."""
        self._server.kill()

    def wait_until_ready(self) -> None:
        """Wait, after `launch`, until it answers. Raises NotStarted."""
        user, password = next(iter(self._users.items()))
        client = AdminClient(
            {
                "bootstrap.servers": self.bootstrap_servers,
                "security.protocol": "SASL_PLAINTEXT",
                "sasl.mechanism": "SCRAM-SHA-512",
                "sasl.username": user,
                "sasl.password": password,
                "reconnect.backoff.ms": 50,
                "reconnect.backoff.max.ms": 200,
                "log_level": 0,
            }
        )
        while self.is_running():
            with contextlib.suppress(KafkaException):
                client.list_topics(timeout=1)
                self._waiting.over()
                return
            self._waiting.still("Kafka does not answer yet")
        tail = self._server.tail_of_log()
        self.stop()
        raise NotStarted(f"Kafka did not start; its log ends:\n{tail}")


class ContainerPostgres:
    """As EmbeddedPostgres. What it stores stays between starts, in a volume of the folder's."""

    def __init__(self, folder: Path, *, port: int | None = None, waiting: Waiting | None = None) -> None:
        self._port = port or free_port()
        volume = _Volume(f"{folder.absolute()}/postgres", "/var/lib/postgresql")
        self._server = _Server(POSTGRES, volume, (5432, self._port))

    @property
    def pid(self) -> int:
        """The process id as the host sees it; of a stopped one the last; 0 where that cannot be told."""
        return self._server.pid

    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._server.is_running()

    def url(self, database: str, user: str, password: str) -> str:
        """A database's address, as postgresql://."""
        return f"postgresql://{user}:{password}@127.0.0.1:{self._port}/{database}"

    def start(self) -> None:
        """Start it and wait until it answers. Raises NotStarted."""
        # The super user needs no password: it comes by the socket in the container, and other ways are closed to it.
        container = self._server.made().with_envs(
            POSTGRES_HOST_AUTH_METHOD="scram-sha-256",
            POSTGRES_PASSWORD=secrets.token_urlsafe(24),
            POSTGRES_INITDB_ARGS="--encoding=UTF8 --locale=C",
        )
        # Over TCP, where it does not listen until its storage is made.
        ready = ExecWaitStrategy(["pg_isready", "--quiet", "--host=127.0.0.1", "--username=postgres"])
        self._server.start(container.waiting_for(ready.with_startup_timeout(_UP_S).with_poll_interval(0.1)))

    def stop(self) -> None:
        """Stop it cleanly; safe to repeat."""
        self._server.stop()

    def kill(self) -> None:
        """End it at once, as a machine that fails would."""
        self._server.kill()

    def create_database(self, name: str, *, owner: str, password: str) -> None:
        """Make a database that only its owner can connect to, and the owner's password this one; safe to repeat."""
        psql = 'psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username postgres <<<"$STATEMENTS"'
        environment = {"STATEMENTS": _CREATE_DATABASE, "NAME": name, "OWNER": owner, "PASSWORD": password}
        done = self._server.container.exec(ExecConfig(["bash", "-c", psql], environment=environment))
        if done.exit_code:
            raise RuntimeError(done.output.decode())


class _Volume:
    """Where a server stores its data: the same for the same folder, and gone when the process ends."""

    def __init__(self, belongs_to: str, mounted_at: str) -> None:
        self.name = f"claimbus-test-{hashlib.sha256(belongs_to.encode()).hexdigest()[:16]}"
        self.mounted_at = mounted_at

    def make(self) -> None:
        client = DockerClient().client
        client.volumes.create(self.name, labels=create_labels(self.name, None))
        atexit.register(self._remove)

    def _remove(self) -> None:
        client = DockerClient().client
        for container in client.containers.list(all=True, filters={"volume": self.name}):
            container.remove(force=True)
        for volume in client.volumes.list(filters={"name": self.name}):
            volume.remove()


class _Server:
    """One container at a time over one volume, reached on one port of 127.0.0.1."""

    def __init__(self, image: str, volume: _Volume, port: tuple[int, int]) -> None:
        """`port` is the container's and the host's."""
        self.pid = 0
        self._image = image
        self._volume = volume
        self._port = port
        self._container: DockerContainer | None = None

    @property
    def container(self) -> DockerContainer:
        if self._container is None:
            raise ValueError("it was not started")
        return self._container

    def made(self) -> DockerContainer:
        """Make the next container, without what is special about it."""
        container = DockerContainer(self._image).with_volume_mapping(
            self._volume.name, self._volume.mounted_at, mode="rw"
        )
        inside, outside = self._port
        container.ports[f"{inside}/tcp"] = cast("int", ("127.0.0.1", outside))  # as Docker's client takes it
        return container

    def start(self, container: DockerContainer) -> None:
        if self.is_running():
            raise RuntimeError(f"{self._image} is running already")
        self._forget()
        self._volume.make()
        self._container = container
        try:
            container.start()
        except Exception as error:
            tail = self.tail_of_log()
            self._forget()
            raise NotStarted(f"{self._image} did not start: {error}; its log ends:\n{tail}") from error
        self.pid = int(self._wrapped().attrs["State"]["Pid"])

    def is_running(self) -> bool:
        return self._container is not None and bool(self._wrapped().status == "running")

    def stop(self) -> None:
        if self.is_running():
            self._wrapped().stop(timeout=_STOP_S)
        self._forget()

    def kill(self) -> None:
        if self.is_running():
            self._wrapped().kill()
            self._wrapped().wait()

    def tail_of_log(self) -> str:
        try:
            return str(self._wrapped().logs(tail=20).decode(errors="replace"))
        except Exception as error:  # noqa: BLE001 - it is part of another error's message
            return str(error)

    def _wrapped(self) -> Any:
        wrapped = self.container.get_wrapped_container()
        wrapped.reload()
        return wrapped

    def _forget(self) -> None:
        """Remove the container that there was; its volume stays."""
        if self._container is not None:
            self._container.stop()
            self._container = None
