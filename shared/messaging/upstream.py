"""What has to be done around FastStream and aiokafka, each piece with its reason. Nothing else reaches inside them.

| piece | needed for | since |
|---|---|---|
| `_connect` | a client has the password that stood in its file when it was made | aiokafka (0.14) |
| `wait_between_looks` | a client asks for a missing leader without a pause | aiokafka issue 1155 (0.14) |
| `KafkaConsumer.commit_held` | a commit for a topic that was deleted is tried for ever | aiokafka issue 1095 (0.14) |
| `_find_positions` | where a group has committed is asked of one partition after the other | aiokafka (0.14) |
| `Records` | a header's name that is not UTF-8 stops the reader | aiokafka (0.14) |
| `_await_reset` | what was deleted before it was read is passed without a word that we could count | aiokafka (0.14) |
| `unpack_within_bounds` (unpacking.py) | a batch is unpacked whatever it becomes | aiokafka (0.14) |
| `Fetched`, `_fetched_records` | what cannot be decoded loses all that was fetched beside it | aiokafka (0.14) |
| `ask_for_busy_partitions` (busy.py) | each fetch names every partition | aiokafka (0.14), without KIP-227 |
| `KafkaConsumer._shared_out` | what was fetched of one topic comes before all that was of the next | aiokafka (0.14) |
| `KafkaConsumer.getmany` | FastStream sleeps after an empty poll for as long as it had it wait | FastStream 0.7 |
| `KafkaConsumer.coordination_problem` | coordination ends with the group's right | aiokafka issue 1154 (0.14) |
| `sticky_assignor` | the sticky assignor's state is shared by all consumers of a process | aiokafka issue 1175 (0.14) |
| `read_with` | FastStream has no option for the consumer that it reads with | FastStream 0.7 |
| `KafkaConsumer.stop` | `stop` that is interrupted leaves tasks and a connection behind | aiokafka (0.14) |
| `_ended` | `stop` right after a change of partitions never ends | aiokafka (0.14) |
| `KafkaProducer.stop` | `stop` sends what is pending first, and tries that for ever | aiokafka (0.14) |
| `Publisher` (publisher.py) | an idempotent producer is stuck after a broker's outage | aiokafka issue 1017 (0.14) |

`tests/integration/test_upstream.py` fails when one of these is mended and can go. With another version of the two than
these tests were run with no service starts: what reaches inside them could do nothing there, and nobody would see it.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Set
from importlib.metadata import version
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka import client as aiokafka_client
from aiokafka.cluster import ClusterMetadata
from aiokafka.consumer import fetcher
from aiokafka.consumer.fetcher import UNKNOWN_OFFSET
from aiokafka.consumer.subscription_state import TopicPartitionState
from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import (
    CorruptRecordException,
    IllegalStateError,
    KafkaConnectionError,
    KafkaError,
    TopicAuthorizationFailedError,
)
from faststream.kafka import KafkaBroker

from shared.contract.topics import DEAD_LETTERS
from shared.errors import Misconfigured
from shared.messaging.busy import ask_for_busy_partitions
from shared.messaging.record import UndecodableRecord
from shared.messaging.shares import BESIDE_MODEST, Shares
from shared.messaging.unpacking import CannotBeUnpacked, unpack_within_bounds
from shared.runtime import metrics
from shared.runtime.logs import log
from shared.runtime.passwords import PasswordInFile
from shared.runtime.settings import ServiceSettings

TESTED_VERSIONS = {"aiokafka": "0.14.0", "faststream": "0.7.8"}

_LARGEST_REQUEST_BYTES = 9 * 1024 * 1024
_BATCH_BYTES = 128 * 1024
_LOOKS_APART_S = 0.1
_METADATA_OF_A_TOPIC_MS = 5
_OLDEST_METADATA_MS = 10_000
_COMMIT_S = 2.0
_PATIENCE_MS = 1000
_BUSY_FETCH_MS = 500
_IDLE_FETCH_MS = 1000
_IDLE_FETCH_OF_A_PARTITION_MS = 1
_LONGEST_FETCH_MS = 3000
"""How long a broker may wait for something to give, of few and of many partitions."""
_IDLE_AFTER_S = 10.0
_CLOSING_S = 2.0


def check() -> None:
    """Raise Misconfigured where another version is installed than the one that was tested."""
    for package, tested in TESTED_VERSIONS.items():
        if (installed := version(package)) != tested:
            raise Misconfigured(f"{package} is {installed}, not {tested} (shared/messaging/upstream.py)")


async def read_with(broker: KafkaBroker, consumer: Callable[..., Any]) -> None:
    """Make the broker's subscribers read with our consumers instead of aiokafka's own."""
    await broker.connect()
    broker.config.broker_config.builder = consumer


def sticky_assignor() -> type[AbstractPartitionAssignor]:
    """Make a sticky assignor for one consumer, which leaves it as many of its partitions as it can in a rebalance."""
    return type("Sticky", (StickyPartitionAssignor,), {"member_assignment": None})


def wait_between_looks(client: Any) -> None:
    """Make a client of aiokafka wait a little before it asks for metadata again.

    While a partition has no leader, because brokers restart or a topic was deleted, its consumers and producers ask
    again as soon as they are answered: a whole processor's work, and as many requests as the brokers can answer.
    Nor are thousands of topics asked for as often as a few.
    """
    update, age_ms = client._metadata_update, client._metadata_max_age_ms
    looked_at = 0.0

    async def update_after_a_pause(cluster: Any, topics: Any) -> Any:
        nonlocal looked_at
        await asyncio.sleep(max(0.0, looked_at + _LOOKS_APART_S - time.monotonic()))
        try:
            return await update(cluster, topics)
        finally:
            looked_at = time.monotonic()
            for_all_ms = min(len(client.cluster.topics()) * _METADATA_OF_A_TOPIC_MS, _OLDEST_METADATA_MS)
            client._metadata_max_age_ms = max(age_ms, for_all_ms)

    client._metadata_update = update_after_a_pause


async def _connect(*args: Any, **options: Any) -> Any:
    """Connect with the password that stands in its file now; while it cannot be read, with that of before."""
    password = options.get("sasl_plain_password")
    if isinstance(password, PasswordInFile):
        try:
            password = password.read_again()
        except (OSError, ValueError) as error:
            log.warning("the password file cannot be read", reason=type(error).__name__)
        options |= {"sasl_plain_password": password, "sasl_mechanism": password.mechanism}
    return await _create_conn(*args, **options)


class Place(NamedTuple):
    """How far a partition that is assigned was fetched."""

    position: int | None
    """The next offset that a poll gives; None until it is known."""
    end: int | None
    """Where the partition ended at the last answer to a fetch; None before the first."""
    answered_ms: int | None
    """When that was, in milliseconds since 1970 UTC."""


class Records(fetcher.PartitionRecords):
    """The records fetched of a partition, with an UndecodableRecord in the place of what cannot be decoded.

    Brokers take any bytes as a header's name. What its producer sent in the same batch behind a bad one cannot be
    decoded either. A batch that is too large unpacked is passed as a whole.
    """

    def _unpack_records(self) -> Iterator[Any]:
        while self._records.has_next():
            batch = self._records.next_batch()
            if not batch.validate_crc():
                raise CorruptRecordException(f"a batch of {self._tp.topic}/{self._tp.partition} has another checksum")
            if not batch.is_control_batch:
                yield from self._records_of(batch)
            self.next_fetch_offset = batch.next_offset

    def _records_of(self, batch: Any) -> Iterator[Any]:
        topic, partition = self._tp
        try:
            for record in batch:
                if record.offset >= self.next_fetch_offset:
                    decoded = self._consumer_record(self._tp, record)
                    self.next_fetch_offset = record.offset + 1
                    yield decoded
        except UnicodeDecodeError:
            reason = "a header's name in its batch is not UTF-8, so it cannot be read; it is still on its topic"
            for offset in range(self.next_fetch_offset, batch.next_offset):
                self.next_fetch_offset = offset + 1
                yield UndecodableRecord(topic, partition, offset, _now_ms(), reason)
        except CannotBeUnpacked as error:
            first, self.next_fetch_offset = self.next_fetch_offset, batch.next_offset
            reason = f"{error}, with all from offset {first} on, so it cannot be read; it is still on its topic"
            yield UndecodableRecord(topic, partition, batch.next_offset - 1, _now_ms(), reason)


class Fetched(fetcher.FetchResult):
    """What was fetched of a partition; an error in it is kept, and what was taken of it and of others is handed over.

    aiokafka raises it at once, and is past what it has taken of other partitions.
    """

    _partition_records: Any
    error: Exception | None = None

    def getall(self, max_records: int | None = None) -> list[Any]:
        """Take records."""
        taken: list[Any] = []
        if self.check_assignment(self._topic_partition):
            try:
                for record in self._partition_records:
                    taken.append(record)
                    if len(taken) == max_records:
                        break
            except Exception as error:  # noqa: BLE001 - raised by a poll that has taken nothing
                self.error = error
            self._update_position()
            if self.error is None and len(taken) != max_records:
                self._partition_records = None
        return taken


async def _fetched_records(self: Any, *args: Any, **options: Any) -> dict[TopicPartition, list[Any]]:
    """Take what was fetched; errors in it are left where aiokafka raises them: by a poll that has taken nothing."""
    taken: dict[TopicPartition, list[Any]] = await _take(self, *args, **options)
    for at, fetched in self._records.items():
        if isinstance(fetched, Fetched) and fetched.error is not None:
            self._records[at] = fetcher.FetchError(error=fetched.error, backoff=0)
    return taken


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


async def _find_positions(self: Any, assignment: Any, node: Any, partitions: Any) -> bool:
    """Begin new partitions where the group has committed, which is asked of all of them at once."""
    states = [assignment.state_value(partition) for partition in partitions]
    new = [state for state in states if not (state.has_valid_position or state.awaiting_reset)]
    try:
        committed = await asyncio.gather(*(state.fetch_committed() for state in new))
    except asyncio.CancelledError:
        return False  # as aiokafka's own answers when the partitions are revoked
    for state, at in zip(new, committed, strict=True):
        if state.has_valid_position or state.awaiting_reset:
            continue  # its leader has moved meanwhile, and this was asked of the new one too
        if at.offset == UNKNOWN_OFFSET:
            state.await_reset(self._default_reset_strategy)
        else:
            state.reset_to(at.offset)
    found: bool = await _update_fetch_positions(self, assignment, node, partitions)
    for partition, state in zip(partitions, states, strict=True):
        if state.has_valid_position:
            _tell_of_unread(partition, state)
    return found


def _await_reset(self: Any, strategy: Any) -> None:
    """Remember where a partition was to be read on, when the brokers say that there is nothing any more."""
    self.left_at = self.position if self.has_valid_position else None
    _reset(self, strategy)


def _tell_of_unread(partition: TopicPartition, state: Any) -> None:
    """Say how much was deleted before it was read, if a partition begins behind where it was to be read on."""
    left_at, state.left_at = getattr(state, "left_at", None), None
    unread = 0 if left_at is None else state.position - left_at
    if unread > 0:  # one that was made again begins before it
        metrics.DELETED_UNREAD.labels(partition.topic).inc(unread)
        place = {"topic": partition.topic, "partition": partition.partition, "first": left_at}
        log.error("messages were deleted before they were read", messages=unread, **place)


_create_conn = aiokafka_client.create_conn
aiokafka_client.create_conn = _connect
_update_fetch_positions = fetcher.Fetcher._update_fetch_positions
fetcher.Fetcher._update_fetch_positions = _find_positions
_take = fetcher.Fetcher.fetched_records
fetcher.Fetcher.fetched_records = _fetched_records
fetcher.PartitionRecords = Records
_reset = TopicPartitionState.await_reset
TopicPartitionState.await_reset = _await_reset
fetcher.FetchResult = Fetched
unpack_within_bounds()
ask_for_busy_partitions()


class KafkaConsumer(AIOKafkaConsumer):
    """aiokafka's consumer with the changes above, for a service's group or for a topic read whole."""

    def __init__(self, *args: Any, **options: Any) -> None:
        """Connect as AIOKafkaConsumer does."""
        super().__init__(*args, **options)
        self.polled_at = time.monotonic()
        """When a poll was last answered without an error, in seconds of `time.monotonic()`."""
        self.empty_since: float | None = None
        """Since when polls have brought nothing, likewise; None after one that has."""
        self.error: str | None = None
        """What the last poll failed with, by name."""
        self._shares = Shares()
        wait_between_looks(self._client)

    async def getmany(
        self, *partitions: TopicPartition, timeout_ms: int = 0, max_records: int | None = None
    ) -> dict[TopicPartition, list[Any]]:
        """Fetch records as AIOKafkaConsumer does, shared out between topics, but wait for a second at least.

        FastStream sleeps after an empty poll for as long as it had it wait: with short ones a service without work
        would wake up 25 times a second, with long ones a message that comes meanwhile would wait.

        A fetch names every partition, which is much work where there are thousands. So one that begins when there has
        been nothing for a while may take longer; but not while a partition is left out of it, or after a rebalance:
        brokers answer a connection's requests in order, so what comes meanwhile would wait until it is over.
        """
        idle_s = 0.0 if self.empty_since is None else time.monotonic() - self.empty_since
        if idle_s > _IDLE_AFTER_S and not self.paused():
            of_all_ms = _IDLE_FETCH_OF_A_PARTITION_MS * len(self.assignment())
            self._fetcher._fetch_max_wait_ms = min(max(_IDLE_FETCH_MS, of_all_ms), _LONGEST_FETCH_MS)
        fetched: dict[TopicPartition, list[Any]] = {}
        try:
            for some, share in self._shared_out(max_records) if max_records and not partitions else ():
                fetched |= await super().getmany(*some, max_records=share)
            left = max_records and max_records - sum(map(len, fetched.values()))
            if max_records and not partitions and self._shares.are_bounded():
                fetched = fetched or await self._of_who_does_not_rest(max_records)
            elif left != 0:
                wait_ms = 0 if fetched else max(timeout_ms, _PATIENCE_MS)
                rest = await super().getmany(*partitions, timeout_ms=wait_ms, max_records=left)
                fetched |= {at: fetched.get(at, []) + records for at, records in rest.items()}
        except Exception as error:
            if not fetched:
                self.error = type(error).__name__
                raise  # else what was taken would be lost: it fails again at the next poll, or is mended by then
        finally:
            self._fetcher._fetch_max_wait_ms = _BUSY_FETCH_MS
        self.polled_at = time.monotonic()
        self.error = None
        self.empty_since = None if fetched else self.empty_since or self.polled_at
        for at, records in fetched.items():
            self._shares.took(at.topic, len(records))
        return fetched

    def _shared_out(self, max_records: int) -> list[tuple[list[TopicPartition], int]]:
        """Of which partitions to take how many, topic by topic."""
        topics: dict[str, list[TopicPartition]] = {}
        for partition in self._fetcher._records:
            topics.setdefault(partition.topic, []).append(partition)
        return [(topics[topic], share) for topic, share in self._shares.of(topics, max_records).items()]

    async def _of_who_does_not_rest(self, max_records: int) -> dict[TopicPartition, list[Any]]:
        """Wait for something, until there may be something of another company that has sent much."""
        resting = self._shares.resting()
        wait_s = min(resting.values(), default=_PATIENCE_MS / 1000)
        partitions = [at for at in self.assignment() if at.topic not in resting]
        if not partitions:  # to aiokafka that would be all of them
            await asyncio.sleep(wait_s)
            return {}
        most = min(max_records, BESIDE_MODEST)
        fetched: dict[TopicPartition, list[Any]] = await super().getmany(
            *partitions, timeout_ms=wait_s * 1000, max_records=most
        )
        return fetched

    async def commit_held(self, offsets: Mapping[TopicPartition, int]) -> bool:
        """Commit of partitions still held and still there; return whether all of these are committed.

        What has gone to another instance is repeated there and comes to the same; so is what a member has that its
        group no longer knows: a group without members would take its commit, and go back. A commit for a topic that was
        deleted is tried for ever, and that of all others with it: until it is known to be gone, nothing is committed.
        """
        assigned = self.assignment()
        held = {at: end for at, end in offsets.items() if at in assigned and self.partitions_for_topic(at.topic)}
        if not held or self._coordinator.generation < 0:
            return False
        try:
            async with asyncio.timeout(_COMMIT_S):
                await self.commit(held)
        except (KafkaError, IllegalStateError, TimeoutError) as error:
            log.info("offsets were not committed", reason=type(error).__name__)
            return False
        return len(held) == len(offsets)

    def places(self) -> dict[TopicPartition, Place]:
        """How far each assigned partition was fetched."""
        assigned = self.assignment()
        states = {at: self._subscription.subscription.assignment.state_value(at) for at in assigned}
        return {at: Place(state._position, state.highwater, state.timestamp) for at, state in states.items()}

    def coordination_problem(self) -> str | None:
        """What keeps it from being a member of its group that can go on, or None."""
        coordinator = self._coordinator
        if coordinator is None:
            return "it is not started"
        if coordinator._coordination_task.done():
            return "its coordination has ended"
        if coordinator.coordinator_id is None or coordinator.generation < 0:
            return "it is not in its group"
        return None

    async def stop(self) -> None:
        """Leave the group, and leave nothing behind, also if that hangs and is cancelled.

        It joins no more from the first moment on, so that it cannot take the place of the next consumer of the same
        static name. Nobody is told any more of its revocations: what is in hand is another consumer's by now.
        """
        self._subscription._listener = None
        if (coordinating := getattr(self._coordinator, "_coordination_task", None)) is not None:
            coordinating.cancel()
            await asyncio.wait({coordinating})
        await _ended(getattr(self._fetcher, "_fetch_task", None))
        try:
            await asyncio.gather(super().stop(), return_exceptions=True)  # it raises what its tasks are cancelled with
        finally:
            await _closed(self._fetcher, self._client)


class KafkaProducer(AIOKafkaProducer):
    """aiokafka's idempotent producer, which can say at once whether a topic exists; `send` itself would wait for it."""

    def __init__(self, settings: ServiceSettings) -> None:
        """Every message is to be acknowledged by all in-sync replicas."""
        super().__init__(
            **settings.client(),
            client_id=settings.username,
            acks="all",
            enable_idempotence=True,
            max_batch_size=_BATCH_BYTES,
            max_request_size=_LARGEST_REQUEST_BYTES,
            metadata_max_age_ms=settings.metadata_max_age_ms,
            request_timeout_ms=int(settings.publish_timeout_s * 1000),
        )
        wait_between_looks(self.client)

    async def start(self) -> None:
        """Connect; a client that asks for no topic is given the metadata of all that the cluster has."""
        await super().start()
        await self.client.set_topics({DEAD_LETTERS.name})

    async def missing(self, topics: Set[str]) -> Set[str]:
        """The topics that do not exist; the others are known from now on, within `metadata_max_age_ms`.

        Raises KafkaConnectionError, and TopicAuthorizationFailedError for one that it may not know of: that is a fault
        of the deployment and says nothing of the topic.
        """
        client = self.client
        unknown: Set[str] = topics - client.cluster.topics()
        if not unknown:
            return set()
        now = ClusterMetadata()  # of these alone: there may be thousands
        if not await client._metadata_update(now, sorted(unknown)):
            raise KafkaConnectionError("no broker answers")
        if now.unauthorized_topics:
            raise TopicAuthorizationFailedError(now.unauthorized_topics)
        found: Set[str] = unknown & now.topics()
        if found:
            known = client.set_topics(client._topics | found)
            if not client._md_update_waiter.done():  # in the middle of an update it would come with the next one
                client._md_update_waiter.set_result(None)
            await known
        return unknown - found

    async def ping(self) -> None:
        """Raise KafkaConnectionError if no broker answers."""
        if not await self.client.force_metadata_update():
            raise KafkaConnectionError("no broker answers")

    async def stop(self) -> None:
        """Send nothing any more, and leave nothing behind.

        aiokafka's own sends what is pending first, and an idempotent producer tries that for ever: behind messages that
        are newer by then, and for partitions of which another instance has the say.
        """
        self._closed = True
        await _ended(self._sender.sender_task)
        await _closed(self.client)


async def _ended(task: asyncio.Task[None] | None) -> None:
    """Cancel a task until it has ended: while it waits for what it has under way, once is taken for the end of that."""
    while task is not None and not task.done():
        task.cancel()
        await asyncio.sleep(0)


async def _closed(*parts: Any) -> None:
    """Wait until parts of a client are closed, which a broker that hangs can delay; but not for long."""
    closing = asyncio.gather(*(part.close() for part in parts if part is not None), return_exceptions=True)
    await asyncio.wait({closing}, timeout=_CLOSING_S)
    closing.cancel()
