"""What the portal refuses to start with where others than people on its own machine reach it: what can be guessed."""

from collections.abc import Iterator

from services.portal.settings import WebSettings
from shared.runtime.guessable import SIGNS, can_be_guessed, guessable, wanted
from shared.runtime.settings import DatabaseSettings, KafkaSettings, MediaSettings


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
    if can_be_guessed(web.secret, SIGNS):
        yield f"CLAIMBUS_PORTAL_SECRET can be guessed: {wanted(SIGNS)}"
    if not media.media_secret.get_secret_value():
        yield f"CLAIMBUS_MEDIA_SECRET is not set: {wanted(SIGNS)}"
    yield from guessable(kafka, database, media)
