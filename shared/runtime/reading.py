"""Reading a topic of one partition from its start, and up to its end whenever asked."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime

from aiokafka import AIOKafkaConsumer, TopicPartition

from shared.contract.directory_events import read_directory_event
from shared.contract.envelope import Undecodable, read_internal_envelope
from shared.directory import Directory
from shared.runtime.batches import Misconfigured
from shared.runtime.records import Record
from shared.runtime.settings import ServiceSettings
from shared.runtime.unhurried import unhurried

_LONGEST_POLL_MS = 10


class WholeTopic:
    """Reads a topic without a consumer group: every instance reads all of it, whatever was read before.

    It polls only while it is behind: a broker answers a connection's requests in order, so the question where the
    topic ends would wait for a poll that has nothing to bring.
    """

    def __init__(self, settings: ServiceSettings, topic: str) -> None:
        self._settings = settings
        self._partition = TopicPartition(topic, 0)
        self._consumer: AIOKafkaConsumer | None = None

    async def unread(self) -> AsyncIterator[Sequence[Record]]:
        """Read on to where the topic ends now, a part at a time: the first time from its start.

        Raises KafkaError; the next call goes on after the last part.
        """
        consumer = await self._started()
        end = (await consumer.end_offsets([self._partition]))[self._partition]
        if await consumer.position(self._partition) == end:
            return
        consumer.resume(self._partition)
        while await consumer.position(self._partition) < end:
            for records in (await consumer.getmany(self._partition, timeout_ms=1000)).values():
                yield records
        consumer.pause(self._partition)

    async def stop(self) -> None:
        """Close the connection."""
        if self._consumer is not None:
            await self._consumer.stop()

    async def _started(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            consumer = AIOKafkaConsumer(
                **self._settings.client(),
                client_id=self._settings.username,
                auto_offset_reset="none",
                enable_auto_commit=False,
                fetch_max_wait_ms=_LONGEST_POLL_MS,
            )
            unhurried(consumer._client)
            await consumer.start()
            consumer.assign([self._partition])
            consumer.seek(self._partition, 0)
            consumer.pause(self._partition)
            self._consumer = consumer
        return self._consumer


class TopicReader(WholeTopic):
    """Follows a topic: whatever is in it has been applied, in order, when it has caught up."""

    def __init__(self, settings: ServiceSettings, topic: str, apply: Callable[[Record], None]) -> None:
        super().__init__(settings, topic)
        self._apply = apply

    async def catch_up(self) -> None:
        """Read to where the topic ends now: everything that was acknowledged before this call is applied after it.

        Raises KafkaError; what was applied stays applied, and the next call goes on from there.
        """
        async for records in self.unread():
            for record in records:
                self._apply(record)

    async def catch_up_to_now(self) -> None:
        """Read everything that was appended up to this moment, to the millisecond that append times have.

        The topic's end is asked for a millisecond later, so that a message with the append time of a record that has
        already been fetched cannot come after it.
        """
        await asyncio.sleep(0.001)
        await self.catch_up()


def take_in(directory: Directory, record: Record) -> None:
    """Add a message of the topic `directory` to the directory.

    Raises Misconfigured where nobody can tell whose it is: whoever passed it over would decide otherwise than the
    others. One that a newer version wrote holds up the company that it is of, and no other.
    """
    try:
        envelope = read_internal_envelope(record.headers, record.value)
        event = read_directory_event(envelope.type, envelope.body)
    except (Undecodable, ValueError) as error:
        raise Misconfigured(f"message {record.offset} of {record.topic} is broken") from error
    directory.apply(event, datetime.fromtimestamp(record.timestamp / 1000, UTC))
