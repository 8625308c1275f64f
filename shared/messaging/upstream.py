"""What has to be done around FastStream and aiokafka, each piece with its reason. Nothing else reaches inside them.

| piece | needed for | since |
|---|---|---|
| `wait_between_looks` | a client asks for a missing leader without a pause | aiokafka issue 1155 (0.14) |
| `KafkaConsumer.commit_held` | a commit for a topic that was deleted is tried for ever | aiokafka issue 1095 (0.14) |
| `_find_positions` | where a group has committed is asked of one partition after the other | aiokafka (0.14) |
| `_await_reset` | what was deleted before it was read is passed without a word that we could count | aiokafka (0.14) |
| `Fetched` | a header's name that is not UTF-8 loses all that was fetched | aiokafka (0.14) |
| `unpack_within_bounds` (unpacking.py) | a batch is unpacked whatever it becomes | aiokafka (0.14) |
| `KafkaConsumer._shared_out` | what was fetched of one topic comes before all that was of the next | aiokafka (0.14) |
| `KafkaConsumer.getmany` | FastStream sleeps after an empty poll for as long as it had it wait | FastStream 0.7 |
| `KafkaConsumer.coordination_problem` | coordination ends with the group's right | aiokafka issue 1154 (0.14) |
| `sticky_assignor` | the sticky assignor's state is shared by all consumers of a process | aiokafka issue 1175 (0.14) |
| `read_with` | FastStream has no option for the consumer that it reads with | FastStream 0.7 |
| `KafkaConsumer.abandon` | `stop` that is interrupted leaves tasks and a connection behind | aiokafka (0.14) |
| `KafkaProducer.abandon` | `stop` sends what is pending first, and tries that for ever | aiokafka (0.14) |
| `Publisher` (publisher.py) | an idempotent producer is stuck after a broker's outage | aiokafka issue 1017 (0.14) |

`check` says at the start what of that which is replaced or read here is no longer there.
`tests/integration/test_upstream.py` fails when one of these is mended and can go.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.cluster import ClusterMetadata
from aiokafka.consumer import fetcher
from aiokafka.consumer.fetcher import UNKNOWN_OFFSET, OffsetResetStrategy
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.consumer.subscription_state import Assignment, TopicPartitionState
from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import IllegalStateError, KafkaConnectionError, KafkaError, TopicAuthorizationFailedError
from aiokafka.record._crecords import default_records
from faststream.kafka import KafkaBroker

from shared.errors import Misconfigured
from shared.messaging.record import UndecodableRecord
from shared.messaging.unpacking import CannotBeUnpacked, unpack_within_bounds
from shared.runtime import metrics
from shared.runtime.logs import log
from shared.runtime.settings import ServiceSettings

_LARGEST_REQUEST_BYTES = 9 * 1024 * 1024
_BATCH_BYTES = 128 * 1024
_LOOKS_APART_S = 0.1
_METADATA_OF_A_TOPIC_MS = 5
_OLDEST_METADATA_MS = 10_000
_COMMIT_S = 2.0
"""How long a commit may take before it is asked whether its topics are still there."""
_PATIENCE_MS = 1000
_TOPICS_AT_ONCE = 30
_BUSY_FETCH_MS = 500
_IDLE_FETCH_MS = 1000
"""How long a broker may wait for something to give."""
_IDLE_AFTER_S = 10.0
_CLOSING_S = 2.0


_TOUCHED = """
    KafkaBroker.connect
    StickyPartitionAssignor.member_assignment
    consumer._client._metadata_update consumer._client._metadata_max_age_ms consumer._client.cluster
    consumer._coordinator consumer._fetcher
    reading._records reading._fetch_max_wait_ms reading._update_fetch_positions reading._default_reset_strategy
    consumer._subscription._listener consumer._subscription.subscription
    coordinator._coordination_task coordinator.coordinator_id coordinator.generation
    assignment.tps state.consumed_to state.has_valid_position state.highwater state.timestamp
    state.awaiting_reset state.await_reset state.reset_to state.fetch_committed
    fetched._assignment fetched._partition_records fetched._topic_partition fetched.check_assignment
    records.next_fetch_offset records._records
    unpacking.gzip_decode unpacking.snappy_decode unpacking.lz4_decode unpacking.zstd_decode
    producer._sender.sender_task producer.client
"""


def check() -> None:
    """Raise Misconfigured where something that is replaced or looked at here is no longer there.

    What only instances have is looked for in some that are not started, for which an event loop must be running.
    """
    consumer, producer, partition = AIOKafkaConsumer(), AIOKafkaProducer(), TopicPartition("a-topic", 0)
    consumer._closed = producer._closed = True  # nobody is to miss their stop
    coordinator = GroupCoordinator(consumer._client, consumer._subscription)
    coordinator._coordination_task.cancel()
    assignment = Assignment([partition])
    state = assignment.state_value(partition)
    fetched = fetcher.FetchResult(partition, assignment=assignment, partition_records=None, backoff=0)
    records = fetcher.PartitionRecords(partition, None, None, 0, None, None, check_crcs=False, isolation_level=0)
    reading = fetcher.Fetcher(consumer._client, consumer._subscription)
    reading._fetch_task.cancel()
    unpacking = default_records
    parts = locals() | {part.__name__: part for part in (KafkaBroker, StickyPartitionAssignor)}
    for path in _TOUCHED.split():
        owner, _, names = path.partition(".")
        try:
            attrgetter(names)(parts[owner])
        except AttributeError:
            raise Misconfigured(f"{path} of FastStream or aiokafka is gone (shared/messaging/upstream.py)") from None


async def read_with(broker: KafkaBroker, consumer: Callable[..., Any]) -> None:
    """Make the broker's subscribers read with our consumers instead of aiokafka's own.

    Raises Misconfigured where FastStream no longer makes its consumers as it did: reading with another would lose
    messages silently.
    """
    await broker.connect()
    config = broker.config.broker_config
    made_by = getattr(config.builder, "func", config.builder)
    if made_by not in (AIOKafkaConsumer, consumer):
        raise Misconfigured("FastStream makes its consumers in another way (shared/messaging/upstream.py)")
    config.builder = consumer


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


@dataclass(frozen=True, slots=True)
class Place:
    """How far a partition that is assigned was fetched."""

    position: int | None
    """The next offset that a poll gives; None until it is known."""
    end: int | None
    """Where the partition ended at the last answer to a fetch; None before the first."""
    unanswered_s: float | None
    """How long ago that was."""


class _Batches:
    """The record batches of a fetch, and which was begun last."""

    def __init__(self, batches: Any) -> None:
        self._batches = batches
        self.last: Any = None

    def has_next(self) -> bool:
        return bool(self._batches.has_next())

    def next_batch(self) -> Any:
        self.last = self._batches.next_batch()
        return self.last


class Fetched(fetcher.FetchResult):
    """What was fetched of a partition; what of it cannot be decoded costs nothing else.

    Brokers take any bytes as a header's name. aiokafka raises UnicodeDecodeError where it meets one, is past what it
    had taken of other partitions, fetches the same again and raises again: one company's record would stop the reader
    for all. What its producer sent in the same batch behind it cannot be decoded either, and is passed likewise, one
    fetch after the other. A batch that is too large unpacked is passed as a whole. Any other error is raised when the
    poll before it has handed over what it had taken.
    """

    _partition_records: Any
    _error: Exception | None = None

    def getall(self, max_records: int | None = None) -> list[Any]:
        """Take records, with an UndecodableRecord in the place of one with a bad header, or of a batch's last one."""
        if self._error is not None:
            error, self._error = self._error, None  # then it is fetched again
            raise error
        taken: list[Any] = []
        at, records = self._topic_partition, self._partition_records
        if not self.check_assignment(at):
            return taken
        if not isinstance(records._records, _Batches):
            records._records = _Batches(records._records)
        try:
            for record in records:
                taken.append(record)
                if len(taken) == max_records:
                    break
            else:
                self._partition_records = None
        except UnicodeDecodeError:
            offset = records.next_fetch_offset
            taken.append(UndecodableRecord(at.topic, at.partition, offset, _now_ms()))
            records.next_fetch_offset = offset + 1
            self._partition_records = None
        except CannotBeUnpacked as error:
            first, end = records.next_fetch_offset, records._records.last.next_offset
            reason = f"{error}, with all from offset {first} on, so it cannot be read; it is still on its topic"
            taken.append(UndecodableRecord(at.topic, at.partition, end - 1, _now_ms(), reason=reason))
            records.next_fetch_offset = end
            self._partition_records = None
        except Exception as error:  # noqa: BLE001 - raised by the next poll, which comes to it first
            self._error = error
        self._assignment.state_value(at).consumed_to(records.next_fetch_offset)
        return taken


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


async def _find_positions(self: Any, assignment: Any, node: Any, partitions: Any) -> bool:
    """Begin new partitions where the group has committed, which is asked of all of them at once."""
    states = [assignment.state_value(partition) for partition in partitions]
    new = [state for state in states if not (state.has_valid_position or state.awaiting_reset)]
    if self._default_reset_strategy != OffsetResetStrategy.NONE:
        try:
            committed = await asyncio.gather(*(state.fetch_committed() for state in new))
        except asyncio.CancelledError:
            return False  # as aiokafka's own answers when the partitions are revoked
        for state, at in zip(new, committed, strict=True):
            if state.has_valid_position or state.awaiting_reset:
                continue  # somebody has sought meanwhile
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


_update_fetch_positions = fetcher.Fetcher._update_fetch_positions
fetcher.Fetcher._update_fetch_positions = _find_positions
_reset = TopicPartitionState.await_reset
TopicPartitionState.await_reset = _await_reset
fetcher.FetchResult = Fetched
unpack_within_bounds()


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
        wait_between_looks(self._client)

    async def getmany(
        self, *partitions: TopicPartition, timeout_ms: int = 0, max_records: int | None = None
    ) -> dict[TopicPartition, list[Any]]:
        """Fetch records as AIOKafkaConsumer does, but wait for a second at least if there are none.

        FastStream sleeps after an empty poll for as long as it had it wait: with short ones a service without work
        would wake up 25 times a second, with long ones a message that comes meanwhile would wait.

        A fetch names every partition, which is much work for brokers and for us where there are thousands. So one that
        begins when there has been nothing for a while waits for longer; but not while some partition is left out of it,
        whose messages would have to wait until it is over. So do those that come right after a rebalance: brokers
        answer a connection's requests in order.
        """
        idle_s = 0.0 if self.empty_since is None else time.monotonic() - self.empty_since
        if idle_s > _IDLE_AFTER_S and not self.paused():
            self._fetcher._fetch_max_wait_ms = _IDLE_FETCH_MS
        try:
            fetched = await self._shared_out(max_records) if max_records and not partitions else {}
            if not fetched:
                fetched = await super().getmany(
                    *partitions, timeout_ms=max(timeout_ms, _PATIENCE_MS), max_records=max_records
                )
        except Exception as error:
            self.error = type(error).__name__
            raise
        finally:
            self._fetcher._fetch_max_wait_ms = _BUSY_FETCH_MS
        self.polled_at = time.monotonic()
        self.error = None
        self.empty_since = None if fetched else self.empty_since or self.polled_at
        return fetched

    async def _shared_out(self, max_records: int) -> dict[TopicPartition, list[Any]]:
        """Take as much of each topic as of every other that has something, and fill up with what there is more.

        aiokafka goes through its partitions, and takes all that it has fetched of the first before the next: with a
        topic for each company, what one has sent at once would hold up the others.
        """
        topics: dict[str, list[TopicPartition]] = {}
        for partition in self._fetcher._records:
            topics.setdefault(partition.topic, []).append(partition)
        if len(topics) < 2:
            return {}
        fetched: dict[TopicPartition, list[Any]] = {}
        chosen = random.sample(list(topics), min(len(topics), _TOPICS_AT_ONCE, max_records))
        parts = [(topics[topic], max_records // len(chosen)) for topic in chosen]
        left = max_records
        for partitions, share in [*parts, ([], max_records)]:
            if not left:
                break
            try:
                taken = await super().getmany(*partitions, max_records=min(share, left))
            except Exception:
                if not fetched:
                    raise
                break  # what was taken would be lost with it; it fails again at the next poll, or is mended by then
            for partition, records in taken.items():
                fetched.setdefault(partition, []).extend(records)
                left -= len(records)
        return fetched

    async def commit_held(self, offsets: Mapping[TopicPartition, int]) -> bool:
        """Commit of partitions still held and still there; return whether all of these are committed.

        What has gone to another instance is repeated there and comes to the same; so is what a member has that its
        group no longer knows: a group without members would take its commit, and go back. A commit for a topic that was
        deleted is tried for ever, and that of all others with it; so it is asked which are still there.
        """
        while held := {partition: at for partition, at in offsets.items() if partition in self.assignment()}:
            if self._coordinator.generation < 0:
                return False
            try:
                async with asyncio.timeout(_COMMIT_S):
                    await self.commit(held)
            except (KafkaError, IllegalStateError) as error:
                log.info("offsets were not committed", reason=type(error).__name__)
                return False
            except TimeoutError:
                with contextlib.suppress(KafkaError, OSError):
                    there = await self.topics()
                    offsets = {partition: at for partition, at in held.items() if partition.topic in there}
                gone = sorted({partition.topic for partition in held.keys() - offsets.keys()})
                log.warning("offsets are committed again", without=gone)
            else:
                return True
        return False

    def places(self) -> dict[TopicPartition, Place]:
        """How far each assigned partition was fetched."""
        subscription = self._subscription.subscription
        assignment = subscription.assignment if subscription is not None else None
        if assignment is None:
            return {}
        states = {partition: assignment.state_value(partition) for partition in assignment.tps}
        return {
            partition: Place(
                state.position if state.has_valid_position else None,
                state.highwater,
                None if state.timestamp is None else max(0.0, time.time() - state.timestamp / 1000),
            )
            for partition, state in states.items()
        }

    def coordination_problem(self) -> str | None:
        """What keeps it from being a member of its group that can go on, or None."""
        coordinator = self._coordinator
        if not isinstance(coordinator, GroupCoordinator):
            return "it is not started"
        if coordinator._coordination_task.done():
            return "its coordination has ended"
        if coordinator.coordinator_id is None:
            return "its group's coordinator is not known"
        if coordinator.generation < 0:
            return "it is not in its group"
        return None

    async def abandon(self) -> None:
        """Leave the group, and leave nothing behind, also if that hangs and is cancelled.

        It joins no more from the first moment on, so that it cannot take the place of the next consumer of the same
        static name. Nobody is told any more of its revocations: what is in hand is another consumer's by now.
        """
        self._subscription._listener = None
        if self._coordinator is not None:
            self._coordinator._coordination_task.cancel()
            await asyncio.wait({self._coordinator._coordination_task})
        try:
            await asyncio.gather(self.stop(), return_exceptions=True)  # it raises what its own tasks are cancelled with
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

    async def know(self, topics: set[str]) -> None:
        """Know of these topics, and of no others, within `metadata_max_age_ms`."""
        await self.client.set_topics(topics)

    async def abandon(self) -> None:
        """Send nothing any more, and leave nothing behind.

        `stop` sends what is pending first, and an idempotent producer tries that for ever: behind messages that are
        newer by then, and for partitions of which another instance has the say.
        """
        self._closed = True
        sending = self._sender.sender_task
        while sending is not None and not sending.done():
            sending.cancel()  # again, since it waits then for what it has under way
            await asyncio.sleep(0)
        await _closed(self.client)

    async def missing(self, topics: set[str]) -> set[str]:
        """The topics that do not exist. Raises KafkaConnectionError and TopicAuthorizationFailedError."""
        unknown = topics - self.client.cluster.topics()
        if not unknown:
            return set()
        now = ClusterMetadata()
        if not await self.client._metadata_update(now, sorted(unknown)):
            raise KafkaConnectionError("no broker answers")
        if now.unauthorized_topics:
            raise TopicAuthorizationFailedError(now.unauthorized_topics)
        missing: set[str] = unknown - now.topics()
        return missing

    async def ping(self) -> None:
        """Raise KafkaConnectionError if no broker answers."""
        if not await self.client.force_metadata_update():
            raise KafkaConnectionError("no broker answers")


async def _closed(*parts: Any) -> None:
    """Wait until parts of a client are closed, which a broker that hangs can delay; but not for long."""
    closing = asyncio.gather(*(part.close() for part in parts if part is not None), return_exceptions=True)
    await asyncio.wait({closing}, timeout=_CLOSING_S)
    closing.cancel()
