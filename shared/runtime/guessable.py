"""What no service starts with where others than people on its own machine reach it: secrets that can be guessed."""

from collections.abc import Iterator
from ipaddress import ip_address
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from shared.runtime.settings import DatabaseSettings, KafkaSettings, MediaSettings

SIGNS = 32
"""Whoever has something that was signed can try secrets at home, as fast as they like."""
_LOGS_IN = 12
"""A password has to be tried at a server."""
_DIFFERENT = 6


def refuse_what_can_be_guessed(service: str, kafka: KafkaSettings) -> None:
    """Raise ValueError, with all that is to be changed, if others could come in as this service."""
    if is_for_this_machine(kafka):
        return
    problems = list(guessable(kafka, DatabaseSettings(), MediaSettings()))
    if problems:
        raise ValueError(f"{service} does not start where others reach it or its brokers: {'; '.join(problems)}")


def is_for_this_machine(kafka: KafkaSettings) -> bool:
    """Whether the portal that it is for is on loopback; where that is not said, whether all brokers are."""
    if kafka.portal_url:
        return is_loopback(urlsplit(kafka.portal_url).hostname or "")
    brokers = kafka.bootstrap_servers.split(",")
    return all(is_loopback(urlsplit(f"//{broker.strip()}").hostname or "") for broker in brokers)


def guessable(kafka: KafkaSettings, database: DatabaseSettings, media: MediaSettings) -> Iterator[str]:
    """Yield what is wrong with those of a service's secrets that it has."""
    if media.media_secret.get_secret_value() and any(
        can_be_guessed(SecretStr(secret), SIGNS) for secret in media.media_secrets()
    ):
        yield f"CLAIMBUS_MEDIA_SECRET can be guessed: {wanted(SIGNS)}, as each of several"
    if kafka.has_password and can_be_guessed(SecretStr(kafka.current_password()), _LOGS_IN):
        yield f"CLAIMBUS_PASSWORD can be guessed: {wanted(_LOGS_IN)}"
    yield from _overheard(kafka)
    try:
        password = urlsplit(database.database_url.get_secret_value()).password
    except ValueError:
        return  # whoever connects says what is wrong with it
    if password is not None and can_be_guessed(SecretStr(unquote(password)), _LOGS_IN):
        yield f"the password in CLAIMBUS_DATABASE_URL can be guessed: {wanted(_LOGS_IN)}"


def _overheard(kafka: KafkaSettings) -> Iterator[str]:
    """Yield what would say a secret to whoever listens on the network, and not only prove that it is known (SCRAM)."""
    if kafka.security_protocol == "SASL_PLAINTEXT" and kafka.sasl_mechanism in ("PLAIN", "OAUTHBEARER"):
        yield f"CLAIMBUS_SASL_MECHANISM={kafka.sasl_mechanism} needs CLAIMBUS_SECURITY_PROTOCOL=SASL_SSL"
    token_url = urlsplit(kafka.oauth_token_url)
    if token_url.scheme == "http" and not is_loopback(token_url.hostname or ""):
        yield "CLAIMBUS_OAUTH_TOKEN_URL has to begin with https://"


def can_be_guessed(secret: SecretStr, length: int) -> bool:
    """Whether a secret is shorter than that, or the same few characters over and over."""
    text = secret.get_secret_value()
    return len(text) < length or len(set(text)) < _DIFFERENT


def wanted(length: int) -> str:
    """Say what a secret has to be like."""
    return f"at least {length} characters, {_DIFFERENT} of them different, as of `openssl rand -hex 24`"


def is_loopback(host: str) -> bool:
    """Whether a host is this machine by itself."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
