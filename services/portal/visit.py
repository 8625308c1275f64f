"""A visit: one request of a browser, who makes it, and what pages need to answer it."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter
from starlette.requests import Request

from services.portal import words
from services.portal.directory_follower import DirectoryFollower
from services.portal.live import Live
from services.portal.media_store import MediaTables
from services.portal.request_sender import RequestSender
from services.portal.settings import WebSettings
from services.portal.store import Store
from services.portal.thumbnails import Thumbnails
from services.portal.uploads import Uploads
from services.portal.viewer import Viewer
from shared.domain.directory import Directory
from shared.storage.media_store import MediaStore


@dataclass(frozen=True)
class Portal:
    """What the pages work with."""

    settings: WebSettings
    store: Store
    live: Live
    follower: DirectoryFollower
    sender: RequestSender
    uploads: Uploads
    tables: MediaTables
    files: MediaStore
    thumbnails: Thumbnails
    log_ins: MovingWindowRateLimiter = field(default_factory=lambda: MovingWindowRateLimiter(MemoryStorage()))

    @property
    def directory(self) -> Directory:
        """The directory as it is now."""
        return self.follower.directory


@dataclass(frozen=True)
class Visit:
    """What a page is made of."""

    request: Request
    portal: Portal
    somebody: Viewer | None = None
    """Who is logged in; None on the pages before that, and where nobody is known."""

    @property
    def viewer(self) -> Viewer:
        """Who looks at a page that is for people who are logged in."""
        if self.somebody is None:
            raise LookupError("nobody is logged in: the address is not one for viewers")
        return self.somebody

    @property
    def language(self) -> str:
        """The session's language; Norwegian unless another one was chosen."""
        language = self.request.session.get("language")
        return language if language in words.LANGUAGES else words.DEFAULT

    def translated(self, text: str) -> str:
        """A sentence of the catalogue in the session's language."""
        return words.translations(self.language).gettext(text)

    def country_of(self, insurer: str) -> str:
        """An insurer's country (ISO 3166-1), in which phone numbers without a country code are."""
        return self.portal.directory.settings(insurer, datetime.now(UTC)).country
