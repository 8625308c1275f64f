"""Reading a topic of one partition from its start, and up to its end whenever asked (the barrier)."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from aiokafka import TopicPartition

from shared.messaging.record import Record
from shared.messaging.upstream import KafkaConsumer
from shared.runtime.settings import ServiceSettings

_LONGEST_POLL_MS = 10
_ANSWER_S = 30.0


class TopicReader:
    """Reads a topic without a consumer group: every instance reads all of it, whatever was read before.

    It polls only while it is behind: a broker answers a connection's requests in order, so the question where the
    topic ends would wait for a poll that has nothing to bring. After an error it goes on with a new consumer.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        topic: str,
        apply: Callable[[Record], None] = lambda _: None,
        consumer: Callable[..., Any] = KafkaConsumer,
    ) -> None:
        """`apply` is what `catch_up` does with each message."""
        self._settings = settings
        self._partition = TopicPartition(topic, 0)
        self._apply = apply
        self._make = consumer
        self._consumer: Any = None
        self._next = 0

    async def catch_up(self) -> None:
        """Apply everything that was acknowledged before this call. Raises as `unread` does."""
        async for records in self.unread():
            for record in records:
                self._apply(record)

    async def catch_up_to_now(self) -> None:
        """Apply everything that was appended up to this moment, to the millisecond that append times have.

        The end is asked for a millisecond later: nothing with this moment's append time can come after that.
        """
        await asyncio.sleep(0.001)
        await self.catch_up()

    async def unread(self) -> AsyncIterator[Sequence[Record]]:
        """Read on to where the topic ends now, a part at a time: the first time from its start.

        Raises KafkaError or TimeoutError; the next call goes on after the last part.
        """
        try:
            async with asyncio.timeout(_ANSWER_S):
                consumer = await self._started()
                end = (await consumer.end_offsets([self._partition]))[self._partition]
            if self._next >= end:
                return
            consumer.resume(self._partition)
            while self._next < end:
                async with asyncio.timeout(_ANSWER_S):
                    fetched: dict[TopicPartition, Sequence[Record]] = {}
                    while not fetched and self._next < end:
                        fetched = await consumer.getmany(self._partition, timeout_ms=1000)
                        self._next = await consumer.position(self._partition)
                yield fetched.get(self._partition, ())
            consumer.pause(self._partition)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Close the connection."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.stop()

    async def _started(self) -> Any:
        if self._consumer is None:
            self._consumer = consumer = self._make(
                **self._settings.client(),
                client_id=self._settings.username,
                auto_offset_reset="none",
                enable_auto_commit=False,
                fetch_max_wait_ms=_LONGEST_POLL_MS,
            )
            await consumer.start()
            consumer.assign([self._partition])
            consumer.seek(self._partition, self._next)
            consumer.pause(self._partition)
        return self._consumer
