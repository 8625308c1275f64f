"""A real Kafka and PostgreSQL as child processes: who gets in, what stays, and that nothing is left behind."""

import asyncio
import contextlib
import os
import pwd
import select
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import platformdirs
import pytest
from aiokafka.conn import AIOKafkaConnection, create_conn
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource
from confluent_kafka.cimpl import NewTopic

from operations.embedded import ChildProcess, EmbeddedKafka, EmbeddedPostgres, NotStarted, free_port
from operations.embedded.kafka import BOUNDS
from shared.contract.topics import MIB

ODD = """it's "odd", a]b\\ @/ø"""
PASSWORDS = {"operator": "of the operator", "stranger": "of a stranger", "odd": ODD}
BOUNDED = pytest.mark.promise(
    "What a company or a stranger announces to the embedded Kafka, and how often it connects, does not end it.",
    about="running",
)
SILENCE = "connections.max.idle.ms"
CONNECTION_BYTES = 64 * 1024
"""What a connection takes that has sent nothing; measured, some 15 KiB."""
ITS_OWN_BYTES, HEAP_BYTES = 192 * MIB, 512 * MIB
LONG_AGO_MS = 1_000_000_000_000

SUPERVISOR = """
import sys, threading
from pathlib import Path
from operations.embedded import EmbeddedKafka, EmbeddedPostgres
folder = Path(sys.argv[1])
kafka = EmbeddedKafka(folder / "kafka", users={"operator": "of the operator"})
postgres = EmbeddedPostgres(folder / "postgres")
kafka.start()
postgres.start()
postgres.create_database("claims", owner="claims", password="of claims")
print(kafka.pid, postgres.pid, flush=True)
if len(sys.argv) > 2:
    postgres.stop()
    kafka.stop()
else:
    threading.Event().wait()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("embedded")


@pytest.fixture(scope="module")
def kafka(folder: Path) -> Iterator[EmbeddedKafka]:
    kafka = EmbeddedKafka(folder / "kafka", users=PASSWORDS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BOUNDS, SILENCE, "3000")
        kafka.start()
        yield kafka
    kafka.stop()


@pytest.fixture(scope="module")
def postgres(folder: Path) -> Iterator[EmbeddedPostgres]:
    postgres = EmbeddedPostgres(folder / "postgres")
    postgres.start()
    yield postgres
    postgres.stop()


def client(kafka: EmbeddedKafka, user: str, password: str | None = None, **more: Any) -> dict[str, Any]:
    return {
        "bootstrap.servers": kafka.bootstrap_servers,
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": user,
        "sasl.password": PASSWORDS[user] if password is None else password,
        "log_level": 0,
        **more,
    }


def create_topic(kafka: EmbeddedKafka, name: str) -> None:
    admin = AdminClient(client(kafka, "operator"))
    admin.create_topics([NewTopic(name, 1)])[name].result(30)


def produce(kafka: EmbeddedKafka, topic: str, value: bytes, **more: Any) -> None:
    failures: list[KafkaError] = []

    def delivered(error: KafkaError | None, _: Any) -> None:
        if error:
            failures.append(error)

    producer = Producer(client(kafka, "operator", acks="all", **more))
    producer.produce(topic, value, timestamp=LONG_AGO_MS, on_delivery=delivered)
    assert producer.flush(30) == 0
    assert not failures


def read_one(kafka: EmbeddedKafka, topic: str, user: str = "operator") -> Any:
    consumer = Consumer(client(kafka, user, **{"group.id": f"{user}.test"}))
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        return consumer.poll(30)
    finally:
        consumer.close()


async def announced(kafka: EmbeddedKafka, size: int) -> AIOKafkaConnection:
    """Log in, announce a request of so many bytes, and send eight of them."""
    host, _, port = kafka.bootstrap_servers.partition(":")
    connection = await create_conn(
        host,
        int(port),
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="SCRAM-SHA-512",
        sasl_plain_username="stranger",
        sasl_plain_password=PASSWORDS["stranger"],
    )
    connection._writer.write(size.to_bytes(4, "big") + bytes(8))
    await connection._writer.drain()
    return connection


async def is_ended_by_broker(connection: AIOKafkaConnection) -> bool:
    async with asyncio.timeout(30):
        await asyncio.wait({connection._read_task})
    return not connection.connected()


def error_of_login(configuration: dict[str, Any]) -> KafkaError:
    errors: list[KafkaError] = []
    admin = AdminClient(configuration | {"error_cb": errors.append})
    for _ in range(10):
        with pytest.raises(KafkaException):
            admin.list_topics(timeout=1)
        admin.poll(0)
        for error in errors:
            if error.code() == KafkaError._AUTHENTICATION:
                return error
    raise AssertionError(errors)


def family(*pids: int) -> set[int]:
    """Find processes with all that descend from them (PostgreSQL's lead sessions of their own)."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    found = set(pids) & parents.keys()
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def wait_until_gone(pids: set[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            process = os.pidfd_open(pid)
            try:
                assert select.select([process], [], [], 20)[0], f"{pid} is still there"
            finally:
                os.close(process)


def test_a_user_with_a_wrong_password_is_refused(kafka: EmbeddedKafka) -> None:
    assert error_of_login(client(kafka, "operator", "a guess"))


def test_an_unknown_user_is_refused(kafka: EmbeddedKafka) -> None:
    assert error_of_login(client(kafka, "nobody", "a guess"))


def test_the_brokers_own_listener_is_closed_to_the_anonymous(kafka: EmbeddedKafka, folder: Path) -> None:
    settings = dict(line.split("=", 1) for line in (folder / "kafka" / "server.properties").read_text().splitlines())
    controller = settings["listeners"].split(",")[1].removeprefix("CONTROLLER://")
    anonymous = AdminClient({"bootstrap.servers": controller, "log_level": 0})
    with pytest.raises(KafkaException):
        anonymous.list_topics(timeout=2)


def test_a_user_without_an_acl_cannot_read_a_topic(kafka: EmbeddedKafka) -> None:
    create_topic(kafka, "private")
    produce(kafka, "private", b"for the operator")
    assert read_one(kafka, "private").value() == b"for the operator"
    stranger = AdminClient(client(kafka, "stranger"))
    assert "private" not in stranger.list_topics(timeout=30).topics
    refused = stranger.list_topics("private", timeout=30).topics["private"].error
    assert refused is not None
    assert refused.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED
    assert read_one(kafka, "private", "stranger").error().code() == KafkaError.GROUP_AUTHORIZATION_FAILED


def test_a_topic_is_not_created_by_asking_for_it(kafka: EmbeddedKafka) -> None:
    admin = AdminClient(client(kafka, "operator"))
    topic = admin.list_topics("never-created", timeout=30).topics["never-created"]
    assert topic.error is not None
    assert topic.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART
    assert "never-created" not in admin.list_topics(timeout=30).topics


@pytest.mark.parametrize("compression", ["none", "gzip", "lz4", "snappy", "zstd"])
def test_the_time_of_a_record_is_when_it_was_appended(kafka: EmbeddedKafka, compression: str) -> None:
    create_topic(kafka, f"times-{compression}")
    produce(kafka, f"times-{compression}", b"x" * 1000, **{"compression.type": compression})
    kind, at = read_one(kafka, f"times-{compression}").timestamp()
    assert kind == 2  # append time
    assert at > LONG_AGO_MS + 1


async def test_a_database_is_for_its_owner_alone(postgres: EmbeddedPostgres) -> None:
    postgres.create_database("claims", owner="claims", password="of claims")
    postgres.create_database("reporting", owner="reporting", password="of reporting")
    connection = await asyncpg.connect(postgres.url("claims", "claims", "of claims"))
    await connection.execute("CREATE TABLE claim (id text)")
    await connection.close()
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await asyncpg.connect(postgres.url("claims", "reporting", "of reporting"))
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(postgres.url("claims", "claims", "of reporting"))


async def test_a_password_may_have_any_characters(kafka: EmbeddedKafka, postgres: EmbeddedPostgres) -> None:
    postgres.create_database("odd", owner="odd", password=ODD)
    await (await asyncpg.connect(postgres.url("odd", "odd", ODD))).close()
    assert AdminClient(client(kafka, "odd")).list_topics(timeout=30).brokers


def test_a_folder_holds_all_that_its_server_stores(tmp_path: Path) -> None:
    for _ in range(2):
        postgres = EmbeddedPostgres(tmp_path / "postgres")
        try:
            postgres.start()
        finally:
            postgres.stop()
        shutil.rmtree(tmp_path / "postgres")


async def test_a_database_can_be_created_again_and_takes_the_new_password(postgres: EmbeddedPostgres) -> None:
    postgres.create_database("again", owner="again", password="first")
    postgres.create_database("again", owner="again", password="second")
    await (await asyncpg.connect(postgres.url("again", "again", "second"))).close()
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(postgres.url("again", "again", "first"))


async def test_postgres_sorts_and_folds_as_unicode_and_is_durable(postgres: EmbeddedPostgres) -> None:
    postgres.create_database("settings", owner="settings", password="x")
    connection = await asyncpg.connect(postgres.url("settings", "settings", "x"))
    assert await connection.fetchval("SHOW server_encoding") == "UTF8"
    assert await connection.fetchval("SHOW fsync") == "on"
    assert (await connection.fetchval("SHOW server_version")).startswith("18")
    await connection.close()


def test_a_stop_leaves_no_child_and_a_start_finds_what_was_stored(
    kafka: EmbeddedKafka, postgres: EmbeddedPostgres
) -> None:
    create_topic(kafka, "kept")
    produce(kafka, "kept", b"still here")
    postgres.create_database("kept", owner="kept", password="of kept")
    for server in (kafka, postgres):
        processes = family(server.pid)
        server.stop()
        server.stop()
        assert not server.is_running()
        wait_until_gone(processes)
        server.start()
    assert read_one(kafka, "kept").value() == b"still here"
    postgres.create_database("kept", owner="kept", password="of kept")


def test_no_password_is_in_the_list_of_processes(kafka: EmbeddedKafka, postgres: EmbeddedPostgres) -> None:
    for pid in (kafka.pid, postgres.pid):
        shown = Path(f"/proc/{pid}/cmdline").read_text()
        assert "password" not in shown
        assert not any(password in shown for password in PASSWORDS.values())


def test_a_killed_supervisor_leaves_no_child_and_the_next_one_starts(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SUPERVISOR, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as supervisor:
        assert supervisor.stdout is not None
        processes = family(*map(int, supervisor.stdout.readline().split()))
        assert len(processes) > 2
        supervisor.send_signal(signal.SIGKILL)
    wait_until_gone(processes)
    subprocess.run([*command, "stop"], stdout=subprocess.DEVNULL, check=True)


def test_an_ordinary_user_can_run_it_too(kafka: EmbeddedKafka) -> None:
    home = Path(subprocess.check_output(["mktemp", "-d", "--tmpdir=/tmp"], text=True).strip())
    jars = Path("claimbus", "maven")
    shutil.copytree(platformdirs.user_cache_path() / jars, home / "cache" / jars)
    user, as_user = os.geteuid(), list[str]()
    if user == 0:
        # The tests' Python may be where only root can go, so this ordinary user is let through all folders.
        user = pwd.getpwnam("nobody").pw_uid
        for path in (home, *home.rglob("*")):
            os.chown(path, user, user)
        as_user = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
        as_user += ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    try:
        command = [*as_user, sys.executable, "-c", SUPERVISOR, str(home / "data"), "stop"]
        environment = {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "PYTHONPATH": str(Path.cwd())}
        environment["PATH"] = os.environ["PATH"]
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE)
        assert done.returncode == 0
        assert (home / "data" / "postgres" / "data" / "PG_VERSION").stat().st_uid == user
    finally:
        shutil.rmtree(home)


def test_a_command_that_cannot_be_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotStarted, match="no-such-command"):
        ChildProcess(["no-such-command"], log=tmp_path / "log").start()


def test_a_child_that_does_not_stop_is_killed(tmp_path: Path) -> None:
    child = ChildProcess(["sh", "-c", "trap '' TERM; echo deaf; while :; do read never; done"], log=tmp_path / "log")
    child.start()
    child.stop(0.2)
    child.stop(0.2)
    assert not child.is_running()
    assert not family(child.pid)


def test_a_free_port_can_be_taken_and_is_given_to_no_other_process_of_ours() -> None:
    port = free_port()
    with socket.socket() as server:
        server.bind(("127.0.0.1", port))
    others = f"""
from operations.embedded import processes
processes._PORTS = range({port}, {port} + 50)
given = {{processes.free_port() for _ in range(20)}}
assert len(given) == 20 and {port} not in given, given
"""
    subprocess.run([sys.executable, "-c", others], check=True, timeout=60)


# What a stranger or a company can do to the broker


@BOUNDED
async def test_a_request_of_a_hundred_mebibytes_is_refused_as_soon_as_it_is_announced(kafka: EmbeddedKafka) -> None:
    create_topic(kafka, "announced")
    attackers = [await announced(kafka, 100 * MIB) for _ in range(8)]
    assert [await is_ended_by_broker(attacker) for attacker in attackers] == [True] * 8
    await asyncio.to_thread(produce, kafka, "announced", b"of another")
    assert kafka.is_running()


@BOUNDED
async def test_requests_of_the_largest_size_that_are_never_sent_fit_into_the_brokers_memory(
    kafka: EmbeddedKafka,
) -> None:
    create_topic(kafka, "unsent")
    attackers = [await announced(kafka, 10 * MIB) for _ in range(12)]
    await asyncio.to_thread(produce, kafka, "unsent", b"of another")
    attackers += [await announced(kafka, 10 * MIB) for _ in range(30)]  # then it reads no further
    for attacker in attackers:
        attacker.close()
    await asyncio.to_thread(produce, kafka, "unsent", b"of another")
    assert kafka.is_running()


@BOUNDED
async def test_requests_that_are_never_sent_hold_up_others_no_longer_than_silence_is_put_up_with(
    kafka: EmbeddedKafka,
) -> None:
    create_topic(kafka, "silent")
    attackers = [await announced(kafka, 10 * MIB) for _ in range(14)]
    await asyncio.to_thread(produce, kafka, "silent", b"of another")
    assert [await is_ended_by_broker(attacker) for attacker in attackers] == [True] * 14


@BOUNDED
def test_what_a_stranger_sends_before_it_has_logged_in_is_small(kafka: EmbeddedKafka) -> None:
    with contextlib.ExitStack() as stack:
        strangers = [stack.enter_context(connected(kafka)) for _ in range(40)]
        for stranger in strangers:
            stranger.sendall((512 * 1024).to_bytes(4, "big") + bytes(8))
        assert [stranger.recv(1) for stranger in strangers] == [b""] * 40


@BOUNDED
def test_all_that_others_can_take_up_fits_into_the_brokers_memory(kafka: EmbeddedKafka) -> None:
    broker = ConfigResource(ConfigResource.Type.BROKER, "1")
    admin = AdminClient(client(kafka, "operator"))
    settings = admin.describe_configs([broker])[broker].result(30)
    queued = int(settings["queued.max.request.bytes"].value)
    assert queued > 0, "-1 is no bound"
    requests = queued + int(settings["socket.request.max.bytes"].value)
    connections = int(settings["max.connections.per.ip"].value) * CONNECTION_BYTES
    assert requests + connections + ITS_OWN_BYTES < HEAP_BYTES


def connected(kafka: EmbeddedKafka) -> socket.socket:
    host, _, port = kafka.bootstrap_servers.partition(":")
    return socket.create_connection((host, int(port)), timeout=30)
