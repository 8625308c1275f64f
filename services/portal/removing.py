"""Removing the files of redacted claims from the store: at once, and again where the store is away."""

import asyncio
import contextlib

from services.portal.media_store import MediaTables
from services.portal.thumbnails import Thumbnails
from shared.errors import Misconfigured
from shared.media.keys import incoming, stored
from shared.runtime.logs import log
from shared.storage.database import DatabaseAway
from shared.storage.media_store import MediaStore, StoreAway

_AT_A_TIME = 100
_AGAIN_S = 60.0


class Remover:
    """Removes what it is told of, for as long as the service runs; several at once do no harm.

    Nobody waits for it: what is to be removed stays in the database until it is.
    """

    def __init__(self, tables: MediaTables, files: MediaStore, thumbnails: Thumbnails) -> None:
        self._tables = tables
        self._files = files
        self._thumbnails = thumbnails
        self._told = asyncio.Event()
        self._removing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin; safe to repeat."""
        if self._removing is None:
            self._removing = asyncio.create_task(self._now_and_then())

    async def stop(self) -> None:
        """Stop."""
        if self._removing is not None:
            self._removing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._removing

    def tell(self) -> None:
        """Say that there is something to remove."""
        self._told.set()

    async def remove(self) -> int:
        """Remove all that waits for it; return how many files. Raises DatabaseAway or StoreAway."""
        removed = 0
        while ids := await self._tables.to_remove(_AT_A_TIME):
            for id in ids:
                await self._files.delete(stored(id))
                await self._files.delete(incoming(id))
                self._thumbnails.forget(id)
            await self._tables.removed(ids)
            removed += len(ids)
        return removed

    async def _now_and_then(self) -> None:
        while True:
            self._told.clear()
            try:
                if removed := await self.remove():
                    log.info("files of redacted claims were removed", removed=removed)
            except (DatabaseAway, StoreAway, Misconfigured, OSError) as error:
                log.warning("files of redacted claims wait to be removed", reason=type(error).__name__)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._told.wait(), _AGAIN_S)
