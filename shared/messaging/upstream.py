"""What has to be done around FastStream and aiokafka, each piece with its reason. Nothing else reaches inside them.

| piece | needed for | since |
|---|---|---|
| `wait_between_looks` | a client asks for a missing leader without a pause | aiokafka issue 1155 (0.14) |
| `KafkaConsumer.commit_held` | a commit for a topic that was deleted is tried for ever | aiokafka issue 1095 (0.14) |
| `KafkaConsumer.getmany` | a header's name that is not UTF-8 loses all that was fetched | aiokafka (0.14) |
| `KafkaConsumer.getmany` | FastStream sleeps after an empty poll for as long as it had it wait | FastStream 0.7 |
| `KafkaConsumer.coordination_problem` | coordination ends with the group's right | aiokafka issue 1154 (0.14) |
| `sticky_assignor` | the sticky assignor's state is shared by all consumers of a process | aiokafka issue 1175 (0.14) |
| `read_with` | FastStream has no place to say which consumer it is to read with | FastStream 0.7 |
| `KafkaConsumer.abandon` | `stop` that is interrupted leaves tasks and a connection behind | aiokafka (0.14) |
| `KafkaProducer.abandon` | `stop` sends what is pending first, and tries that for ever | aiokafka (0.14) |
| `Publisher` (publisher.py) | an idempotent producer is stuck after a broker's outage | aiokafka issue 1017 (0.14) |

`check` says at the start which of the classes' parts that are replaced or read here is no longer there.
`tests/integration/test_upstream.py` fails when one of these is mended and can go; the last three have
no such test.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.cluster import ClusterMetadata
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import (
    IllegalStateError,
    KafkaConnectionError,
    KafkaError,
    LeaderNotAvailableError,
    TopicAuthorizationFailedError,
)
from faststream.kafka import KafkaBroker

from shared.errors import Misconfigured
from shared.messaging.consumer import Offsets, Place
from shared.messaging.record import UndecodableRecord
from shared.runtime.logs import log
from shared.runtime.settings import ServiceSettings

_LARGEST_REQUEST_BYTES = 9 * 1024 * 1024
_BATCH_BYTES = 128 * 1024
_LOOKS_APART_S = 0.1
_COMMIT_S = 2.0
"""How long a commit may take before it is asked whether its topics are still there."""
_GOODBYE_S = 5.0
_CAREFUL_S = 5.0
_PATIENCE_MS = 1000


def check() -> None:
    """Raise Misconfigured where something that is replaced or looked at here is no longer there."""
    needed = (
        (AIOKafkaClient, "_metadata_update"),
        (GroupCoordinator, "_coordination_routine"),
        (GroupCoordinator, "ensure_coordinator_known"),
        (StickyPartitionAssignor, "member_assignment"),
        (KafkaBroker, "connect"),
    )
    if gone := [f"{owner.__name__}.{name}" for owner, name in needed if not hasattr(owner, name)]:
        raise Misconfigured(f"{', '.join(gone)} of FastStream or aiokafka is gone (shared/messaging/upstream.py)")


async def read_with(broker: KafkaBroker, consumer: Callable[..., Any]) -> None:
    """Have the broker's subscribers read with consumers that we make, in the place of aiokafka's own.

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
    """Have a client of aiokafka wait a little before it asks again for the metadata of the same topics.

    While a partition has no leader, because brokers restart or a topic was deleted, its consumers and producers ask
    again as soon as they are answered: a whole processor's work, and as many requests as the brokers can answer. Other
    topics than the last time are asked for at once.
    """
    ask = client._metadata_update
    asked: frozenset[str] | None = None
    asked_at = 0.0

    async def ask_after_a_pause(cluster: Any, topics: Any) -> Any:
        nonlocal asked, asked_at
        now_asked = frozenset(topics or ())
        if now_asked == asked:
            await asyncio.sleep(max(0.0, asked_at + _LOOKS_APART_S - time.monotonic()))
        try:
            return await ask(cluster, topics)
        finally:
            asked, asked_at = now_asked, time.monotonic()

    client._metadata_update = ask_after_a_pause


class KafkaConsumer(AIOKafkaConsumer):
    """aiokafka's consumer with what is said above; a `GroupConsumer`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        """Connect as AIOKafkaConsumer does."""
        super().__init__(*args, **options)
        self.polled_at = time.monotonic()
        self.empty_since: float | None = None
        self.error: str | None = None
        self._careful_until = 0.0
        self._must_go_back = False
        wait_between_looks(self._client)

    async def getmany(
        self, *partitions: TopicPartition, timeout_ms: int = 0, max_records: int | None = None
    ) -> dict[TopicPartition, list[Any]]:
        """Fetch records, as AIOKafkaConsumer does, with an UndecodableRecord in the place of one with a bad header.

        It waits for a second at least if there are none: FastStream sleeps after an empty poll for as long as it had
        it wait, so with short ones a service without work would wake up 25 times a second, with long ones a message
        that comes meanwhile would wait.
        """
        try:
            fetched = await self._poll(partitions, timeout_ms, max_records)
        except Exception as error:
            self.error = type(error).__name__
            raise
        self.polled_at = time.monotonic()
        self.error = None
        self.empty_since = None if fetched else self.empty_since or self.polled_at
        return fetched

    async def _poll(
        self, partitions: Sequence[TopicPartition], timeout_ms: int, max_records: int | None
    ) -> dict[TopicPartition, list[Any]]:
        """Poll; after a record that cannot be decoded one at a time for a while, which tells where it is.

        Brokers take any bytes as a header's name. aiokafka raises UnicodeDecodeError where it meets one, loses what it
        had decoded before it, fetches the same again and raises again: one company's record would stop the reader for
        all. What its producer sent in the same batch behind it cannot be decoded either, and is passed likewise.
        """
        if self._must_go_back:
            await self._go_back()
        try:
            if time.monotonic() >= self._careful_until:
                fetched: dict[TopicPartition, list[Any]] = await super().getmany(
                    *partitions, timeout_ms=max(timeout_ms, _PATIENCE_MS), max_records=max_records
                )
                return fetched
            fetched = await self._one_at_a_time(partitions or tuple(self.assignment()), max_records or 500)
        except UnicodeDecodeError:
            self._careful_until = time.monotonic() + _CAREFUL_S
            self._must_go_back = True
            return {}
        except Exception:
            self._must_go_back = True
            raise
        if not fetched:
            await asyncio.sleep(timeout_ms / 1000)
        return fetched

    async def _go_back(self) -> None:
        """Go back to what is committed; what is under way since then is known to the loop.

        aiokafka moves on in every partition that it takes records from, and where it then meets an error in another
        one, those records are gone. So this is done after any error, before anything is read again. For all partitions
        at once: each look for a beginning waits until the fetch under way has ended, half a second, and every company
        has partitions that nothing was ever committed on.
        """
        partitions = tuple(self.assignment())
        committed = dict(zip(partitions, await asyncio.gather(*map(self.committed, partitions)), strict=True))
        if unread := [partition for partition, offset in committed.items() if offset is None]:
            await self.seek_to_beginning(*unread)
        for partition, offset in committed.items():
            if offset is not None:
                self.seek(partition, offset)
        self._must_go_back = False

    async def _one_at_a_time(
        self, partitions: Sequence[TopicPartition], max_records: int
    ) -> dict[TopicPartition, list[Any]]:
        fetched: dict[TopicPartition, list[Any]] = {}
        left = max_records
        for partition in partitions:
            while left and (record := await self._next(partition)) is not None:
                fetched.setdefault(partition, []).append(record)
                left -= 1
        return fetched

    async def _next(self, partition: TopicPartition) -> Any:
        """Take the next record that has been fetched already; the position is then behind it."""
        try:
            records = await super().getmany(partition, timeout_ms=0, max_records=1)
        except UnicodeDecodeError:
            self._careful_until = time.monotonic() + _CAREFUL_S
            offset = await self.position(partition)
            self.seek(partition, offset + 1)
            return UndecodableRecord(partition.topic, partition.partition, offset, time.time_ns() // 1_000_000)
        return records[partition][0] if records else None

    async def abandon(self) -> None:
        """Leave the group as well as it can be done, and leave nothing of it behind, whatever hangs.

        Nobody is told any more of its revocations: what is in hand is another consumer's by now.
        """
        self._subscription._listener = None
        try:
            async with asyncio.timeout(_GOODBYE_S):
                await self.stop()
        except Exception as error:  # noqa: BLE001 - it is being thrown away
            log.debug("an old consumer did not stop cleanly", error=type(error).__name__)
            coordinator = self._coordinator
            for name in ("_coordination_task", "_heartbeat_task", "_commit_refresh_task"):
                if (task := getattr(coordinator, name, None)) is not None:
                    task.cancel()
            for part in (self._fetcher, self._client):
                with contextlib.suppress(Exception):
                    async with asyncio.timeout(_GOODBYE_S):
                        await part.close()

    async def commit_held(self, offsets: Offsets) -> bool:
        """Commit of partitions still held and still there; tell whether all of these are committed.

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

    def places(self) -> Mapping[TopicPartition, Place]:
        """Tell how far each assigned partition was fetched."""
        subscription = self._subscription.subscription
        assignment = subscription.assignment if subscription is not None else None
        if assignment is None:
            return {}
        places = {}
        for partition in assignment.tps:
            state = assignment.state_value(partition)
            unanswered_s = None if state.timestamp is None else max(0.0, time.time() - state.timestamp / 1000)
            position = state.position if state.has_valid_position else None
            places[partition] = Place(position, state.highwater, unanswered_s)
        return places

    def coordination_problem(self) -> str | None:
        """Say what keeps it from being a member of its group that can go on, or None."""
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

    async def partitions(self, topic: str) -> list[int]:
        """Tell the partitions of a topic. Raises LeaderNotAvailableError where they are not known yet."""
        if self.client.cluster.partitions_for_topic(topic) is None:
            await self.client.force_metadata_update()
        known = self.client.cluster.partitions_for_topic(topic)
        if not known:
            raise LeaderNotAvailableError(topic)
        return sorted(known)

    async def abandon(self) -> None:
        """Send nothing any more, and leave nothing behind.

        `stop` sends what is pending first, and an idempotent producer tries that for ever: behind messages that are
        newer by then, and for partitions of which another instance has the say.
        """
        self._closed = True
        self._message_accumulator._closed = True
        try:
            with contextlib.suppress(asyncio.CancelledError, KafkaError):
                await self._sender.close()
        finally:
            await self.client.close()

    async def missing(self, topics: set[str]) -> set[str]:
        """Tell which topics do not exist. Raises KafkaConnectionError and TopicAuthorizationFailedError."""
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

    async def answers(self) -> None:
        """Raise KafkaConnectionError if no broker answers."""
        if not await self.client.force_metadata_update():
            raise KafkaConnectionError("no broker answers")
