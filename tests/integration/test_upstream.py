"""What stands around FastStream and aiokafka works and is still needed: of each piece a test fails when it can go."""

import asyncio
import inspect
import logging
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from confluent_kafka.admin import AdminClient, NewTopic
from faststream.kafka import KafkaBroker
from faststream.kafka.subscriber.usecase import BatchSubscriber
from pydantic import SecretStr

from operations.connection import Connection
from shared.contract.topics import OPERATOR
from shared.errors import Misconfigured
from shared.messaging.upstream import KafkaConsumer, check, read_with, sticky_assignor
from shared.runtime.settings import KafkaSettings
from tests.faults.test_undecodable_records import rename_header
from tests.world import wait_until

TIMES, LOOKS = 3, 100
"""So much oftener one without pauses looks: on a slow machine too, and never at the same pace."""
Consumer = Callable[..., AIOKafkaConsumer]


def create(connection: Connection) -> str:
    """Make a topic of its own for a test."""
    name = f"upstream-{uuid.uuid4()}"
    admin = AdminClient(connection.client())
    for done in admin.create_topics([NewTopic(name, 1, 1)]).values():
        done.result(30)
    return name


@pytest.fixture
def topic(connection: Connection) -> str:
    return create(connection)


def client(connection: Connection) -> dict[str, Any]:
    password = SecretStr(connection.companies[OPERATOR].password)
    return KafkaSettings(bootstrap_servers=connection.bootstrap_servers, username=OPERATOR, password=password).client()


@asynccontextmanager
async def reading(connection: Connection, topic: str, consumer: Consumer) -> AsyncIterator[Any]:
    """Read a topic in a group of its own."""
    reader = consumer(**client(connection), group_id=topic, enable_auto_commit=False, auto_offset_reset="earliest")
    reader.subscribe([topic])
    await reader.start()
    async with asyncio.timeout(30):
        while not reader.assignment():
            await reader.getmany(timeout_ms=100)
    try:
        yield reader
    finally:
        await reader.stop()


async def delete(connection: Connection, *topics: str) -> None:
    admin = AdminClient(connection.client())
    for done in admin.delete_topics(list(topics)).values():
        await asyncio.to_thread(done.result, 30)
    await asyncio.to_thread(
        wait_until, lambda: not {*topics} & admin.list_topics(timeout=10).topics.keys(), what=f"{topics} to be gone"
    )


@contextmanager
def looks_for(*topics: str) -> Iterator[Counter[str]]:
    """Count how often clients find that a topic has no leader."""
    looks: Counter[str] = Counter()

    def count(record: logging.LogRecord) -> None:
        looks.update(topic for topic in topics if f"Topic {topic} not found" in record.getMessage())

    handler = logging.Handler()
    handler.emit = count  # type: ignore[method-assign]
    logger = logging.getLogger("aiokafka.cluster")
    logger.addHandler(handler)
    try:
        yield looks
    finally:
        logger.removeHandler(handler)


async def test_a_client_looks_for_a_leader_with_pauses_and_aiokafka_itself_without(connection: Connection) -> None:
    """Issue 1155: if aiokafka's no longer gets ahead of ours, `wait_between_looks` can go."""
    ours, aiokafkas = create(connection), create(connection)
    async with AsyncExitStack() as readers:
        for topic, consumer in ((ours, KafkaConsumer), (aiokafkas, AIOKafkaConsumer)):
            reader = consumer(**client(connection))
            await reader.start()
            readers.push_async_callback(reader.stop)
            reader.assign([TopicPartition(topic, 0)])
            await reader.seek_to_beginning()
        with looks_for(ours, aiokafkas) as looks:
            await delete(connection, ours, aiokafkas)
            await asyncio.to_thread(wait_until, lambda: looks[ours] > 1, what="our looks for the leader")
            await asyncio.to_thread(
                wait_until, lambda: looks[aiokafkas] > TIMES * looks[ours] + LOOKS, what="aiokafka's to get ahead"
            )


async def test_a_commit_leaves_out_a_topic_that_was_deleted_and_aiokafka_tries_it_for_ever(
    connection: Connection, topic: str
) -> None:
    """Issue 1095: if the last line fails, `commit_held` can be `commit`."""
    async with reading(connection, topic, KafkaConsumer) as reader:
        (partition,) = reader.assignment()
        await delete(connection, topic)
        assert not await asyncio.wait_for(reader.commit_held({partition: 1}), 30)
    again = f"{topic}-2"
    admin = AdminClient(connection.client())
    admin.create_topics([NewTopic(again, 1, 1)])[again].result(30)
    async with reading(connection, again, AIOKafkaConsumer) as plain:
        (partition,) = plain.assignment()
        await delete(connection, again)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(plain.commit({partition: 1}), 3)


async def test_a_header_name_that_is_not_utf8_is_passed_and_aiokafka_loses_what_it_fetched(
    connection: Connection, topic: str
) -> None:
    """If the last line fails, `KafkaConsumer._poll` and what it needs can go."""
    async with AIOKafkaProducer(**client(connection)) as producer:
        batch = producer.create_batch()
        batch.append(key=b"k", value=b"v", timestamp=None, headers=[("QQ", b"x")])
        batch.close()
        rename_header(batch)
        await (await producer.send_batch(batch, topic, partition=0))
    async with reading(connection, topic, KafkaConsumer) as reader:
        fetched: dict[TopicPartition, list[Any]] = {}
        async with asyncio.timeout(30):
            while not fetched:
                fetched = await reader.getmany(timeout_ms=100)
        assert [(record.offset, record.value) for records in fetched.values() for record in records] == [(0, None)]
    with pytest.raises(UnicodeDecodeError):
        async with reading(connection, topic, AIOKafkaConsumer) as plain:
            await plain.getone()


async def test_coordination_that_has_ended_is_noticed_and_aiokafka_reads_no_more(
    connection: Connection, topic: str
) -> None:
    """Issue 1154: if a consumer begins again by itself, `coordination_problem` need not look at its task."""
    async with reading(connection, topic, KafkaConsumer) as reader:
        assert reader.coordination_problem() is None
        reader._coordinator._coordination_task.cancel()
        await asyncio.gather(reader._coordinator._coordination_task, return_exceptions=True)
        assert reader.coordination_problem() == "its coordination has ended"


def test_sticky_assignors_of_two_consumers_know_their_own_partitions_and_aiokafkas_do_not() -> None:
    """Issue 1175: if the last line fails, `sticky_assignor` can go."""
    one, another = sticky_assignor(), sticky_assignor()
    assignment = ConsumerProtocolMemberAssignment(0, [("a-topic", [0, 1])], b"")
    one.on_assignment(assignment)
    assert another.member_assignment is None
    assert inspect.ismethod(StickyPartitionAssignor.on_assignment)
    assert StickyPartitionAssignor.on_assignment.__self__ is StickyPartitionAssignor


async def test_faststream_has_no_place_to_say_what_to_read_with_and_a_change_of_it_stops_the_service() -> None:
    """If the first line fails, there may be one: then `read_with` can go."""
    assert not {"consumer", "builder", "consumer_class"} & inspect.signature(KafkaBroker.__init__).parameters.keys()
    broker = KafkaBroker("127.0.0.1:1", consumer_only=True)
    await read_with(broker, KafkaConsumer)
    assert broker.config.broker_config.builder is KafkaConsumer
    with pytest.raises(Misconfigured, match="another way"):
        await read_with(broker, AIOKafkaProducer)


def test_faststream_sleeps_after_an_empty_poll() -> None:
    """If this fails, `getmany` need not wait for longer than it is told to."""
    assert "sleep(self.batch_timeout_ms" in inspect.getsource(BatchSubscriber.get_msg)


def test_all_that_is_looked_at_inside_them_is_there() -> None:
    check()


async def test_what_is_no_longer_there_stops_the_service_at_its_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(StickyPartitionAssignor, "member_assignment")
    with pytest.raises(Misconfigured, match=r"StickyPartitionAssignor\.member_assignment"):
        check()
