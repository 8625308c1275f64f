"""Of what was fetched, a part that cannot be decoded costs no other part; aiokafka itself loses what it took before."""

import asyncio
import gzip
import random
import tracemalloc
from collections.abc import AsyncIterator, Callable
from typing import Any

import cramjam
import pytest
from aiokafka import TopicPartition, codec
from aiokafka.client import AIOKafkaClient
from aiokafka.consumer import fetcher
from aiokafka.consumer.subscription_state import Assignment, SubscriptionState
from aiokafka.errors import CorruptRecordException
from aiokafka.record._crecords import default_records
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import OffsetAndMetadata

from shared.messaging.unpacking import LARGEST_UNPACKED_BYTES, CannotBeUnpacked
from shared.messaging.upstream import Fetched

GOOD, BAD, LATER = TopicPartition("good", 0), TopicPartition("bad", 0), TopicPartition("later", 0)


class Consumer:
    """aiokafka's, with what the brokers sent it put there by hand."""

    def __init__(self) -> None:
        subscription = SubscriptionState()
        subscription.assign_from_user({GOOD, BAD, LATER})
        self.assignment = subscription.subscription.assignment
        for partition in (GOOD, BAD, LATER):
            subscription.seek(partition, 0)
        self.fetcher = fetcher.Fetcher(AIOKafkaClient(), subscription)

    def fetched(self, partition: TopicPartition, *batches: bytes) -> None:
        at = self.assignment.state_value(partition).position
        records = fetcher.PartitionRecords(partition, MemoryRecords(b"".join(batches)), None, at, None, None, True, 0)
        self.fetcher._records[partition] = fetcher.FetchResult(
            partition, assignment=self.assignment, partition_records=records, backoff=0
        )

    async def poll(self, max_records: int | None = None, *partitions: TopicPartition) -> dict[str, list[int]]:
        taken = await self.fetcher.fetched_records(partitions, 0, max_records)
        return {partition.topic: [record.offset for record in records] for partition, records in taken.items()}

    def position(self, partition: TopicPartition) -> int:
        position: int = self.assignment.state_value(partition).position
        return position


@pytest.fixture
async def consumer() -> AsyncIterator[Consumer]:
    consumer = Consumer()
    yield consumer
    await consumer.fetcher.close()


def batch(offset: int, *, is_whole: bool = True, kind: int = 0, size: int = 5) -> bytes:
    """Make a batch of three records; if it is not whole its checksum is another."""
    builder = DefaultRecordBatchBuilder(2, kind, 0, -1, -1, -1, 10**9)
    for n in range(3):
        builder.append(n, 1, b"key", b"v" * size, [])
    built = bytearray(builder.build())
    built[:8] = offset.to_bytes(8, "big")
    built[-1] ^= not is_whole
    return bytes(built)


async def test_what_is_before_it_and_of_other_partitions_is_handed_over_and_then_the_error_is_raised(
    consumer: Consumer,
) -> None:
    consumer.fetched(GOOD, batch(0))
    consumer.fetched(BAD, batch(0), batch(3, is_whole=False))
    consumer.fetched(LATER, batch(0))
    assert await consumer.poll() == {"good": [0, 1, 2], "bad": [0, 1, 2], "later": [0, 1, 2]}
    consumer.fetched(GOOD, batch(3))
    for _ in range(2):  # it is fetched again, and says so again
        with pytest.raises(CorruptRecordException):
            await consumer.poll()
        assert await consumer.poll() in ({"good": [3, 4, 5]}, {})
        consumer.fetched(BAD, batch(3, is_whole=False))
        assert await consumer.poll() == {}
    assert [consumer.position(partition) for partition in (GOOD, BAD, LATER)] == [6, 3, 3]


async def test_an_error_in_what_was_shared_out_costs_nothing_of_what_is_taken_behind_it(consumer: Consumer) -> None:
    consumer.fetched(GOOD, batch(0), batch(3))
    consumer.fetched(BAD, batch(0), batch(3, is_whole=False))
    consumer.fetched(LATER, batch(0))
    assert await consumer.poll(2, GOOD) == {"good": [0, 1]}
    assert await consumer.poll(5, BAD) == {"bad": [0, 1, 2]}
    assert await consumer.poll() == {"good": [2, 3, 4, 5]}
    with pytest.raises(CorruptRecordException):
        await consumer.poll()
    assert await consumer.poll() == {"later": [0, 1, 2]}


async def test_a_partition_whose_leader_moves_while_its_place_is_asked_for_begins_at_its_place(
    consumer: Consumer,
) -> None:
    new = Assignment([GOOD])
    finding = [asyncio.create_task(consumer.fetcher._update_fetch_positions(new, node, [GOOD])) for node in (1, 2)]
    await asyncio.sleep(0)
    assert len(new.state_value(GOOD)._committed_futs) == 2
    new.state_value(GOOD).update_committed(OffsetAndMetadata(5, ""))
    assert await asyncio.gather(*finding) == [False, False]
    assert new.state_value(GOOD).position == 5


def test_gzip_in_several_members_is_read_whole() -> None:
    one, other = gzip.compress(b"one "), gzip.compress(b"other")
    assert default_records.gzip_decode(one * 10_000 + other) == b"one " * 10_000 + b"other"


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("gzip", codec.gzip_encode),
        ("snappy", codec.snappy_encode),
        ("snappy", cramjam.snappy.compress_raw),
        ("lz4", codec.lz4_encode),
        ("zstd", codec.zstd_encode),
    ],
    ids=["gzip", "snappy in blocks", "snappy", "lz4", "zstd"],
)
def test_what_clients_pack_is_read_whole_and_what_is_broken_or_too_large_is_not(
    name: str, pack: Callable[[bytes], Any]
) -> None:
    unpack: Callable[[bytes], bytes] = getattr(default_records, f"{name}_decode")
    text = random.Random(1).randbytes(1000) * 100
    packed = bytes(pack(text))
    assert unpack(packed) == text
    for wrong in (packed[:-9], packed[:9], b"", bytes(pack(bytes(LARGEST_UNPACKED_BYTES + 1)))):
        with pytest.raises(CannotBeUnpacked):
            unpack(wrong)
    assert unpack(packed) == text


@pytest.mark.parametrize("kind", [1, 2, 3, 4], ids=["gzip", "snappy", "lz4", "zstd"])
async def test_a_batch_that_is_far_larger_unpacked_is_passed_in_bounded_memory(consumer: Consumer, kind: int) -> None:
    consumer.fetched(GOOD, batch(0, kind=kind), batch(3, kind=kind, size=30_000_000), batch(6))
    consumer.fetched(LATER, batch(0, kind=kind, size=LARGEST_UNPACKED_BYTES // 4))
    tracemalloc.start()
    try:
        taken = await consumer.fetcher.fetched_records((), 0, None)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * LARGEST_UNPACKED_BYTES
    assert [record.offset for record in taken[GOOD]] == [0, 1, 2, 5, 6, 7, 8]
    assert [record.offset for record in taken[LATER]] == [0, 1, 2]
    assert "from offset 3 on" in taken[GOOD][3].reason
    assert consumer.position(GOOD) == 9


async def test_no_more_are_taken_than_asked_for_and_the_rest_by_the_next_poll(consumer: Consumer) -> None:
    consumer.fetched(GOOD, batch(0), batch(3))
    consumer.fetched(LATER, batch(0))
    assert await consumer.poll(4) == {"good": [0, 1, 2, 3]}
    assert await consumer.poll(4) == {"good": [4, 5], "later": [0, 1]}
    assert await consumer.poll(4) == {"later": [2]}
    assert await consumer.poll(4) == {}


async def test_aiokafka_itself_loses_what_it_took_before_the_error(
    consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If this fails, `Fetched` need only look after headers."""
    monkeypatch.setattr(fetcher, "FetchResult", Fetched.__base__)
    consumer.fetched(GOOD, batch(0))
    consumer.fetched(BAD, batch(0, is_whole=False))
    with pytest.raises(CorruptRecordException):
        await consumer.poll()
    assert consumer.position(GOOD) == 3
    assert await asyncio.wait_for(consumer.poll(), 1) == {}
