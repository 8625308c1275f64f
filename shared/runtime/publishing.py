"""Publishing: every message acknowledged by all in-sync replicas, or an error and a new producer."""

import asyncio
from collections.abc import Iterable, Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.cluster import ClusterMetadata
from aiokafka.errors import KafkaConnectionError, TopicAuthorizationFailedError, UnknownTopicOrPartitionError
from aiokafka.structs import RecordMetadata

from shared.contract.envelope import Outgoing
from shared.contract.topics import DEAD_LETTERS
from shared.runtime import metrics
from shared.runtime.logs import log
from shared.runtime.settings import ServiceSettings
from shared.runtime.unhurried import unhurried

_LARGEST_REQUEST_BYTES = 8 * 1024 * 1024
_BATCH_BYTES = 128 * 1024
_GOODBYE_S = 5.0
_IS_IT_THERE_AFTER_S = 1.0
"""How long an acknowledgement is waited for before it is asked whether the topic is still there."""


class Publisher:
    """An idempotent producer that is thrown away whenever a publish fails.

    Idempotence keeps each partition's messages in order through the broker's failures, so that what a reader sees of
    a batch is always a beginning of it. An idempotent producer can get stuck after a broker's outage (aiokafka issue
    1017); a new one, and the batch published again with the same ids, is the way out.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._topics = {DEAD_LETTERS.name}
        self._farewells: set[asyncio.Task[None]] = set()

    async def publish(self, messages: Sequence[Outgoing]) -> list[RecordMetadata]:
        """Publish in order and wait until all are acknowledged.

        Raises KafkaError or TimeoutError; then some may have been published, and all are to be published again.
        """
        if not messages:
            return []
        topics = [message.topic for message in messages]
        try:
            async with asyncio.timeout(self._settings.publish_timeout_s):
                producer = await self._started()
                self._topics.update(topics)
                await producer.client.set_topics(self._topics)
                await self._all_exist(topics)
                pending = [
                    await producer.send(m.topic, m.value, key=m.key.encode(), headers=list(m.headers)) for m in messages
                ]
                published = await self._acknowledged(pending, topics)
        except BaseException:
            self._discard()
            raise
        for topic in topics:
            metrics.MESSAGES_PUBLISHED.labels(topic).inc()
        return published

    async def _acknowledged(
        self, pending: Sequence[asyncio.Future[RecordMetadata]], topics: Sequence[str]
    ) -> list[RecordMetadata]:
        """Wait for the brokers, but not for a topic that has gone meanwhile, whose leader aiokafka would look for."""
        waiting = set(pending)
        while waiting:
            _, waiting = await asyncio.wait(waiting, timeout=_IS_IT_THERE_AFTER_S, return_when=asyncio.FIRST_EXCEPTION)
            failed = next((sent for sent in pending if sent.done() and sent.exception()), None)
            if failed is not None:
                failed.result()
            await self._all_exist([topic for sent, topic in zip(pending, topics, strict=True) if sent in waiting])
        return [sent.result() for sent in pending]

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
        producer = await self._started()
        unknown = topics - producer.client.cluster.topics()
        if not unknown:
            return set()
        now = ClusterMetadata()
        if not await producer.client._metadata_update(now, sorted(unknown)):
            raise KafkaConnectionError("no broker answers")
        if now.unauthorized_topics:
            raise TopicAuthorizationFailedError(now.unauthorized_topics)
        missing: set[str] = unknown - now.topics()
        return missing

    async def answers(self) -> None:
        """Raise KafkaError or OSError if the brokers do not answer the producer.

        It has a connection of its own: on a consumer's an answer waits for the fetch before it, half a second.
        """
        producer = await self._started()
        if not await producer.client.force_metadata_update():
            raise KafkaConnectionError("no broker answers")

    async def stop(self) -> None:
        """Close the connection; what was not acknowledged is published again after the next start."""
        self._discard()
        if self._farewells:
            await asyncio.wait(self._farewells, timeout=_GOODBYE_S)

    async def _started(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._producer is None:
                self._producer = await self._new()
            return self._producer

    async def _new(self) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            **self._settings.client(),
            client_id=self._settings.username,
            acks="all",
            enable_idempotence=True,
            max_batch_size=_BATCH_BYTES,
            max_request_size=_LARGEST_REQUEST_BYTES,
            metadata_max_age_ms=self._settings.metadata_max_age_ms,
            request_timeout_ms=int(self._settings.publish_timeout_s * 1000),
        )
        unhurried(producer.client)
        try:
            await producer.start()
            # Without any topic a client asks for the metadata of all that the cluster has, again and again.
            await producer.client.set_topics(self._topics)
        except BaseException:
            await _stop(producer)
            raise
        return producer

    def _discard(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            metrics.PRODUCERS_RENEWED.inc()
            farewell = asyncio.create_task(_stop(producer))
            self._farewells.add(farewell)
            farewell.add_done_callback(self._farewells.discard)


async def _stop(producer: AIOKafkaProducer) -> None:
    try:
        async with asyncio.timeout(_GOODBYE_S):
            await producer.stop()
    except Exception as error:  # noqa: BLE001 - it is being thrown away, and its messages are published again
        log.debug("an old producer did not stop cleanly", error=type(error).__name__)
