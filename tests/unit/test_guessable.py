"""Where others reach it or its brokers, no service starts with a secret that can be guessed."""

import os
import subprocess
import sys

import pytest

from shared.runtime.guessable import refuse_what_can_be_guessed
from shared.runtime.settings import KafkaSettings

pytestmark = pytest.mark.promise(
    "Where others reach it or its brokers, no service starts with secrets that can be guessed.", about="running"
)

GOOD = "7c1e0b5f3a9d4e2286f0c4d1b7a39e58"
SECRETS = {
    "CLAIMBUS_PASSWORD": GOOD[:12],
    "CLAIMBUS_DATABASE_URL": f"postgresql://claims:{GOOD[:12]}@postgres/claims",
    "CLAIMBUS_MEDIA_SECRET": GOOD,
}
DEV = {
    "CLAIMBUS_PASSWORD": "dev",
    "CLAIMBUS_DATABASE_URL": "postgresql://claims:dev@postgres/claims",
    "CLAIMBUS_MEDIA_SECRET": "dev",
}
ELSEWHERE = {"CLAIMBUS_BOOTSTRAP_SERVERS": "127.0.0.1:9092,kafka.example.org:9092"}
ONLINE = {"CLAIMBUS_PORTAL_URL": "https://portal.example.org"}


def check(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    refuse_what_can_be_guessed("claims", KafkaSettings())


@pytest.mark.parametrize("service", ["claims", "permissions"])
def test_a_service_ends_before_it_says_its_password_to_anybody(service: str) -> None:
    command = [sys.executable, "-m", f"services.{service}"]
    ended = subprocess.run(command, env=os.environ | ELSEWHERE | DEV, capture_output=True, text=True, timeout=30)
    assert ended.returncode == 1
    assert f"{service} does not start" in ended.stderr
    assert "'dev'" not in ended.stderr


@pytest.mark.parametrize("where", [ELSEWHERE, ONLINE, ELSEWHERE | ONLINE], ids=["brokers", "portal", "both"])
@pytest.mark.parametrize("name", sorted(DEV))
def test_a_single_one_is_enough(monkeypatch: pytest.MonkeyPatch, name: str, where: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=name):
        check(monkeypatch, where | SECRETS | {name: DEV[name]})


@pytest.mark.parametrize("name", ["CLAIMBUS_DATABASE_URL", "CLAIMBUS_MEDIA_SECRET"])
def test_what_a_service_does_not_have_is_not_asked_of_it(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    check(monkeypatch, ELSEWHERE | SECRETS | {name: ""})


@pytest.mark.parametrize(
    "where",
    [
        {"CLAIMBUS_BOOTSTRAP_SERVERS": "127.0.0.1:9092, localhost:9093,[::1]:9094"},
        {"CLAIMBUS_BOOTSTRAP_SERVERS": "kafka:9092", "CLAIMBUS_PORTAL_URL": "http://127.0.0.1:8000"},
    ],
    ids=["brokers of this machine", "compose"],
)
def test_on_one_machine_anything_goes(monkeypatch: pytest.MonkeyPatch, where: dict[str, str]) -> None:
    check(monkeypatch, where | DEV)
