"""Removing uploads that were never completed, or that no report named, and what was kept of sessions for a while:
forms that nobody came back for, and the ids of those that ended.

Copies that a link made are linking's.
"""

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta

from services.portal.media_store import MediaTables
from services.portal.store import Store
from services.portal.uploads import SENT_WITHIN, UploadSettings
from shared.contract.topics import DAY_MS, REQUESTS
from shared.errors import Misconfigured
from shared.media.keys import INCOMING, stored
from shared.runtime.logs import log
from shared.storage.database import DatabaseAway
from shared.storage.media_store import MediaGone, MediaStore, StoreAway

_INCOMING_KEPT = timedelta(days=1)
_FORMS_KEPT = timedelta(days=1)
_COOKIE_IN_FLIGHT = timedelta(hours=1)
"""A response that was under way when its session ended can have signed the cookie once more."""
_ON_ITS_WAY = timedelta(days=REQUESTS.kept_ms / DAY_MS)
"""How long a report that names an upload in time may wait on its topic; until then the bytes have to stay."""


class Sweeper:
    """Sweeps now and then for as long as the service runs; several at once do no harm."""

    def __init__(
        self, tables: MediaTables, files: MediaStore, settings: UploadSettings, store: Store, session: timedelta
    ) -> None:
        """`session` is how long the cookie of a session counts."""
        self._tables = tables
        self._files = files
        self._settings = settings
        self._store = store
        self._session = session
        self._sweeping: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin; safe to repeat."""
        if self._sweeping is None:
            self._sweeping = asyncio.create_task(self._now_and_then())

    async def stop(self) -> None:
        """Stop."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sweeping

    async def sweep(self, now: datetime) -> int:
        """Remove what nothing has referred to for long enough; return how many files that were.

        Of the verified files only what the database says is unnamed: one that it does not know of stays.
        Raises DatabaseAway or StoreAway; the next time does the rest.
        """
        await self._store.forget_forms(now - _FORMS_KEPT)
        await self._store.forget_sessions(now - self._session - _COOKIE_IN_FLIGHT)
        removed = await self._files.remove_unfinished(INCOMING, now - _INCOMING_KEPT)
        kept = SENT_WITHIN + timedelta(days=self._settings.upload_days) + _ON_ITS_WAY
        for id in await self._tables.unnamed_since_before(now - kept):
            await self._files.delete(stored(id))
            await self._tables.forget_upload(id)
            removed += 1
        return removed

    async def _now_and_then(self) -> None:
        while True:
            try:
                removed = await self.sweep(datetime.now(UTC))
            except (DatabaseAway, StoreAway, MediaGone, Misconfigured, OSError) as error:
                log.warning("media were not swept", reason=type(error).__name__)
            else:
                log.info("media were swept", removed=removed)
            await asyncio.sleep(self._settings.sweep_every_s)
