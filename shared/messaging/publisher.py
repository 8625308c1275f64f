"""Publishing: every message acknowledged by all in-sync replicas, or an error and a new producer."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence, Set
from typing import Any

from aiokafka.errors import MessageSizeTooLargeError, UnknownTopicOrPartitionError

from shared.contract.envelope import Outgoing
from shared.messaging.partitions import partition_of
from shared.messaging.upstream import KafkaProducer
from shared.runtime import metrics
from shared.runtime.settings import ServiceSettings

LARGEST_MESSAGE_BYTES = 8 * 1024 * 1024
_IS_IT_THERE_AFTER_S = 1.0
"""How long acknowledgements are waited for before it is asked whether the topics are still there."""


class Publisher:
    """An idempotent producer that is thrown away whenever a publish fails (docs/decisions/0004)."""

    def __init__(self, settings: ServiceSettings, producer: Callable[[ServiceSettings], Any] = KafkaProducer) -> None:
        self._settings = settings
        self._make = producer
        self._producer: Any = None
        self._starting = asyncio.Lock()
        self._publishing = asyncio.Lock()
        """One batch after the other: one that fails takes the producer, and all that it has not sent, with it."""

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
        topics = Counter(message.topic for message in messages)
        async with self._publishing, asyncio.timeout(self._settings.publish_timeout_s):
            producer = await self._started()
            try:
                missing = await producer.missing(topics.keys())
                if not missing:
                    await self._acknowledged(asyncio.create_task(_send(producer, messages)), topics.keys())
            except BaseException:
                await self.stop()
                metrics.PRODUCERS_RENEWED.inc()
                raise
            _refuse(missing)
        for topic, count in topics.items():
            metrics.MESSAGES_PUBLISHED.labels(topic).inc(count)
        metrics.STAGE_SECONDS.labels("publish").observe(time.monotonic() - began)

    async def _acknowledged(self, sending: asyncio.Task[None], topics: Set[str]) -> None:
        """Wait for it, but not for a topic that has gone meanwhile, whose leader aiokafka would look for."""
        try:
            while not (await asyncio.wait({sending}, timeout=_IS_IT_THERE_AFTER_S))[0]:
                _refuse(await self.missing(topics))
            await sending
        finally:
            sending.cancel()

    async def missing(self, topics: Set[str]) -> Set[str]:
        """The topics that do not exist, at once, as of `metadata_max_age_ms` ago. Raises KafkaError or OSError."""
        missing: Set[str] = await (await self._started()).missing(topics)
        return missing

    async def ping(self) -> None:
        """Raise KafkaError or OSError if the brokers do not answer the producer.

        It has a connection of its own: on a consumer's an answer waits for the fetch before it, half a second.
        """
        await (await self._started()).ping()

    async def stop(self) -> None:
        """Throw the producer away; what was not acknowledged is published again after the next start."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.stop()

    async def _started(self) -> Any:
        async with self._starting:
            if self._producer is None:
                producer = self._make(self._settings)
                try:
                    await producer.start()
                except BaseException:
                    await producer.stop()
                    raise
                self._producer = producer
            return self._producer


def _refuse(missing: Set[str]) -> None:
    if missing:
        raise UnknownTopicOrPartitionError(f"there is no topic {', '.join(sorted(missing))}")


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
