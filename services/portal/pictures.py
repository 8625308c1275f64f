"""Making a picture small, whatever somebody uploaded as one; as a process, those that come by its standard input."""

import contextlib
import io
import os
import resource
import sys
from pathlib import Path

import pillow_heif
from PIL import Image, ImageOps, UnidentifiedImageError

from services.portal.picture_maker import LENGTH_BYTES, Unreadable

_EDGE = 320
"""Pixels of the longer edge."""
_MOST_PIXELS = 50_000_000
_MOST_MEMORY_BYTES = 512 * 1024 * 1024
"""Of addresses. A HEIC of 48 million pixels, a phone's largest, and a progressive JPEG of 50 fit into 450 MiB; a PNG of
50 with transparency, which no camera makes, does not."""
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


def _run(cpu_s: int) -> None:
    """Make each picture that comes small until there are no more. One that takes too long ends the process."""
    os.nice(10)
    with contextlib.suppress(OSError):  # Linux has it
        Path("/proc/self/oom_score_adj").write_text("1000")
    with contextlib.suppress(OSError, ValueError):  # macOS has no such limit
        resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY_BYTES, _MOST_MEMORY_BYTES))
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    while length := sys.stdin.buffer.read(LENGTH_BYTES):
        picture = sys.stdin.buffer.read(int.from_bytes(length))
        used = resource.getrusage(resource.RUSAGE_SELF)
        resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + 1 + cpu_s, most))
        try:
            made = small(picture)
        except (Unreadable, MemoryError):
            made = b""
        sys.stdout.buffer.write(len(made).to_bytes(LENGTH_BYTES) + made)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    _run(int(sys.argv[1]))
