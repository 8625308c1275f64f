"""A start takes as long as it takes: what lives is waited for and named, and what has died ends it with its reason."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from operations.connection import Connection
from operations.embedded import ChildProcess, EmbeddedKafka, EmbeddedPostgres, NotStarted, Waiting, free_port
from operations.services import REGISTRY
from operations.stack import Instance, NotUp, Stack
from tests.world import claimbus_as_a_user, wait_until

EVERY_S = 0.05


class GivenUp(BaseException):
    """Ctrl-C."""


class Listener:
    """Collects what a start waits for; after some reports, does something about it."""

    def __init__(self, then: str | None = None, times: int = 3) -> None:
        self.sentences: list[str] = []
        self.pid = 0
        self._then = then
        self._times = times

    def __call__(self, sentence: str) -> None:
        self.sentences.append(sentence)
        if len(self.sentences) == self._times:
            if self._then is None:
                raise GivenUp
            os.kill(self.pid, getattr(signal, self._then))


def alone(folder: Path, listener: Listener, **wrong: str) -> Stack:
    """A stack of one service and nothing that it needs."""
    environment = {
        "CLAIMBUS_BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}",
        "CLAIMBUS_PASSWORD": "x",
        "CLAIMBUS_HEALTH_PORT": str(free_port()),
        **wrong,
    }
    stack = Stack(folder)
    stack._waiting = Waiting(listener, EVERY_S)
    stack.instances.append(Instance("delivery", 1, environment, folder / "delivery-1.log", "services.delivery"))
    stack.instances[0].start()
    return stack


@pytest.fixture
def listener() -> Listener:
    return Listener()


def test_a_service_that_lives_and_is_not_ready_is_waited_for_and_what_it_waits_for_is_said(
    tmp_path: Path, listener: Listener
) -> None:
    stack = alone(tmp_path, listener)
    try:
        with pytest.raises(GivenUp):
            stack.wait_until_ready(at_start=True)
        assert all(sentence.startswith("still waiting after ") for sentence in listener.sentences)
        assert all("delivery-1: " in sentence for sentence in listener.sentences)
    finally:
        stack.instances[0].stop()


def test_a_service_that_dies_at_the_start_ends_it_at_once_with_the_reason_and_its_log(tmp_path: Path) -> None:
    stack = alone(tmp_path, Listener(times=100_000), CLAIMBUS_BATCH_MAX_RECORDS="none")
    with pytest.raises(NotUp) as died:
        stack.wait_until_ready(at_start=True)
    first = str(died.value).splitlines()[0]
    assert first.startswith("delivery-1 ended with status 1: ")
    assert "batch_max_records Input should be a valid integer" in first
    assert str(tmp_path / "delivery-1.log") in str(died.value)


def test_services_are_started_with_the_servers_and_complain_of_nothing_until_those_are_ready(
    connection: Connection, run_folder: Path
) -> None:
    services = {service for service in REGISTRY if connection.processes[service]}
    logs = {log.name: [json.loads(line) for line in log.read_text().splitlines()] for log in logs_of(run_folder)}
    assert {name.rpartition("-")[0] for name in logs} == services
    for name, lines in logs.items():
        started = [line["event"] for line in lines].index("started")
        assert [line for line in lines[:started] if line["level"] not in ("debug", "info")] == [], name


def logs_of(folder: Path) -> list[Path]:
    return [log for log in (folder / "logs").iterdir() if log.name != "migrate.log"]


def test_a_service_that_is_killed_at_the_start_ends_it_too(tmp_path: Path) -> None:
    listener = Listener(then="SIGKILL", times=1)
    stack = alone(tmp_path, listener)
    listener.pid = stack.instances[0].pid or 0
    with pytest.raises(NotUp, match="delivery-1 was ended by SIGKILL"):
        stack.wait_until_ready(at_start=True)


def test_later_what_dies_is_started_again_until_it_is_plain_that_it_always_dies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("operations.stack.stack._MOST_DEATHS", 1)
    stack = alone(tmp_path, Listener(times=100_000), CLAIMBUS_BATCH_MAX_RECORDS="none")
    with pytest.raises(NotUp, match="delivery-1 ended with status 1"):
        stack.wait_until_ready()
    assert (tmp_path / "delivery-1.log").read_text().count("batch_max_records") >= 2


def test_a_service_that_gets_no_processor_for_a_while_is_ready_when_it_gets_one(stack: Stack) -> None:
    listener = Listener(then="SIGCONT", times=4)
    (delivery,) = stack.of("delivery")
    listener.pid = delivery.pid or 0
    before, stack._waiting = stack._waiting, Waiting(listener, EVERY_S)
    os.kill(listener.pid, signal.SIGSTOP)
    try:
        stack.wait_until_ready()
    finally:
        os.kill(listener.pid, signal.SIGCONT)
        stack._waiting = before
    assert len(listener.sentences) >= 4
    assert delivery.pid == listener.pid
    assert all("delivery-1: does not answer yet" in sentence for sentence in listener.sentences[:4])


@pytest.fixture
def slow_java(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A Java that only waits."""
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\nexec sleep 600\n")
    java.chmod(0o755)
    monkeypatch.setattr("operations.embedded.kafka.JAVA", java)
    return java


def test_kafka_is_waited_for_as_long_as_it_lives(slow_java: Path, tmp_path: Path, listener: Listener) -> None:
    kafka = EmbeddedKafka(tmp_path / "kafka", users={"operator": "x"}, waiting=Waiting(listener, EVERY_S))
    with pytest.raises(GivenUp):
        kafka.start()
    assert "Kafka formats its storage" in listener.sentences[-1]
    (tmp_path / "kafka" / "log").mkdir()
    listener.sentences.clear()
    with pytest.raises(GivenUp):
        kafka.start()
    assert "Kafka does not listen yet" in listener.sentences[-1]
    assert not kafka.is_running()
    slow_java.write_text("#!/bin/sh\necho out of luck\nexit 3\n")
    with pytest.raises(NotStarted, match=r"Kafka ended with status 3; its log, .*kafka.log, ends:\nout of luck"):
        kafka.start()


def test_how_a_process_ended_is_told(tmp_path: Path) -> None:
    for command, end in (("exit 0", "ended with status 0"), ("kill -9 $$", "was ended by SIGKILL")):
        child = ChildProcess(["sh", "-c", command], log=tmp_path / "log")
        assert child.end() is None
        child.start()
        wait_until(lambda child=child: not child.is_running(), what="its end")  # type: ignore[misc]
        assert child.end() == end


def test_what_an_earlier_start_has_kept_and_somebody_broke_is_named(tmp_path: Path) -> None:
    for name, content in (("services.json", "{"), ("ports.json", "[]"), ("companies.json", '{"a": 3}')):
        folder = tmp_path / name
        folder.mkdir()
        (folder / name).write_text(content)
        stack = Stack(folder)
        try:
            with pytest.raises(NotUp, match=f"{name}:1: "):
                stack.start()
        finally:
            stack.stop()


def test_up_ends_at_once_and_says_why_when_a_service_dies(folder: Path, tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("claimbus")), "up", f"--data={folder / 'dies'}"]
    command += [f"--connection-file={tmp_path / 'up.json'}", f"--portal-port={free_port()}"]
    environment = {**os.environ, "CLAIMBUS_LOG_LEVEL": "LOUD"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1
    assert "-1 ended with status 1: " in done.stderr
    assert "log_level" in done.stderr
    assert str(folder / "dies" / "logs") in done.stderr
    assert "a fault in Claimbus" not in done.stderr


def test_a_data_folder_that_cannot_be_one_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = claimbus_as_a_user("up", f"--data={tmp_path / 'file' / 'data'}", f"--connection-file={tmp_path / 'up.json'}")
    assert done.returncode == 1
    assert done.stderr.strip().endswith(f"{tmp_path / 'file' / 'data'}: Not a directory")


def test_a_start_ends_when_what_the_services_need_has_ended(tmp_path: Path) -> None:
    stack = alone(tmp_path, Listener(times=100_000))
    stack.postgres = EmbeddedPostgres(tmp_path / "postgres")
    try:
        with pytest.raises(NotUp, match=r"postgres has ended; its log is in .*/postgres"):
            stack.wait_until_ready(at_start=True)
    finally:
        stack.instances[0].stop()
