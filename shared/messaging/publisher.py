"""Publishing: every message acknowledged by all in-sync replicas, or an error and a new producer."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from aiokafka.errors import MessageSizeTooLargeError, UnknownTopicOrPartitionError
from aiokafka.partitioner import DefaultPartitioner

from shared.contract.envelope import Outgoing
from shared.contract.topics import DEAD_LETTERS
from shared.messaging.upstream import KafkaProducer
from shared.runtime import metrics
from shared.runtime.logs import log
from shared.runtime.settings import ServiceSettings

LARGEST_MESSAGE_BYTES = 8 * 1024 * 1024
_GOODBYE_S = 5.0
_IS_IT_THERE_AFTER_S = 1.0
"""How long an acknowledgement is waited for before it is asked whether the topic is still there."""

_partition_of = DefaultPartitioner()


class Publisher:
    """An idempotent producer that is thrown away whenever a publish fails.

    What a reader sees of a batch is always a beginning of it, partition by partition. An idempotent producer can get
    stuck after a broker's outage (aiokafka issue 1017); a new one, and the batch published again with the same ids, is
    the way out.
    """

    def __init__(self, settings: ServiceSettings, producer: Callable[[ServiceSettings], Any] = KafkaProducer) -> None:
        self._settings = settings
        self._make = producer
        self._producer: Any = None
        self._starting = asyncio.Lock()
        self._publishing = asyncio.Lock()
        """One batch after the other: one that fails takes the producer, and all that it has not sent, with it."""
        self._topics = {DEAD_LETTERS.name}
        """What is asked for. Without any topic a client asks for the metadata of all that the cluster has."""
        self._farewells: set[asyncio.Task[None]] = set()

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        """Publish in order and wait until all are acknowledged.

        Raises KafkaError or TimeoutError; then some may have been published, and all are to be published again.
        UnknownTopicOrPartitionError, without a long wait, if a topic does not exist.
        """
        if not messages:
            return
        for message in messages:
            if len(message.value) > LARGEST_MESSAGE_BYTES:
                raise MessageSizeTooLargeError(f"{len(message.value)} bytes for {message.topic}")
        async with self._publishing, asyncio.timeout(self._settings.publish_timeout_s):
            producer = await self._started()
            try:
                self._topics.update(message.topic for message in messages)
                await producer.know(self._topics)
                await self._all_exist(message.topic for message in messages)
                pending = await self._unless_one_goes(
                    {asyncio.ensure_future(self._sent(producer, messages)): {message.topic for message in messages}}
                )
                await self._unless_one_goes({sent: {topic} for sent, topic in pending[0].items()})
            except BaseException:
                self._discard(producer)
                raise
        for message in messages:
            metrics.MESSAGES_PUBLISHED.labels(message.topic).inc()

    async def _sent(self, producer: Any, messages: Sequence[Outgoing]) -> dict[asyncio.Future[Any], str]:
        """Hand over whole batches of each partition, and tell what to wait for: one future for each, with its topic.

        So a message costs what appending it costs, and not a future and a look at its partition's queue.
        """
        queued: dict[tuple[str, int], list[Any]] = {}
        partitions = {topic: await producer.partitions(topic) for topic in {message.topic for message in messages}}
        for message in messages:
            key = message.key.encode()
            numbers = partitions[message.topic]
            batches = queued.setdefault((message.topic, _partition_of(key, numbers, numbers)), [])
            record = {"timestamp": None, "key": key, "value": message.value, "headers": list(message.headers)}
            if not batches or batches[-1].append(**record) is None:
                batches.append(producer.create_batch())
                batches[-1].append(**record)
        return {
            await producer.send_batch(batch, topic, partition=partition): topic
            for (topic, partition), batches in queued.items()
            for batch in batches
        }

    async def _unless_one_goes(self, pending: dict[asyncio.Future[Any], set[str]]) -> list[Any]:
        """Wait for futures, but not for a topic that has gone meanwhile, whose leader aiokafka would look for."""
        waiting = set(pending)
        try:
            while waiting:
                done, waiting = await asyncio.wait(
                    waiting, timeout=_IS_IT_THERE_AFTER_S, return_when=asyncio.FIRST_EXCEPTION
                )
                for future in done:
                    future.result()
                await self._all_exist(topic for future in waiting for topic in pending[future])
        finally:
            for future in waiting:
                future.cancel()
        return [future.result() for future in pending]

    async def _all_exist(self, topics: Iterable[str]) -> None:
        """Raise UnknownTopicOrPartitionError for what does not exist, which is then no longer asked for."""
        if missing := await self.missing(set(topics)):
            self._topics -= missing
            raise UnknownTopicOrPartitionError(f"there is no topic {', '.join(sorted(missing))}")

    async def missing(self, topics: set[str]) -> set[str]:
        """Tell which topics do not exist, at once; the producer itself would wait for them.

        What it knows is as old as `metadata_max_age_ms`. Raises TopicAuthorizationFailedError for one that it may not
        know of: that is a fault of the deployment and says nothing of the topic.
        """
        missing: set[str] = await (await self._started()).missing(topics)
        return missing

    async def answers(self) -> None:
        """Raise KafkaError or OSError if the brokers do not answer the producer.

        It has a connection of its own: on a consumer's an answer waits for the fetch before it, half a second.
        """
        await (await self._started()).answers()

    async def stop(self) -> None:
        """Close the connection; what was not acknowledged is published again after the next start."""
        if self._producer is not None:
            self._discard(self._producer)
        if self._farewells:
            await asyncio.wait(self._farewells, timeout=_GOODBYE_S)

    async def _started(self) -> Any:
        async with self._starting:
            if self._producer is None:
                producer = self._make(self._settings)
                try:
                    await producer.start()
                    await producer.know(self._topics)
                except BaseException:
                    await _abandon(producer)
                    raise
                self._producer = producer
            return self._producer

    def _discard(self, producer: Any) -> None:
        if self._producer is not producer:
            return
        self._producer = None
        metrics.PRODUCERS_RENEWED.inc()
        farewell = asyncio.create_task(_abandon(producer))
        self._farewells.add(farewell)
        farewell.add_done_callback(self._farewells.discard)


async def _abandon(producer: Any) -> None:
    try:
        async with asyncio.timeout(_GOODBYE_S):
            await producer.abandon()
    except Exception as error:  # noqa: BLE001 - it is being thrown away, and its messages are published again
        log.debug("an old producer did not stop cleanly", error=type(error).__name__)
