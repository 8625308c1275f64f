"""Small pictures of pictures, made when they are first looked at, and kept in memory."""

import asyncio
import io
from collections import OrderedDict

import pillow_heif
from PIL import Image, ImageOps, UnidentifiedImageError

from services.portal.media_store import File
from shared.media.keys import stored
from shared.storage.media_store import MediaStore

_EDGE = 320
"""Pixels of the longer edge."""
_KEPT = 500
_AT_ONCE = 1
"""Each can take some 300 MB while it is unpacked."""
_LARGEST_BYTES = 40 * 1024 * 1024
_MOST_PIXELS = 50_000_000
_FORMATS = ("JPEG", "PNG", "WEBP", "HEIF")

pillow_heif.register_heif_opener()


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
                self._kept[key] = await asyncio.to_thread(small, await self._read(key))
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]

    async def _read(self, key: str) -> bytes:
        if (await self._files.head(key)).size > _LARGEST_BYTES:
            raise Unreadable
        return b"".join([chunk async for chunk in self._files.stream(key)])


def small(picture: bytes) -> bytes:
    """Make a small JPEG of a picture, the right way up and without the file's metadata. Raises Unreadable."""
    try:
        with Image.open(io.BytesIO(picture), formats=_FORMATS) as image:
            if image.width * image.height > _MOST_PIXELS:
                raise Unreadable
            image.draft("RGB", (_EDGE, _EDGE))
            turned = ImageOps.exif_transpose(image)
            turned.thumbnail((_EDGE, _EDGE))
            jpeg = io.BytesIO()
            turned.convert("RGB").save(jpeg, "JPEG", quality=80)
            return jpeg.getvalue()
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise Unreadable from error
