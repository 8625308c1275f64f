"""Making a picture small, whatever somebody uploaded as one."""

import io

import pillow_heif
from PIL import Image, ImageOps, UnidentifiedImageError

from services.portal.thumbnails import Unreadable

_EDGE = 320
"""Pixels of the longer edge."""
_MOST_PIXELS = 50_000_000
_FORMATS = ("JPEG", "PNG", "WEBP", "HEIF")

pillow_heif.register_heif_opener()


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
