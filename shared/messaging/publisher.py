"""Publishing: every message acknowledged by all in-sync replicas, or an error and a new producer."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from aiokafka.errors import MessageSizeTooLargeError, UnknownTopicOrPartitionError

from shared.contract.envelope import Outgoing
from shared.contract.topics import DEAD_LETTERS
from shared.messaging.partitions import partition_of
from shared.messaging.upstream import KafkaProducer
from shared.runtime import metrics
from shared.runtime.settings import ServiceSettings

LARGEST_MESSAGE_BYTES = 8 * 1024 * 1024
_IS_IT_THERE_AFTER_S = 1.0
"""How long acknowledgements are waited for before it is asked whether the topics are still there."""


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

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        """Publish in order and wait until all are acknowledged.

        Raises KafkaError or TimeoutError; then some may have been published, and all are to be published again.
        UnknownTopicOrPartitionError, without a long wait, if a topic does not exist.
        """
        began = time.monotonic()
        if not messages:
            return
        for message in messages:
            if len(message.value) > LARGEST_MESSAGE_BYTES:
                raise MessageSizeTooLargeError(f"{len(message.value)} bytes for {message.topic}")
        topics = {message.topic for message in messages}
        async with self._publishing, asyncio.timeout(self._settings.publish_timeout_s):
            producer = await self._started()
            self._topics |= topics
            try:
                await producer.know(self._topics)
                missing = await producer.missing(topics)
                if not missing:
                    await self._acknowledged(asyncio.create_task(_send(producer, messages)), topics)
            except BaseException:
                await self._discard()
                metrics.PRODUCERS_RENEWED.inc()
                raise
            self._refuse(missing)
        for topic, count in Counter(message.topic for message in messages).items():
            metrics.MESSAGES_PUBLISHED.labels(topic).inc(count)
        metrics.STAGE_SECONDS.labels("publish").observe(time.monotonic() - began)

    async def _acknowledged(self, sending: asyncio.Task[None], topics: set[str]) -> None:
        """Wait for it, but not for a topic that has gone meanwhile, whose leader aiokafka would look for."""
        try:
            while not (await asyncio.wait({sending}, timeout=_IS_IT_THERE_AFTER_S))[0]:
                self._refuse(await self.missing(topics))
            await sending
        finally:
            sending.cancel()

    def _refuse(self, missing: set[str]) -> None:
        """Raise UnknownTopicOrPartitionError for topics that do not exist, which are then no longer asked for."""
        if missing:
            self._topics -= missing
            raise UnknownTopicOrPartitionError(f"there is no topic {', '.join(sorted(missing))}")

    async def missing(self, topics: set[str]) -> set[str]:
        """The topics that do not exist, at once; the producer itself would wait for them.

        What it knows is as old as `metadata_max_age_ms`. Raises TopicAuthorizationFailedError for one that it may not
        know of: that is a fault of the deployment and says nothing of the topic.
        """
        missing: set[str] = await (await self._started()).missing(topics)
        return missing

    async def ping(self) -> None:
        """Raise KafkaError or OSError if the brokers do not answer the producer.

        It has a connection of its own: on a consumer's an answer waits for the fetch before it, half a second.
        """
        await (await self._started()).ping()

    async def stop(self) -> None:
        """Close the connection; what was not acknowledged is published again after the next start."""
        await self._discard()

    async def _started(self) -> Any:
        async with self._starting:
            if self._producer is None:
                producer = self._make(self._settings)
                try:
                    await producer.start()
                    await producer.know(self._topics)
                except BaseException:
                    await producer.abandon()
                    raise
                self._producer = producer
            return self._producer

    async def _discard(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.abandon()


async def _send(producer: Any, messages: Sequence[Outgoing]) -> None:
    """Hand over whole batches of each partition, and wait for one acknowledgement of each.

    So a message costs what appending it costs, and not a future and a look at its partition's queue. A request has a
    batch of each partition, and brokers bound requests: no more is under way at once than the largest message.
    """
    queued: dict[tuple[str, int], list[Any]] = {}
    partitions = {topic: len(await producer.partitions_for(topic)) for topic in {message.topic for message in messages}}
    for message in messages:
        key = message.key.encode()
        batches = queued.setdefault((message.topic, partition_of(key, partitions[message.topic])), [])
        record = {"timestamp": None, "key": key, "value": message.value, "headers": list(message.headers)}
        if not batches or batches[-1].append(**record) is None:
            batches.append(producer.create_batch())
            batches[-1].append(**record)
    acknowledged: list[Any] = []
    under_way = 0
    for (topic, partition), batches in queued.items():
        for batch in batches:
            if under_way and under_way + batch.size() > LARGEST_MESSAGE_BYTES:
                await asyncio.gather(*acknowledged)
                acknowledged, under_way = [], 0
            acknowledged.append(await producer.send_batch(batch, topic, partition=partition))
            under_way += batch.size()
    await asyncio.gather(*acknowledged)
