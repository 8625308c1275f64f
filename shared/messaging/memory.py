"""A bus in memory, for tests: it stands where aiokafka's consumer and producer stand, and the rest is the real thing.

It has topics with partitions, append times that the test moves, consumer groups that rebalance on demand, redelivery of
what was not committed, records that cannot be decoded, brokers that are away, and a crash after any step of the loop.
"""

import asyncio
import contextlib
import re
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, Literal

from aiokafka import TopicPartition
from aiokafka.errors import ConsumerStoppedError, KafkaConnectionError
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.structs import OffsetAndMetadata, OffsetAndTimestamp
from pydantic_core import from_json

from shared.contract.envelope import Headers, Outgoing
from shared.contract.topics import TOPICS
from shared.messaging.record import Record, UndecodableRecord
from shared.messaging.service import Bus, Service
from shared.messaging.upstream import Place
from shared.runtime.settings import ServiceSettings

Step = Literal["fetched", "decided", "half published", "published", "committed"]
"""What a crash comes after (shared/messaging/loop.py); a put-aside message is published like any other."""

_IDLE_S = 20.0
_TICK_S = 0.002
_partition_of = DefaultPartitioner()


class Crash(BaseException):
    """The instance is gone: nothing that it does from now on reaches anybody."""


@dataclass(slots=True)
class MemoryRecord:
    """A record as Kafka hands it out."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
    timestamp_type: int = 1


@dataclass(slots=True)
class _Group:
    committed: dict[TopicPartition, int] = field(default_factory=dict)
    members: list["MemoryConsumer"] = field(default_factory=list)


class MemoryBus:
    """Topics, groups, and the instances of services that read and write them."""

    def __init__(self, partitions: int = 3) -> None:
        self.now = datetime(2026, 11, 24, 16, 12, tzinfo=UTC)
        """The append time of what comes next."""
        self.away = False
        """Whether the brokers do not answer."""
        self.failing_polls = 0
        """How many polls fail that had fetched something, which the next ones fetch again."""
        self.failing_commits = 0
        """How many commits come to nothing."""
        self.holds_acknowledgements = False
        """Whether what is published is appended and never acknowledged."""
        self.stops = asyncio.Event()
        """Consumers do not stop before it is set."""
        self.stops.set()
        self.topics: dict[str, list[list[Record]]] = {}
        self.first: dict[TopicPartition, int] = {}
        """The first offset of partitions of which what is before it counts as deleted."""
        self.groups: defaultdict[str, _Group] = defaultdict(_Group)
        self.news = asyncio.Event()
        self.crash_after: Step | None = None
        self._times_until_crash = 0
        for topic in TOPICS:
            if not topic.per_company:
                self.create(topic.name, 1 if topic.partitions == 1 else partitions)

    def create(self, topic: str, partitions: int = 1) -> None:
        """Make a topic."""
        self.topics[topic] = [[] for _ in range(partitions)]

    def append(
        self, topic: str, key: str, value: bytes, headers: Headers = (), *, partition: int | None = None
    ) -> None:
        """Append a record, now."""
        if partition is None:
            numbers = list(range(len(self.topics[topic])))
            partition = _partition_of(key.encode(), numbers, numbers)
        log = self.topics[topic][partition]
        at_ms = int(self.now.timestamp() * 1000)
        log.append(MemoryRecord(topic, partition, len(log), at_ms, key.encode(), value, list(headers)))
        self._wake()

    def send(self, *messages: Outgoing) -> None:
        """Append messages as a service would have published them."""
        for message in messages:
            self.append(message.topic, message.key, message.value, message.headers)

    def append_undecodable(self, topic: str, partition: int = 0) -> None:
        """Append a record that Kafka's client cannot decode."""
        log = self.topics[topic][partition]
        log.append(UndecodableRecord(topic, partition, len(log), int(self.now.timestamp() * 1000), "it is not UTF-8"))
        self._wake()

    def records(self, topic: str) -> list[Record]:
        """The records of a topic, partition by partition."""
        return [record for log in self.topics[topic] for record in log]

    def bodies(self, topic: str) -> list[Any]:
        """The bodies of a topic's messages."""
        return [from_json(record.value or b"") for record in self.records(topic)]

    def committed(self, group: str) -> int:
        """How many records a group has passed."""
        return sum(self.groups[group].committed.values())

    @contextlib.contextmanager
    def crash(self, *, after: Step, time: int = 1) -> Iterator[None]:
        """Crash the instance that next takes a step, or takes it for the second … time. Fails if none does."""
        self.crash_after, self._times_until_crash = after, time
        yield
        if self.crash_after is not None:
            raise AssertionError(f"nothing crashed after {after}")

    def instance(self, build: Callable[[Bus], Service]) -> "Instance":
        """Make one more instance of a service."""
        return Instance(self, build)

    async def run_until_idle(self, build: Callable[[Bus], Service]) -> Service:
        """Run an instance until it has read all there is, or crashes, or gives up."""
        async with self.instance(build) as instance:
            await instance.until_idle()
            return instance.service

    async def rebalance(self, group: str) -> None:
        """Revoke all partitions and reassign them, in turn to those that are subscribed to them."""
        members = self.groups[group].members
        for member in members:
            await member.revoked()
        shares: dict[MemoryConsumer, list[TopicPartition]] = {member: [] for member in members}
        for number, partition in enumerate(sorted({p for member in members for p in member.wanted()})):
            subscribed = [member for member in members if partition in member.wanted()]
            shares[subscribed[number % len(subscribed)]].append(partition)
        for member, share in shares.items():
            await member.assigned(share)
        self._wake()

    def end_coordination(self, group: str) -> None:
        """Expel the members of a group, without a way back."""
        self.groups[group].members.clear()

    def poll(self) -> None:
        """Raise KafkaConnectionError if a poll is to fail that has fetched something."""
        if self.failing_polls:
            self.failing_polls -= 1
            raise KafkaConnectionError("what was fetched is lost")

    def reached(self, step: Step) -> None:
        """Raise Crash if it is to crash after this step."""
        if self.crash_after == step:
            self._times_until_crash -= 1
            if not self._times_until_crash:
                self.crash_after = None
                raise Crash

    def _wake(self) -> None:
        self.news.set()
        self.news = asyncio.Event()


class Instance:
    """One instance of a service on a bus, without its web server; as a context manager it runs."""

    def __init__(self, bus: MemoryBus, build: Callable[[Bus], Service]) -> None:
        self.bus = bus
        self.crashed = False
        self.consumers: list[MemoryConsumer] = []
        self.producers: list[MemoryProducer] = []
        self.service = build(Bus(consumer=self._consumer, producer=self._producer, admin=self._admin))

    async def __aenter__(self) -> "Instance":
        self._running = self.service.running()
        await self._running.__aenter__()
        await self.until(lambda: self.service.is_started)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.service.stop()
        await self._running.__aexit__(None, None, None)

    async def until_idle(self) -> None:
        """Wait until it has finished and committed all there is to read."""
        await self.until(lambda: all(consumer.lag() == 0 for consumer in self.consumers if consumer.group_id))

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition, or until it has crashed or given up."""
        async with asyncio.timeout(_IDLE_S):
            while not (condition() or self.crashed or self.service.fault):
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.bus.news.wait(), _TICK_S)

    @contextlib.contextmanager
    def in_this_process(self) -> Iterator[None]:
        """Let something happen, and raise Crash if this is its time; KafkaConnectionError when it cannot any more."""
        if self.crashed or self.bus.away:
            raise KafkaConnectionError("no broker answers")
        try:
            yield
        except Crash:
            self.crashed = True
            raise

    def _consumer(self, **options: Any) -> "MemoryConsumer":
        consumer = MemoryConsumer(self, options.get("group_id"))
        self.consumers.append(consumer)
        return consumer

    def _producer(self, _settings: ServiceSettings) -> "MemoryProducer":
        self.producers.append(MemoryProducer(self))
        return self.producers[-1]

    def _admin(self, **_: Any) -> "MemoryAdmin":
        return MemoryAdmin(self)


class MemoryConsumer:
    """Reads as `upstream.KafkaConsumer` does."""

    def __init__(self, instance: Instance, group_id: str | None) -> None:
        self.group_id = group_id
        self.polled_at = time.monotonic()
        self.empty_since: float | None = None
        self.error: str | None = None
        self._instance = instance
        self._bus = instance.bus
        self._topics: Collection[str] = ()
        self._pattern: str | None = None
        self._listener: Any = None
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._stopped = False
        self._is_assigned = asyncio.Event()
        self._coordinator = SimpleNamespace(member_id=f"member {id(self)}")  # FastStream logs it

    @property
    def _group(self) -> _Group:
        return self._bus.groups[self.group_id or ""]

    def subscribe(self, topics: Collection[str] = (), pattern: str | None = None, listener: Any = None) -> None:
        """Choose what to read."""
        self._topics, self._pattern, self._listener = topics, pattern, listener

    async def start(self) -> None:
        """Join the group."""
        if self.group_id is not None:
            self._group.members.append(self)
            await self._bus.rebalance(self.group_id)

    async def stop(self) -> None:
        """Leave the group; revocations are no longer announced."""
        self._listener = None
        await self._bus.stops.wait()
        self._stopped = True
        self._is_assigned.set()
        if self in self._group.members:
            self._group.members.remove(self)
            await self._bus.rebalance(self.group_id or "")

    def wanted(self) -> set[TopicPartition]:
        """The partitions of what it is subscribed to."""
        names = {name for name in self._bus.topics if self._pattern and re.fullmatch(self._pattern, name)}
        return {
            TopicPartition(topic, number)
            for topic in names | set(self._topics)
            for number in range(len(self._bus.topics.get(topic, ())))
        }

    async def revoked(self) -> None:
        """Give all partitions back; nothing is handed over until they are reassigned."""
        self._is_assigned.clear()
        if self._listener is not None and not self._instance.crashed:
            await self._listener.on_partitions_revoked(set(self._positions))
        self._positions.clear()
        self._paused.clear()

    async def assigned(self, partitions: Iterable[TopicPartition]) -> None:
        """Begin where the group has committed."""
        self._positions = {partition: self._group.committed.get(partition, 0) for partition in partitions}
        await self._listener.on_partitions_assigned(set(self._positions))
        self._is_assigned.set()

    def assign(self, partitions: Iterable[TopicPartition]) -> None:
        """Read partitions without a group."""
        self._positions = dict.fromkeys(partitions, 0)
        self._is_assigned.set()

    def assignment(self) -> frozenset[TopicPartition]:
        """The partitions that this instance reads."""
        return frozenset(self._positions)

    async def getmany(
        self, *partitions: TopicPartition, timeout_ms: int = 0, max_records: int | None = None
    ) -> dict[TopicPartition, list[Record]]:
        """Hand over records, or wait for some."""
        await self._is_assigned.wait()
        if self._stopped:
            raise ConsumerStoppedError
        begun = dict(self._positions)
        try:
            with self._instance.in_this_process():
                fetched = self._fetch(partitions or tuple(self._positions), max_records or 500)
                if fetched:
                    self._bus.reached("fetched")
                    self._bus.poll()
        except KafkaConnectionError as error:
            self.error = type(error).__name__
            self._positions = begun
            await asyncio.sleep(0)
            raise
        self.error = None
        self.polled_at = time.monotonic()
        self.empty_since = None if fetched else self.empty_since or self.polled_at
        if not fetched:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._bus.news.wait(), timeout_ms / 1000)
        return fetched

    def _fetch(self, partitions: Iterable[TopicPartition], left: int) -> dict[TopicPartition, list[Record]]:
        fetched: dict[TopicPartition, list[Record]] = {}
        for partition in partitions:
            at = self._positions[partition]
            records = self._log(partition)[at : at + left]
            if records and partition not in self._paused:
                fetched[partition] = list(records)
                self._positions[partition] = at + len(records)
                left -= len(records)
        return fetched

    def _log(self, partition: TopicPartition) -> list[Record]:
        logs = self._bus.topics.get(partition.topic, [])
        return logs[partition.partition] if partition.partition < len(logs) else []

    async def commit_held(self, offsets: Mapping[TopicPartition, int]) -> bool:
        """Commit of partitions still held; with brokers away, or in a process that is no more, it comes to nothing."""
        if self._instance.crashed or self._bus.away:
            return False
        with self._instance.in_this_process():
            self._bus.reached("decided")  # where nothing was published
            self._bus.reached("published")
            if self._bus.failing_commits:
                self._bus.failing_commits -= 1
                return False
            if self not in self._group.members:
                return False  # Kafka's UNKNOWN_MEMBER_ID
            held = {partition: offset for partition, offset in offsets.items() if partition in self._positions}
            self._group.committed.update(held)
            self._bus.reached("committed")
        return bool(held)

    async def committed(self, partition: TopicPartition) -> int | None:
        """Where the group has committed, as AIOKafkaConsumer tells it."""
        return self._group.committed.get(partition)

    def lag(self) -> int:
        """How many records of its partitions are not committed."""
        return sum(len(self._log(p)) - self._group.committed.get(p, 0) for p in self._positions)

    def pause(self, *partitions: TopicPartition) -> None:
        """Give no records of partitions."""
        self._paused.update(partitions)

    def resume(self, *partitions: TopicPartition) -> None:
        """Give them again."""
        self._paused.difference_update(partitions)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Go to an offset."""
        self._positions[partition] = offset

    async def position(self, partition: TopicPartition) -> int:
        """The next offset."""
        return self._positions[partition]

    async def beginning_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Where partitions begin."""
        return {partition: self._bus.first.get(partition, 0) for partition in partitions}

    async def offsets_for_times(self, times: Mapping[TopicPartition, int]) -> dict[TopicPartition, Any]:
        """The first offset at or after a time, in milliseconds since 1970 UTC, or None."""
        return {
            partition: next(
                (OffsetAndTimestamp(r.offset, r.timestamp) for r in self._log(partition) if r.timestamp >= at), None
            )
            for partition, at in times.items()
        }

    async def end_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Where partitions end."""
        with self._instance.in_this_process():
            return {partition: len(self._log(partition)) for partition in partitions}

    def places(self) -> Mapping[TopicPartition, Place]:
        """How far each assigned partition was fetched."""
        now_ms = time.time_ns() // 1_000_000
        return {partition: Place(at, len(self._log(partition)), now_ms) for partition, at in self._positions.items()}

    def coordination_problem(self) -> str | None:
        """What keeps it from being a member of its group, or None."""
        return None if self in self._group.members else "it is not in its group"


class MemoryProducer:
    """Publishes as `upstream.KafkaProducer` does; a batch is its records."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._bus = instance.bus
        self._sent = 0

    async def start(self) -> None:
        """Connect."""
        await self.ping()

    async def stop(self) -> None:
        """Send nothing any more."""

    async def partitions_for(self, topic: str) -> set[int]:
        """The partitions of a topic that exists."""
        return set(range(len(self._bus.topics[topic])))

    async def missing(self, topics: Set[str]) -> Set[str]:
        """The topics that do not exist; it is asked before each batch."""
        self._sent = 0
        with self._instance.in_this_process():
            return topics - self._bus.topics.keys()

    async def ping(self) -> None:
        """Raise KafkaConnectionError while the brokers are away."""
        with self._instance.in_this_process():
            return

    def create_batch(self) -> "MemoryBatch":
        """Make an empty batch."""
        return MemoryBatch()

    async def send_batch(self, batch: "MemoryBatch", topic: str, *, partition: int) -> "asyncio.Future[None]":
        """Append a batch to a partition; it is acknowledged at once, if at all."""
        with self._instance.in_this_process():
            self._bus.reached("decided")
            if self._sent:
                self._bus.reached("half published")
            self._sent += 1
            for key, value, headers in batch.records:
                self._bus.append(topic, key.decode(), value, headers, partition=partition)
        acknowledged: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not self._bus.holds_acknowledgements:
            acknowledged.set_result(None)
        return acknowledged


class MemoryAdmin:
    """Describes topics and groups as aiokafka's admin client does."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._bus = instance.bus

    async def start(self) -> None:
        """Connect."""

    async def close(self) -> None:
        """Close the connection."""

    async def describe_topics(self) -> list[dict[str, Any]]:
        """All topics, and their partitions."""
        with self._instance.in_this_process():
            return [
                {"topic": topic, "partitions": [{"partition": number} for number in range(len(logs))]}
                for topic, logs in self._bus.topics.items()
            ]

    async def list_consumer_group_offsets(self, group: str) -> dict[TopicPartition, OffsetAndMetadata]:
        """How far a group has come."""
        with self._instance.in_this_process():
            committed = self._bus.groups[group].committed
            return {partition: OffsetAndMetadata(offset, "") for partition, offset in committed.items()}


@dataclass(slots=True)
class MemoryBatch:
    """A batch of any size."""

    records: list[tuple[bytes, bytes, Headers]] = field(default_factory=list)

    def append(self, *, key: bytes, value: bytes, headers: Headers, **_: None) -> bool:
        """Add a record; its time will be the broker's."""
        self.records.append((key, value, headers))
        return True

    def size(self) -> int:
        """Count the bytes of its values."""
        return sum(len(value) for _, value, _ in self.records)
