"""Unpacking a compressed record batch into a bounded buffer.

A batch of some hundred kilobytes can be hundreds of megabytes unpacked, and a broker's quotas count the former.
aiokafka (0.14) unpacks whatever there is: one company's batch would take the memory of the service that reads for all.
"""

import zlib
from collections.abc import Callable
from mmap import mmap
from typing import Any

import cramjam
from aiokafka import codec
from aiokafka.record._crecords import default_records

LARGEST_UNPACKED_BYTES = 16 * 1024 * 1024
"""Far more than a client puts into a batch: they bound one by what it is before it is compressed."""

_GZIP = 16 + zlib.MAX_WBITS
_GZIP_MEMBERS = 16
"""Clients write one; brokers take several in a row, each of which costs a copy of all behind it."""


class CannotBeUnpacked(Exception):
    """A batch is larger than that, or broken; the message says it for people."""


def _gzip(packed: Any) -> bytes:
    unpacked, rest = b"", bytes(packed)
    for _ in range(_GZIP_MEMBERS):
        unpacking = zlib.decompressobj(_GZIP)
        unpacked += unpacking.decompress(rest, LARGEST_UNPACKED_BYTES + 1 - len(unpacked))
        if len(unpacked) > LARGEST_UNPACKED_BYTES or not unpacking.eof:
            break
        rest = unpacking.unused_data.lstrip(b"\0")
        if not rest:
            return unpacked
    raise CannotBeUnpacked("its batch is too large unpacked, or broken")


def _into_a_buffer(unpack_into: Callable[[Any, Any], int]) -> Callable[[Any], bytes]:
    def unpack(packed: Any) -> bytes:
        with mmap(-1, LARGEST_UNPACKED_BYTES) as room:  # it is memory only as far as it is written to
            return room[: unpack_into(packed, room)]

    return unpack


def _snappy(packed: Any) -> bytes:
    size, rest = 0, memoryview(packed)
    if codec._detect_xerial_stream(packed):
        rest = rest[16:]
        while rest:
            end = 4 + int.from_bytes(rest[:4], "big")
            size += cramjam.snappy.decompress_raw_len(rest[4:end])
            rest = rest[end:]
    else:
        size = cramjam.snappy.decompress_raw_len(rest)
    if size > LARGEST_UNPACKED_BYTES:
        raise CannotBeUnpacked("its batch is too large unpacked")
    unpacked: bytes = codec.snappy_decode(packed)
    return unpacked


def _bounded(unpack: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    def bounded(packed: Any) -> bytes:
        try:
            return unpack(packed)
        except (zlib.error, cramjam.DecompressionError, ValueError) as error:
            raise CannotBeUnpacked("its batch is too large unpacked, or broken") from error

    return bounded


def unpack_within_bounds() -> None:
    """Have aiokafka unpack the batches of all consumers of this process so."""
    default_records.gzip_decode = _bounded(_gzip)
    default_records.snappy_decode = _bounded(_snappy)
    default_records.lz4_decode = _bounded(_into_a_buffer(cramjam.lz4.decompress_into))
    default_records.zstd_decode = _bounded(_into_a_buffer(cramjam.zstd.decompress_into))
