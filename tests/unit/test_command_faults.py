"""No command ends in a traceback: not by a file, a setting or an argument, nor when its reader goes away."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from operations.command import app
from operations.demo.command import DIRECTORY
from operations.embedded import free_port
from tests.world import wait_until

WITH_CONNECTION = {
    "apply": ["apply", str(DIRECTORY)],
    "explain": ["explain", "--insurer=a", "--office=b"],
    "suggest": ["suggest", "1"],
    "submit": ["submit", "REQUESTS", "--as=operator"],
    "status": ["status"],
    "audit": ["audit"],
    "report": ["report", "--insurer=a"],
    "rebuild": ["rebuild", "portal"],
    "recover": ["recover", "claims"],
    "quota": ["quota", "a"],
    "pause": ["pause", "a"],
    "resume": ["resume", "a"],
    "remove": ["remove", "a"],
    "migrate": ["migrate", "portal"],
    "storm": ["storm", "--claims=1"],
    "topics": ["topics", "--provision"],
    "dead-letters list": ["dead-letters", "list"],
    "dead-letters show": ["dead-letters", "show", "a/0/0"],
    "dead-letters replay": ["dead-letters", "replay", "a/0/0"],
    "dead-letters discard": ["dead-letters", "discard", "a/0/0"],
}
WRONG_CONNECTIONS = {
    "nothing": (b"", ":1: is empty, and must be JSON"),
    "not JSON": (b'{"bootstrap_servers":\n', ":2: is not JSON: Expecting value"),
    "a list": (b"[]", ":1: the file: "),
    "other fields": (b'{\n"brokers": "x"}', ":2: brokers: "),
    "other types": (b'{"bootstrap_servers": "x",\n "companies": {"a": 3}}', ":2: companies.a: "),
    "no address": (
        b'{"bootstrap_servers": "x",\n"databases": {"claims": "x"}}',
        ":2: databases.claims: must be postgres",
    ),
    "no port": (
        b'{"bootstrap_servers": "x", "databases": {"claims": "postgresql://h:x/c"}}',
        "must be postgresql://user",
    ),
    "no web address": (b'{"bootstrap_servers": "x", "health": {"claims": ["x"]}}', "must be http://host:port"),
    "UTF-16": ("{}".encode("utf-16"), ":1: is UTF-16; save it as UTF-8"),
    "Latin-1": (b'{"bootstrap_servers":\n"\xe5"}', ":2: is not UTF-8: byte 0xe5"),
    "binary": (b"\x7fELF\x00", ":1: is not a text"),
    "deep": (b"[" * 100_000, ":1: is nested too deeply"),
    "digits": (b'{"bootstrap_servers": ' + b"9" * 5_000 + b"}", ":1: is not JSON: "),
}
NOT_SO = ("Traceback", "a fault in Claimbus")


def invoke(*words: str) -> str:
    """Run a command that has to fail, and return what it says."""
    done = CliRunner().invoke(app, list(words))
    assert isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code == 1, done.output
    assert done.stdout == ""
    return done.stderr


@pytest.mark.parametrize("wrong", WRONG_CONNECTIONS)
def test_every_command_tells_what_is_wrong_with_a_connection_file(wrong: str, tmp_path: Path) -> None:
    file, requests = tmp_path / "connection.json", tmp_path / "requests.json"
    content, reason = WRONG_CONNECTIONS[wrong]
    file.write_bytes(content)
    requests.write_text('{"type": "cancel-claim", "body": {}}')
    for name, words in WITH_CONNECTION.items():
        arguments = [str(requests) if word == "REQUESTS" else word for word in words]
        output = invoke(*arguments, f"--connection-file={file}")
        assert f"{file}" in output, name
        assert reason in output, name


def test_a_connection_file_that_is_none_is_told_as_such(tmp_path: Path) -> None:
    assert "cannot be read: Is a directory" in invoke("status", f"--connection-file={tmp_path}")
    assert "is `claimbus up` running?" in invoke("status", f"--connection-file={tmp_path / 'none'}")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", ":1: is empty"),
        ("{", ":1: is not JSON: "),
        ('[\n{"type": "x", "body": {}},\n{"body": {}}]', ":3: 1.type: Field required"),
        ('{"type": "x"}', ":1: body: Field required"),
        ('{"type": "x", "body": {},\n "actr": "y"}', ":2: actr: "),
        ('{"type": ["x"], "body": {}}', ":1: type: "),
        ('{"type": "x", "actor": {}, "body": {}}', ":1: actor: "),
        ('{"type": "\\ud83d", "body": {}}', ":1: type: "),
        ('{"type": "x", "body": NaN}', ":1: is not JSON: NaN is not a number there"),
        ("3", ":1: the file: "),
        ("[3]", ":1: 0: "),
        ("[]]", ":1: is not JSON: Extra data"),
        ("\ufeff{}", ":1: type: Field required"),
        ("[" * 100_000, ":1: is nested too deeply"),
    ],
)
def test_submit_tells_what_is_wrong_with_a_file(content: str, reason: str, tmp_path: Path) -> None:
    file = tmp_path / "requests.json"
    file.write_text(content, encoding="utf-8")
    assert f"{file}{reason}" in invoke("submit", str(file), "--as=vest", "--connection-file=/nowhere")


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("DATABASES", "claims", "CLAIMBUS_DATABASES and CLAIMBUS_HEALTH must be JSON objects"),
        ("DATABASES", "[]", "CLAIMBUS_DATABASES: "),
        ("DATABASES", '{"claims": "nowhere"}', "CLAIMBUS_DATABASES.claims: must be postgresql://"),
        ("HEALTH", '{"claims": "http://x"}', "CLAIMBUS_HEALTH.claims: "),
        ("HEALTH", '{"claims": ["x"]}', "must be http://host:port"),
        ("SECURITY_PROTOCOL", "TLS", "CLAIMBUS_SECURITY_PROTOCOL: Input should be 'SASL_PLAINTEXT' or 'SASL_SSL'"),
    ],
)
def test_every_command_tells_what_is_wrong_with_a_variable(
    variable: str, value: str, reason: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(f"CLAIMBUS_{variable}", value)
    requests = tmp_path / "requests.json"
    requests.write_text('{"type": "cancel-claim", "body": {}}')
    for words in (*WITH_CONNECTION.values(), ["up"], ["demo", "--keep"]):
        if words[0] != "demo":  # it would start everything first
            assert reason in invoke(*(str(requests) if word == "REQUESTS" else word for word in words))


def claimbus(*words: str, **more: str) -> subprocess.Popen[bytes]:
    command = [str(Path(sys.executable).with_name("claimbus")), *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **more})


def test_a_reader_that_goes_gets_no_complaint() -> None:
    for words in (["topics"], ["topics", "--json"], ["topics", "--format=kubernetes"], ["--help"]):
        process = claimbus(*words)
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        process.stderr.close()
        assert process.wait() in (0, 1)


def test_an_output_that_is_full_is_told_as_such() -> None:
    with Path("/dev/full").open("wb") as full:
        command = [str(Path(sys.executable).with_name("claimbus")), "topics"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1
    assert done.stderr.decode().splitlines()[0] == "No space left on device"
    assert b"Traceback" not in done.stderr


def test_ctrl_c_ends_a_command_that_waits_and_nobody_answering_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("operations.records._TIMEOUT_S", 1.0)
    file = tmp_path / "connection.json"
    connection = {
        "bootstrap_servers": f"127.0.0.1:{free_port()}",
        "companies": {"operator": {"password": "x", "token": ""}},
    }
    file.write_text(json.dumps(connection))
    for words in (["status"], ["apply", str(DIRECTORY)]):
        process = claimbus(*words, f"--connection-file={file}")
        threads = Path(f"/proc/{process.pid}/task")
        wait_until(lambda of=threads: len(list(of.iterdir())) > 1, what="Kafka's client")  # type: ignore[misc]
        process.send_signal(signal.SIGINT)
        _, complaints = process.communicate(timeout=60)
        assert process.returncode in (1, 130)
        assert not [word for word in NOT_SO if word.encode() in complaints], complaints
    assert re.search("cannot be reached", invoke("dead-letters", "list", f"--connection-file={file}"))


@pytest.mark.parametrize("locale", ["C", "en_US.ISO-8859-1", "nb_NO.UTF-8"])
def test_a_file_is_read_as_utf_8_in_every_locale(locale: str, tmp_path: Path) -> None:
    file = tmp_path / "sørlandet.yaml"
    file.write_text("companies:\n  - {id: sør, name: 'Sørlandet [/x]', kind: partner}\n", encoding="utf-8")
    words = ["explain", "--insurer=a", "--office=b", f"--directory={file}"]
    for coerce in ("0", "1"):
        process = claimbus(*words, LC_ALL=locale, PYTHONCOERCECLOCALE=coerce, PYTHONUTF8="0")
        _, complaints = process.communicate(timeout=60)
        assert process.returncode == 1
        assert b":2: companies.0.id: must be 1" in complaints
        assert not [word for word in NOT_SO if word.encode() in complaints], complaints
