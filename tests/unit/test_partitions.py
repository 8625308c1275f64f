"""A key's partition is the one that every other Kafka client gives it."""

from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis import strategies as st

from shared.messaging.partitions import partition_of

as_aiokafka_has_it = DefaultPartitioner()


@given(key=st.binary(max_size=100), partitions=st.integers(1, 100))
def test_a_key_has_the_partition_that_aiokafka_gives_it(key: bytes, partitions: int) -> None:
    numbers = list(range(partitions))
    assert partition_of(key, partitions) == as_aiokafka_has_it(key, numbers, numbers)


def test_a_key_has_the_partition_that_javas_clients_give_it() -> None:
    # Of Kafka's own UtilsTest: murmur2 of "foobar" is -790332482, and of "21" is -973932308.
    assert partition_of(b"foobar", 2**31) == -790332482 & 0x7FFFFFFF
    assert partition_of(b"21", 2**31) == -973932308 & 0x7FFFFFFF
