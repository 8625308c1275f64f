"""Copying a part's files: bounded, verified, and resumed where a crash left it."""

import asyncio
from collections.abc import Iterable
from uuid import UUID

from services.linking.rules import Copy, copies, give_up, import_of
from services.linking.settings import LinkingSettings
from shared.contract.linking import GiveUpImport, ImportContent, LinkFailure, LinkRequested
from shared.media.keys import stored
from shared.runtime import metrics
from shared.runtime.logs import log
from shared.storage.media_store import MediaDiffers, MediaGone, MediaStore, StoreAway


class Copying:
    """Copies files within the store, so many at once in all, and so many of one link."""

    def __init__(self, store: MediaStore, settings: LinkingSettings) -> None:
        self._store = store
        self._settings = settings
        self._slots = asyncio.Semaphore(settings.files_at_once)

    async def copied(self, request: LinkRequested) -> ImportContent | GiveUpImport:
        """Copy all files of a part, and return what the target is to import.

        A link whose files are gone, or wrong, or not copied within the configured time, is given up, also if the store
        is only slow. The time begins anew when the part does, after a crash. A later part is never given up, since its
        claim is cancelled already: it is tried for as long as it takes, and a file that is gone or wrong is named in
        the report, which goes without it.
        """
        limit = asyncio.timeout(self._settings.give_up_after_s if request.part == 1 else None)
        try:
            async with limit:
                return await self._copied(request)
        except TimeoutError:
            if not limit.expired():
                raise
            return self._given_up(request, LinkFailure.STORE_AWAY)

    async def _copied(self, request: LinkRequested) -> ImportContent | GiveUpImport:
        left = list(copies(request))
        lost: set[UUID] = set()
        wait_s = self._settings.retry_first_s
        while True:
            failures = await self._copy_all(left)
            left = [copy for copy, failure in failures if failure is LinkFailure.STORE_AWAY]
            hopeless = {copy.media_id: failure for copy, failure in failures if failure is not LinkFailure.STORE_AWAY}
            if hopeless and request.part == 1:
                return self._given_up(request, next(iter(hopeless.values())))
            for media_id, failure in hopeless.items():
                log.error("file is lost", link=str(request.link_id), media=str(media_id), reason=failure)
            lost |= hopeless.keys()
            if not left:
                return import_of(request, lost)
            log.warning("store is away", link=str(request.link_id), part=request.part, files=len(left), wait_s=wait_s)
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, self._settings.retry_longest_s)

    async def remove(self, keys: Iterable[str]) -> None:
        """Remove copies that nothing refers to, several at once. Raises StoreAway."""
        remaining = iter(keys)

        async def work() -> None:
            for key in remaining:
                await self._store.delete(key)

        await asyncio.gather(*(work() for _ in range(self._settings.files_at_once)))

    async def _copy_all(self, files: Iterable[Copy]) -> list[tuple[Copy, LinkFailure]]:
        failures: list[tuple[Copy, LinkFailure]] = []
        remaining = iter(files)

        async def work() -> None:
            for file in remaining:
                async with self._slots:
                    failure = await self._copy(file)
                if failure is not None:
                    failures.append((file, failure))
                if failure is LinkFailure.STORE_AWAY:
                    break  # the others would wait for it too

        async with asyncio.TaskGroup() as workers:
            for _ in range(self._settings.files_at_once_of_a_link):
                workers.create_task(work())
        failures += [(file, LinkFailure.STORE_AWAY) for file in remaining]
        return failures

    async def _copy(self, file: Copy) -> LinkFailure | None:
        try:
            await self._store.copy(stored(file.source), stored(file.target), file.sha256)
        except StoreAway:
            return LinkFailure.STORE_AWAY
        except MediaGone:
            return LinkFailure.MEDIA_GONE
        except MediaDiffers:
            return LinkFailure.MEDIA_DIFFERS
        metrics.FILES_COPIED.inc()
        metrics.MEDIA_BYTES.labels("copied").inc(file.size)
        return None

    def _given_up(self, request: LinkRequested, reason: LinkFailure) -> GiveUpImport:
        log.warning("link is given up", link=str(request.link_id), claim=str(request.source_claim_id), reason=reason)
        metrics.LINKS_GIVEN_UP.labels(reason).inc()
        return give_up(request, reason)
