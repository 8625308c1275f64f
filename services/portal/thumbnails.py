"""Small pictures of pictures, made when they are first looked at, and kept in memory."""

from collections import OrderedDict
from uuid import UUID

from services.portal.media_store import File
from services.portal.picture_maker import PictureMaker, Unreadable
from services.portal.turns import Turns
from shared.media.keys import stored
from shared.storage.media_store import MediaStore

_KEPT = 500
_LARGEST_BYTES = 40 * 1024 * 1024
_CPU_S = 5
"""The largest picture that is taken needs 1.3 s of a processor of 2023."""


class Thumbnails:
    """Makes one at a time, each company's in turn, so that neither memory nor the pages' other work suffers."""

    def __init__(self, files: MediaStore, cpu_s: int = _CPU_S) -> None:
        self._files = files
        self._kept: OrderedDict[str, bytes | None] = OrderedDict()
        self._turns = Turns()
        self._maker = PictureMaker(cpu_s)

    async def of(self, file: File, company: str) -> bytes:
        """Make a JPEG for a company, or give the one that was made. Raises Unreadable, MediaGone or StoreAway."""
        key = stored(file.stored_as)
        if key not in self._kept:
            async with self._turns.of(company):
                if key not in self._kept:  # nor was it made meanwhile
                    self._kept[key] = await self._made(key)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        jpeg = self._kept[key]
        if jpeg is None:
            raise Unreadable
        return jpeg

    def forget(self, id: UUID) -> None:
        """Forget the one of a file that is removed, by the id under which the store had it."""
        self._kept.pop(stored(id), None)

    async def stop(self) -> None:
        """End what makes them; safe to repeat."""
        await self._maker.stop()

    async def _made(self, key: str) -> bytes | None:
        """Make it; None if it cannot be made, which need not be tried again."""
        if (await self._files.head(key)).size > _LARGEST_BYTES:
            return None
        try:
            return await self._maker.small(b"".join([chunk async for chunk in self._files.stream(key)]))
        except Unreadable:
            return None
