"""Unpacking a compressed record batch into a bounded buffer.

A batch of some hundred kilobytes can be hundreds of megabytes unpacked, and a broker's quotas count the former.
aiokafka (0.14) unpacks whatever there is: one company's batch would take the memory of the service that reads for all.
"""

from collections.abc import Callable
from mmap import mmap
from typing import Any

from aiokafka import codec
from aiokafka.record._crecords import default_records
from cramjam import DecompressionError, gzip, lz4, snappy, zstd

LARGEST_UNPACKED_BYTES = 16 * 1024 * 1024
"""Far more than a client puts into a batch: they bound one by what it is before it is compressed."""

_room = mmap(-1, LARGEST_UNPACKED_BYTES)
"""Where one batch after the other is unpacked; it is memory as far as it was ever written to."""


class CannotBeUnpacked(Exception):
    """A batch is larger than that, or broken; the message says it for people."""


def _bounded(unpack_into: Callable[[Any, Any], int]) -> Callable[[Any], bytes]:
    def unpack(packed: Any) -> bytes:
        try:
            return _room[: unpack_into(packed, _room)]
        except (DecompressionError, ValueError) as error:
            raise CannotBeUnpacked("its batch is too large unpacked, or broken") from error

    return unpack


def _unpack_snappy(packed: Any, room: Any) -> int:
    """Unpack what librdkafka writes, or the blocks that Java's clients write, each behind its length."""
    if not codec._detect_xerial_stream(packed):
        return snappy.decompress_raw_into(packed, room)
    blocks, left = memoryview(packed)[16:], memoryview(room)
    while blocks:
        end = 4 + int.from_bytes(blocks[:4], "big")
        left = left[snappy.decompress_raw_into(blocks[4:end], left) :]
        blocks = blocks[end:]
    return len(room) - len(left)


def unpack_within_bounds() -> None:
    """Have aiokafka unpack the batches of all consumers of this process so."""
    default_records.gzip_decode = _bounded(gzip.decompress_into)
    default_records.snappy_decode = _bounded(_unpack_snappy)
    default_records.lz4_decode = _bounded(lz4.decompress_into)
    default_records.zstd_decode = _bounded(zstd.decompress_into)
