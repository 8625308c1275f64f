"""Which partition a key belongs to, as every Kafka client of the default partitioner has it: murmur2."""

from struct import unpack_from

_SEED = 0x9747B28C
_MULTIPLIER = 0x5BD1E995
_32_BITS = 0xFFFFFFFF


def partition_of(key: bytes, partitions: int) -> int:
    """Return the number of a key's partition, of so many; the same as aiokafka's and Java's default partitioners.

    aiokafka's own (0.14) goes through a key byte by byte, at a third of what publishing a message costs.
    """
    return (_murmur2(key) & 0x7FFFFFFF) % partitions


def _murmur2(key: bytes) -> int:
    length = len(key)
    hashed = _SEED ^ length
    for word in unpack_from(f"<{length // 4}I", key):
        mixed = word * _MULTIPLIER & _32_BITS
        hashed = (hashed * _MULTIPLIER ^ (mixed ^ mixed >> 24) * _MULTIPLIER) & _32_BITS
    rest = key[length & ~3 :]
    if rest:
        hashed = (hashed ^ int.from_bytes(rest, "little")) * _MULTIPLIER & _32_BITS
    hashed = (hashed ^ hashed >> 13) * _MULTIPLIER & _32_BITS
    return hashed ^ hashed >> 15
