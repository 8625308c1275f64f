"""Publishing: every message acknowledged by all in-sync replicas, or an error and a new producer."""

import asyncio
from collections.abc import Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError
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
        self._known_topics: set[str] = set()
        self._farewells: set[asyncio.Task[None]] = set()

    async def publish(self, messages: Sequence[Outgoing]) -> list[RecordMetadata]:
        """Publish in order and wait until all are acknowledged.

        Raises KafkaError or TimeoutError; then some may have been published, and all are to be published again.
        """
        if not messages:
            return []
        try:
            async with asyncio.timeout(self._settings.publish_timeout_s):
                producer = await self._started()
                await asyncio.gather(*map(producer.client.add_topic, {m.topic for m in messages}))
                pending = [
                    await producer.send(m.topic, m.value, key=m.key.encode(), headers=list(m.headers)) for m in messages
                ]
                published = await asyncio.gather(*pending)
        except BaseException:
            self._discard()
            raise
        for message in messages:
            metrics.MESSAGES_PUBLISHED.labels(message.topic).inc()
        return published

    async def missing(self, topics: set[str]) -> set[str]:
        """Tell which topics do not exist, at once; the producer itself would wait for them."""
        if not topics <= self._known_topics:
            producer = await self._started()
            self._known_topics = set((await producer.client.fetch_all_metadata()).topics())
        return topics - self._known_topics

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
            await producer.client.set_topics([DEAD_LETTERS.name])
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
