"""Where others reach it, the portal does not start with what can be guessed."""

import pytest

from services.portal.app import build
from services.portal.guessable import refuse_what_can_be_guessed
from services.portal.settings import WebSettings
from shared.runtime.settings import DatabaseSettings, KafkaSettings, MediaSettings

pytestmark = pytest.mark.promise(
    "Where others reach it, the portal does not start with secrets that can be guessed.", about="portal"
)

ONLINE = {"CLAIMBUS_PORTAL_URL": "https://portal.example.org", "CLAIMBUS_PORTAL_HOST": "0.0.0.0"}
GOOD = "7c1e0b5f3a9d4e2286f0c4d1b7a39e58"
SECRETS = {
    "CLAIMBUS_PORTAL_SECRET": GOOD,
    "CLAIMBUS_MEDIA_SECRET": GOOD,
    "CLAIMBUS_PASSWORD": "7c1e0b5f3a9d",
    "CLAIMBUS_DATABASE_URL": "postgresql://portal:7c1e0b5f3a9d@postgres/portal",
}
OF_COMPOSE = {
    "CLAIMBUS_PORTAL_SECRET": "dev",
    "CLAIMBUS_MEDIA_SECRET": "dev",
    "CLAIMBUS_PASSWORD": "dev",
    "CLAIMBUS_DATABASE_URL": "postgresql://portal:dev@postgres/portal",
    "CLAIMBUS_PORTAL_LOG_IN_FROM_DIRECTORY": "true",
}


def start(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    """Begin as the service does."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    build()


def check(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    refuse_what_can_be_guessed(WebSettings(), KafkaSettings(), DatabaseSettings(), MediaSettings())


def test_what_compose_has_for_trying_is_refused_before_anybody_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"does not start at https://portal\.example\.org") as refused:
        start(monkeypatch, ONLINE | OF_COMPOSE)
    assert all(name in str(refused.value) for name in OF_COMPOSE)
    assert "dev" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "weak"),
    [
        ("CLAIMBUS_PORTAL_SECRET", ""),
        ("CLAIMBUS_PORTAL_SECRET", GOOD[1:]),
        ("CLAIMBUS_PORTAL_SECRET", "abcde" * 20),
        ("CLAIMBUS_MEDIA_SECRET", ""),
        ("CLAIMBUS_MEDIA_SECRET", f"{GOOD},dev"),
        ("CLAIMBUS_MEDIA_SECRET", f"{GOOD},"),
        ("CLAIMBUS_PASSWORD", "claimbus"),
        ("CLAIMBUS_DATABASE_URL", "postgresql://portal:postgres@postgres/portal"),
        ("CLAIMBUS_PORTAL_LOG_IN_FROM_DIRECTORY", "1"),
    ],
)
def test_a_single_one_is_enough_to_be_refused(monkeypatch: pytest.MonkeyPatch, name: str, weak: str) -> None:
    with pytest.raises(ValueError, match=name) as refused:
        check(monkeypatch, ONLINE | SECRETS | {name: weak})
    assert sum(other in str(refused.value) for other in OF_COMPOSE) == 1


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"CLAIMBUS_DATABASE_URL": "postgresql://portal@postgres/portal"},
        {"CLAIMBUS_MEDIA_SECRET": f"{GOOD},{GOOD[::-1]}"},
    ],
)
def test_with_good_ones_it_starts(monkeypatch: pytest.MonkeyPatch, more: dict[str, str]) -> None:
    check(monkeypatch, ONLINE | SECRETS | more)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000", "http://localhost:8000", "https://[::1]:8000"])
def test_on_one_s_own_machine_anything_goes(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    check(monkeypatch, OF_COMPOSE | {"CLAIMBUS_PORTAL_URL": url})
