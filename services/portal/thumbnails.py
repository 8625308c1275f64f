"""Small pictures of pictures, made when they are first looked at, and kept in memory."""

import asyncio
from collections import OrderedDict

from services.portal.media_store import File
from shared.media.keys import stored
from shared.storage.media_store import MediaStore

_KEPT = 500
_AT_ONCE = 1
"""Each can take some 300 MB while it is unpacked."""
_LARGEST_BYTES = 40 * 1024 * 1024


class Unreadable(Exception):
    """It is no picture that can be made small: too large, or damaged."""


class Thumbnails:
    """Makes one at a time, so that neither memory nor the pages' other work suffers."""

    def __init__(self, files: MediaStore) -> None:
        self._files = files
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._making = asyncio.Semaphore(_AT_ONCE)

    async def of(self, file: File) -> bytes:
        """Make a JPEG, or give the one that was made. Raises Unreadable, MediaGone or StoreAway."""
        key = stored(file.stored_as)
        if key not in self._kept:
            async with self._making:
                self._kept[key] = await asyncio.to_thread(_small, await self._read(key))
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]

    async def _read(self, key: str) -> bytes:
        if (await self._files.head(key)).size > _LARGEST_BYTES:
            raise Unreadable
        return b"".join([chunk async for chunk in self._files.stream(key)])


def _small(picture: bytes) -> bytes:
    from services.portal.pictures import small  # noqa: PLC0415 (6 MiB, which many portals never need)

    return small(picture)
