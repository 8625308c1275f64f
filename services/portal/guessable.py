"""What the portal refuses to start with where others than people on its own machine reach it: what can be guessed."""

from collections.abc import Iterator

from pydantic import SecretStr
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from services.portal.settings import WebSettings
from shared.runtime.settings import DatabaseSettings, KafkaSettings, MediaSettings

_SIGNS = 32
"""Whoever has something that was signed can try secrets at home, as fast as they like."""
_LOGS_IN = 12
"""A password has to be tried at a server."""
_DIFFERENT = 6


def refuse_what_can_be_guessed(
    web: WebSettings, kafka: KafkaSettings, database: DatabaseSettings, media: MediaSettings
) -> None:
    """Raise ValueError, with all that is to be changed, if people elsewhere could come in as somebody else."""
    if web.is_on_loopback:
        return
    problems = list(_problems(web, kafka, database, media))
    if problems:
        raise ValueError(f"the portal does not start at {web.address}, where others reach it: {'; '.join(problems)}")


def _problems(
    web: WebSettings, kafka: KafkaSettings, database: DatabaseSettings, media: MediaSettings
) -> Iterator[str]:
    if web.log_in_from_directory:
        yield "CLAIMBUS_PORTAL_LOG_IN_FROM_DIRECTORY lets anybody in as anybody"
    if _can_be_guessed(web.secret, _SIGNS):
        yield f"CLAIMBUS_PORTAL_SECRET can be guessed: {_wanted(_SIGNS)}"
    if any(_can_be_guessed(SecretStr(secret), _SIGNS) for secret in media.media_secrets()):
        yield f"CLAIMBUS_MEDIA_SECRET can be guessed: {_wanted(_SIGNS)}, as each of several"
    if _can_be_guessed(kafka.password, _LOGS_IN):
        yield f"CLAIMBUS_PASSWORD can be guessed: {_wanted(_LOGS_IN)}"
    try:
        password = make_url(database.database_url.get_secret_value()).password
    except ArgumentError:
        return  # whoever connects says what is wrong with it
    if password is not None and _can_be_guessed(SecretStr(password), _LOGS_IN):
        yield f"the password in CLAIMBUS_DATABASE_URL can be guessed: {_wanted(_LOGS_IN)}"


def _can_be_guessed(secret: SecretStr, length: int) -> bool:
    text = secret.get_secret_value()
    return len(text) < length or len(set(text)) < _DIFFERENT


def _wanted(length: int) -> str:
    return f"at least {length} characters, {_DIFFERENT} of them different, as of `openssl rand -hex 24`"
