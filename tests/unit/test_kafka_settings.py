"""What a service is told about logging in to Kafka fits together, or it does not start."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from operations.connection import Unreachable, load_connection
from shared.runtime.guessable import guessable
from shared.runtime.passwords import PasswordInFile, in_file
from shared.runtime.settings import DatabaseSettings, KafkaSettings, MediaSettings
from tests.builders.certificates import Authority

pytestmark = pytest.mark.promise(
    "A service or command that is told two things about logging in that do not fit says so and does not start.",
    about="running",
)

PREFIX = "CLAIMBUS_"
WRONG = {
    "no certificate": ({"SECURITY_PROTOCOL": "SSL"}, "CLAIMBUS_SSL_CERTIFICATE_FILE has to name it"),
    "a password too": (
        {"SECURITY_PROTOCOL": "SSL", "SSL_CERTIFICATE_FILE": "own.pem", "PASSWORD": "x"},
        "without CLAIMBUS_PASSWORD",
    ),
    "a certificate without TLS": ({"SSL_CERTIFICATE_FILE": "own.pem"}, "CLAIMBUS_SSL_CERTIFICATE_FILE needs TLS"),
    "a key of nothing": ({"SSL_KEY_FILE": "own.pem"}, "CLAIMBUS_SSL_KEY_FILE needs CLAIMBUS_SSL_CERTIFICATE_FILE"),
    "two passwords": ({"PASSWORD": "x", "PASSWORD_FILE": "password"}, "leave one of them out"),
    "no token endpoint": ({"SASL_MECHANISM": "OAUTHBEARER"}, "OAUTHBEARER needs CLAIMBUS_OAUTH_TOKEN_URL"),
    "a token endpoint of nothing": ({"OAUTH_TOKEN_URL": "https://x"}, "needs CLAIMBUS_SASL_MECHANISM=OAUTHBEARER"),
    "a scope of nothing": ({"OAUTH_SCOPE": "x"}, "needs CLAIMBUS_SASL_MECHANISM=OAUTHBEARER"),
    "half an extension": (
        {"SASL_MECHANISM": "OAUTHBEARER", "OAUTH_TOKEN_URL": "https://x", "OAUTH_EXTENSIONS": "logicalCluster"},
        "CLAIMBUS_OAUTH_EXTENSIONS has to be name=value",
    ),
    "no file": ({"PASSWORD_FILE": "nowhere"}, "CLAIMBUS_PASSWORD_FILE cannot be read"),
    "an empty file": ({"PASSWORD_FILE": "empty"}, "CLAIMBUS_PASSWORD_FILE cannot be read: empty is empty"),
    "no such certificate": ({"SECURITY_PROTOCOL": "SSL", "SSL_CERTIFICATE_FILE": "nowhere"}, "nowhere"),
    "no such authority": ({"SECURITY_PROTOCOL": "SASL_SSL", "SSL_CA_FILE": "nowhere"}, "nowhere"),
}


@pytest.fixture(autouse=True)
def in_a_folder_with_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Authority().write_client(Path("own.pem"), "claims")
    Path("password").write_text("a password")
    Path("empty").write_text("\n")


def said(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(PREFIX + name, value)


@pytest.mark.parametrize("wrong", WRONG)
def test_what_does_not_fit_together_is_told_before_anything_starts(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    variables, reason = WRONG[wrong]
    said(monkeypatch, variables)
    with pytest.raises(ValidationError, match=reason):
        KafkaSettings()
    monkeypatch.setenv("CLAIMBUS_BOOTSTRAP_SERVERS", "127.0.0.1:9")
    monkeypatch.setenv("CLAIMBUS_CONNECTION_FILE", "none.json")
    with pytest.raises(Unreachable, match=reason):
        load_connection()


@pytest.mark.parametrize(
    "variables",
    [
        {"SECURITY_PROTOCOL": "SSL", "SSL_CERTIFICATE_FILE": "own.pem"},
        {"SECURITY_PROTOCOL": "SASL_SSL", "SSL_CERTIFICATE_FILE": "own.pem", "PASSWORD_FILE": "password"},
        {"SASL_MECHANISM": "OAUTHBEARER", "OAUTH_TOKEN_URL": "http://127.0.0.1/token", "PASSWORD": "x"},
        {"SASL_MECHANISM": "PLAIN", "PASSWORD": "x"},
    ],
)
def test_what_fits_together_is_taken_by_services_and_the_command(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said(monkeypatch, variables)
    assert KafkaSettings().has_password is (variables.get("SECURITY_PROTOCOL") != "SSL")
    monkeypatch.setenv("CLAIMBUS_BOOTSTRAP_SERVERS", "127.0.0.1:9")
    monkeypatch.setenv("CLAIMBUS_CONNECTION_FILE", "none.json")
    connection = load_connection()
    assert connection.client()["security.protocol"] == variables.get("SECURITY_PROTOCOL", "SASL_PLAINTEXT")
    assert connection.settings().current_password() == KafkaSettings().current_password()


def test_a_password_file_may_say_by_which_mechanism_it_is_known() -> None:
    for text, mechanism, password in (
        (in_file("secret", "SCRAM-SHA-256"), "SCRAM-SHA-256", "secret"),
        ("secret\n", "SCRAM-SHA-512", "secret"),
        ("{other}secret", "SCRAM-SHA-512", "{other}secret"),
    ):
        Path("password").write_text(text)
        read = PasswordInFile.read("password", "SCRAM-SHA-512")
        assert (read, read.mechanism) == (password, mechanism)
    Path("password").write_text("{SCRAM-SHA-256}secret")
    assert PasswordInFile.read("password", "PLAIN") == "{SCRAM-SHA-256}secret"


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"SASL_MECHANISM": "PLAIN", "PASSWORD": "7c1e0b5f3a9d4e2286f0"}, "PLAIN needs CLAIMBUS_SECURITY_PROTOCOL"),
        (
            {"SASL_MECHANISM": "OAUTHBEARER", "PASSWORD": "7c1e0b5f3a9d4e2286f0", "OAUTH_TOKEN_URL": "http://x/token"},
            "has to begin with https://",
        ),
        ({"PASSWORD_FILE": "password"}, "CLAIMBUS_PASSWORD can be guessed"),
    ],
)
def test_where_others_reach_the_brokers_no_secret_is_said_aloud_or_guessed(
    variables: dict[str, str], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said(monkeypatch, variables)
    Path("password").write_text("dev")
    assert any(reason in problem for problem in guessable(KafkaSettings(), DatabaseSettings(), MediaSettings()))
