"""What stands around FastStream and aiokafka works and is still needed: of each piece a test fails when it can go."""

import asyncio
import inspect
import logging
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka import client as aiokafka_client
from aiokafka.consumer import fetcher
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import KafkaConnectionError, KafkaError
from aiokafka.protocol.fetch import FetchRequest
from confluent_kafka import TopicPartition as ConfluentPartition
from confluent_kafka.admin import AdminClient, NewTopic
from faststream.kafka import KafkaBroker
from faststream.kafka.subscriber.usecase import BatchSubscriber
from pydantic import SecretStr

from operations.connection import Connection
from shared.contract.topics import OPERATOR, REQUESTS
from shared.errors import Misconfigured
from shared.messaging import upstream
from shared.messaging.busy import MANY
from shared.messaging.shares import BESIDE_MODEST
from shared.messaging.upstream import (
    TESTED_VERSIONS,
    Fetched,
    KafkaConsumer,
    KafkaProducer,
    Records,
    _update_fetch_positions,
    check,
    read_with,
    sticky_assignor,
)
from shared.runtime import metrics
from shared.runtime.settings import ServiceSettings
from tests.faults.test_undecodable_records import rename_header
from tests.world import wait_until

TIMES, LOOKS = 3, 100
"""So much oftener one without pauses looks: on a slow machine too, and never at the same pace."""
Consumer = Callable[..., AIOKafkaConsumer]


def create(connection: Connection, partitions: int = 1, prefix: str = "upstream-") -> str:
    """Make a topic of its own for a test."""
    name = f"{prefix}{uuid.uuid4()}"
    admin = AdminClient(connection.client())
    for done in admin.create_topics([NewTopic(name, partitions, 1)]).values():
        done.result(30)
    return name


@pytest.fixture
def topic(connection: Connection) -> str:
    return create(connection)


def client(connection: Connection) -> dict[str, Any]:
    return settings(connection).client()


def settings(connection: Connection) -> ServiceSettings:
    password = SecretStr(connection.companies[OPERATOR].password)
    return ServiceSettings(bootstrap_servers=connection.bootstrap_servers, username=OPERATOR, password=password)


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
    connection: Connection, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the last line fails, `Records` need only pass what is too large unpacked."""
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
    monkeypatch.setattr(fetcher, "PartitionRecords", Records.__base__)
    monkeypatch.setattr(fetcher, "FetchResult", Fetched.__base__)
    with pytest.raises(UnicodeDecodeError):
        async with reading(connection, topic, AIOKafkaConsumer) as plain:
            await plain.getone()


async def test_where_a_group_has_committed_is_asked_at_once_and_by_aiokafka_of_each_partition(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the last line fails, `_find_positions` can go."""
    topic = create(connection, partitions=20)
    asked: list[int] = []
    ask = GroupCoordinator._do_fetch_commit_offsets

    async def counted(self: GroupCoordinator, partitions: list[TopicPartition]) -> Any:
        asked.append(len(partitions))
        return await ask(self, partitions)

    async def all_begun() -> list[int]:
        asked.clear()
        async with reading(connection, topic, KafkaConsumer) as reader, asyncio.timeout(30):
            while any(place.position is None for place in reader.places().values()):
                await reader.getmany(timeout_ms=100)
        return list(asked)

    monkeypatch.setattr(GroupCoordinator, "_do_fetch_commit_offsets", counted)
    assert await all_begun() == [20]
    monkeypatch.setattr(fetcher.Fetcher, "_update_fetch_positions", _update_fetch_positions)
    assert await all_begun() == [1] * 20


async def test_a_fetch_that_has_nothing_to_bring_waits_for_longer_unless_it_leaves_a_partition_out(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream, "_IDLE_AFTER_S", 0.2)
    topic = create(connection, partitions=2)
    waits_ms: list[int] = []
    async with reading(connection, topic, KafkaConsumer) as reader:
        send = reader._client.send

        async def noted(node: int, request: Any, **options: Any) -> Any:
            if isinstance(request, FetchRequest):
                waits_ms.append(request._max_wait_ms)
            return await send(node, request, **options)

        reader._client.send = noted
        async with asyncio.timeout(30):
            while 1000 not in waits_ms:
                await reader.getmany(timeout_ms=100)
            reader.pause(TopicPartition(topic, 0))
            while waits_ms[-1] != 500:
                await reader.getmany(timeout_ms=100)
            reader.resume(TopicPartition(topic, 0))
            while waits_ms[-1] != 1000:
                await reader.getmany(timeout_ms=100)


async def test_of_many_partitions_only_busy_ones_are_asked_for_most_of_the_time_and_none_is_left_out(
    connection: Connection,
) -> None:
    topic = create(connection, partitions=MANY)
    reader = KafkaConsumer(topic, **client(connection), auto_offset_reset="earliest")
    await reader.start()
    asked: list[int] = []
    send = reader._client.send

    async def noted_and_sent(node: Any, request: Any, **options: Any) -> Any:
        if isinstance(request, FetchRequest):
            asked.append(sum(len(partitions) for _, partitions in request.topics))
        return await send(node, request, **options)

    reader._client.send = noted_and_sent
    read: Counter[int] = Counter()
    try:
        async with AIOKafkaProducer(**client(connection)) as producer, asyncio.timeout(60):
            for n in range(100):
                await producer.send_and_wait(topic, b"busy", partition=0)
                if n % 10 == 0:
                    await producer.send_and_wait(topic, b"quiet", partition=1 + n)
                for at, records in (await reader.getmany(timeout_ms=10)).items():
                    read[at.partition] += len(records)
            while read.total() < 110:
                for at, records in (await reader.getmany(timeout_ms=100)).items():
                    read[at.partition] += len(records)
    finally:
        await reader.stop()
    assert read == {0: 100, **{1 + n: 1 for n in range(0, 100, 10)}}
    assert asked.count(MANY) > 1
    assert sum(number < 12 for number in asked) > asked.count(MANY)


async def test_what_one_topic_has_much_of_does_not_come_before_the_others(connection: Connection) -> None:
    """If the last line fails, `_shared_out` can go."""
    topics = [create(connection) for _ in range(5)]
    async with AIOKafkaProducer(**client(connection)) as producer:
        for topic, messages in zip(topics, (300, 300, 300, 300, 3), strict=True):
            for n in range(messages):
                await producer.send(topic, str(n).encode())
        await producer.flush()

    async def first_batch(consumer: Consumer) -> dict[str, list[int]]:
        reader = consumer(**client(connection), auto_offset_reset="earliest")
        await reader.start()
        reader.assign([TopicPartition(topic, 0) for topic in topics])
        try:
            await asyncio.to_thread(wait_until, lambda: len(reader._fetcher._records) == 5, what="all to be fetched")
            batch = await reader.getmany(timeout_ms=1000, max_records=100)
            return {at.topic: [int(record.value) for record in records] for at, records in batch.items()}
        finally:
            await reader.stop()

    ours = await first_batch(KafkaConsumer)
    assert {*ours} == {*topics}
    assert ours[topics[-1]] == [0, 1, 2]
    assert sum(map(len, ours.values())) == 100
    assert all(numbers == list(range(len(numbers))) and len(numbers) <= 37 for numbers in ours.values())
    assert len(await first_batch(AIOKafkaConsumer)) <= 2  # the one with three, and a whole batch of another


@pytest.mark.promise("What one company sends at once holds up no other for long.", about="requests")
async def test_a_company_that_sends_much_gets_little_of_each_batch_while_another_asks_for_little(
    connection: Connection,
) -> None:
    flood, modest = (create(connection, prefix=REQUESTS.prefix) for _ in range(2))
    async with AIOKafkaProducer(**client(connection)) as producer:
        for topic, messages in ((flood, 240), (modest, 3)):
            for n in range(messages):
                await producer.send(topic, str(n).encode())
        await producer.flush()
    reader = KafkaConsumer(**client(connection), auto_offset_reset="earliest")
    await reader.start()
    reader.assign([TopicPartition(topic, 0) for topic in (flood, modest)])
    taken: dict[str, list[int]] = {flood: [], modest: []}
    batches: list[int] = []
    try:
        await asyncio.to_thread(wait_until, lambda: len(reader._fetcher._records) == 2, what="both to be fetched")
        async with asyncio.timeout(30):
            while len(taken[flood]) < 240:
                is_bounded = reader._shares.are_bounded()
                batch = await reader.getmany(timeout_ms=1000, max_records=150)
                if is_bounded and batch:
                    batches.append(sum(map(len, batch.values())))
                for at, records in batch.items():
                    taken[at.topic] += [int(record.value) for record in records]
    finally:
        await reader.stop()
    assert taken == {flood: [*range(240)], modest: [0, 1, 2]}
    assert max(batches) == BESIDE_MODEST


async def test_nothing_that_was_taken_of_one_topic_is_lost_where_another_fails(connection: Connection) -> None:
    topics = [create(connection) for _ in range(4)]
    async with AIOKafkaProducer(**client(connection)) as producer:
        for topic in topics:
            for n in range(50):
                await producer.send(topic, str(n).encode())
        await producer.flush()
    reader = KafkaConsumer(**client(connection), auto_offset_reset="earliest")
    await reader.start()
    partitions = [TopicPartition(topic, 0) for topic in topics]
    reader.assign(partitions)
    found: dict[str, list[int]] = {topic: [] for topic in topics}
    failures = 0
    try:
        await asyncio.to_thread(wait_until, lambda: len(reader._fetcher._records) == 4, what="all to be fetched")
        async with asyncio.timeout(60):
            while sum(map(len, found.values())) < 200:
                for partition in partitions:
                    if failures < 10 and partition.topic == topics[failures % 4]:
                        reader._fetcher._records.pop(partition, None)
                        reader._fetcher._set_error(partition, KafkaError())
                try:
                    for at, records in (await reader.getmany(timeout_ms=100, max_records=12)).items():
                        found[at.topic] += [int(record.value) for record in records]
                except KafkaError:
                    failures += 1
    finally:
        await reader.stop()
    assert found == {topic: list(range(50)) for topic in topics}


async def test_messages_that_are_deleted_before_they_are_read_are_counted(connection: Connection, topic: str) -> None:
    """A reader goes on with the first that is left; what it had read, and a topic's beginning, count for nothing."""
    unread = metrics.DELETED_UNREAD.labels(topic)._value
    await _send_ten(connection, topic)
    partition = TopicPartition(topic, 0)
    async with reading(connection, topic, KafkaConsumer) as reader:
        assert await _first_read(reader) == 0
        await reader.commit({partition: 4})
    admin = AdminClient(connection.client())
    for deleted in admin.delete_records([ConfluentPartition(topic, 0, 8)]).values():
        await asyncio.to_thread(deleted.result, 30)
    async with reading(connection, topic, KafkaConsumer) as reader:
        assert await _first_read(reader) == 8
        assert unread.get() == 4
        await reader.commit({partition: 10})
    async with reading(connection, topic, KafkaConsumer) as reader:
        await _send_ten(connection, topic)
        assert await _first_read(reader) == 10
    assert unread.get() == 4


async def test_coordination_that_has_ended_is_noticed_and_aiokafka_reads_no_more(
    connection: Connection, topic: str
) -> None:
    """Issue 1154: if a consumer begins again by itself, `coordination_problem` need not look at its task."""
    async with reading(connection, topic, KafkaConsumer) as reader:
        assert reader.coordination_problem() is None
        reader._coordinator._coordination_task.cancel()
        await asyncio.gather(reader._coordinator._coordination_task, return_exceptions=True)
        assert reader.coordination_problem() == "its coordination has ended"


async def _send_ten(connection: Connection, topic: str) -> None:
    async with AIOKafkaProducer(**client(connection)) as producer:
        for n in range(10):
            await producer.send_and_wait(topic, str(n).encode())


async def _first_read(reader: KafkaConsumer) -> int:
    """The offset of the first message that a reader gets."""
    async with asyncio.timeout(30):
        while not (fetched := await reader.getmany(timeout_ms=100)):
            pass
    ((first, *_),) = fetched.values()
    offset: int = first.offset
    return offset


def test_sticky_assignors_of_two_consumers_know_their_own_partitions_and_aiokafkas_do_not() -> None:
    """Issue 1175: if the last line fails, `sticky_assignor` can go."""
    one, another = sticky_assignor(), sticky_assignor()
    assignment = ConsumerProtocolMemberAssignment(0, [("a-topic", [0, 1])], b"")
    one.on_assignment(assignment)
    assert another.member_assignment is None
    assert inspect.ismethod(StickyPartitionAssignor.on_assignment)
    assert StickyPartitionAssignor.on_assignment.__self__ is StickyPartitionAssignor


async def test_faststream_has_no_place_to_say_what_to_read_with() -> None:
    """If the first line fails, there may be one: then `read_with` can go."""
    assert not {"consumer", "builder", "consumer_class"} & inspect.signature(KafkaBroker.__init__).parameters.keys()
    broker = KafkaBroker("127.0.0.1:1", consumer_only=True)
    subscriber = broker.subscriber("a-topic")
    await read_with(broker, KafkaConsumer)
    assert subscriber.builder is KafkaConsumer


def test_faststream_sleeps_after_an_empty_poll() -> None:
    """If this fails, `getmany` need not wait for longer than it is told to."""
    assert "sleep(self.batch_timeout_ms" in inspect.getsource(BatchSubscriber.get_msg)


@pytest.mark.parametrize("package", ["aiokafka", "faststream"])
def test_another_version_than_was_tested_stops_the_service_at_its_start(
    package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    check()
    monkeypatch.setitem(TESTED_VERSIONS, package, "0.1")
    with pytest.raises(Misconfigured, match=f"{package} is .*, not 0.1"):
        check()


async def test_a_consumer_that_is_stopped_leaves_nothing_though_it_hangs_and_aiokafkas_stop_does(
    connection: Connection, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the first half fails, ours need not close what aiokafka's has not come to."""
    async with reading(connection, topic, AIOKafkaConsumer) as plain:
        stop = asyncio.create_task(plain.stop())
        await asyncio.sleep(0)
        stop.cancel()
        await asyncio.wait({stop})
        await plain.stop()
        assert not plain._fetcher._fetch_task.done()
        assert any(is_connected(plain))
        await plain._coordinator._maybe_leave_group()
        await plain._fetcher.close()
        await plain._client.close()
    async with reading(connection, topic, KafkaConsumer) as reader:
        monkeypatch.setattr(reader._coordinator, "_maybe_leave_group", asyncio.Event().wait)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.stop(), 0.1)
        assert reader._coordinator._coordination_task.done()
        assert reader._fetcher._fetch_task.done()
        assert not any(is_connected(reader))


async def test_a_consumer_that_is_stopped_as_its_partitions_change_ends_and_aiokafkas_does_not(
    connection: Connection, topic: str
) -> None:
    """If the last line fails, ours need not end the fetching itself."""

    async def stopped(kind: Consumer) -> tuple[AIOKafkaConsumer, asyncio.Task[None]]:
        consumer = kind(**client(connection))
        await consumer.start()
        consumer.assign([TopicPartition(topic, 0)])
        await consumer.getmany(timeout_ms=100)  # so that a fetch is under way
        consumer.assign([])
        return consumer, asyncio.create_task(consumer.stop())

    _, stopping = await stopped(KafkaConsumer)
    await asyncio.wait_for(stopping, 30)
    plain, stopping = await stopped(AIOKafkaConsumer)
    await asyncio.wait({stopping}, timeout=1)
    hangs = not stopping.done()
    plain._fetcher._fetch_task.cancel()
    await stopping
    assert hangs


async def test_a_producer_that_is_stopped_sends_nothing_more_and_aiokafkas_does(
    connection: Connection, topic: str
) -> None:
    """If the last line fails, there may be a way to stop without: then ours can go."""
    for producer, value in (
        (KafkaProducer(settings(connection)), b"ours"),
        (AIOKafkaProducer(**client(connection)), b"aiokafka's"),
    ):
        await producer.start()
        await producer.partitions_for(topic)
        batch = producer.create_batch()
        batch.append(key=b"k", value=value, timestamp=None)
        await producer.send_batch(batch, topic, partition=0)
        await producer.stop()
        assert not any(connection.connected() for connection in producer.client._conns.values())
    async with reading(connection, topic, KafkaConsumer) as reader:
        assert (await reader.getone()).value == b"aiokafka's"
    assert list(inspect.signature(AIOKafkaProducer.stop).parameters) == ["self"]


async def test_an_idempotent_producer_of_aiokafkas_is_stuck_after_a_batch_that_it_gave_up(
    connection: Connection, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 1017: if this fails, `Publisher` can keep its producer."""
    async with AIOKafkaProducer(**client(connection), enable_idempotence=True, request_timeout_ms=1000) as producer:
        await producer.send_and_wait(topic, b"one")
        with monkeypatch.context() as without_leader:
            without_leader.setattr(producer.client.cluster, "leader_for_partition", lambda _: None)
            with pytest.raises(KafkaError):
                await producer.send_and_wait(topic, b"two")
        for _ in range(2):
            with pytest.raises(KafkaError):
                await producer.send_and_wait(topic, b"three")


async def test_a_client_has_the_password_that_is_in_its_file_and_aiokafkas_the_one_that_was(
    connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the first half fails, aiokafka asks for the password each time: then ours can go."""
    file = tmp_path / "password"
    options = {"bootstrap_servers": connection.bootstrap_servers, "username": OPERATOR, "password_file": str(file)}
    file.write_text("a guess")
    clients = [AIOKafkaProducer(**ServiceSettings.model_validate(options).client()) for _ in range(2)]
    file.write_text(connection.companies[OPERATOR].password)
    with monkeypatch.context() as without_ours:
        without_ours.setattr(aiokafka_client, "create_conn", upstream._create_conn)
        with pytest.raises(KafkaConnectionError):
            await clients[0].start()
    await clients[1].start()
    for each in clients:
        await each.stop()


def is_connected(reader: AIOKafkaConsumer) -> list[bool]:
    return [connection.connected() for connection in reader._client._conns.values()]
