"""A consumer that reads past a record that Kafka's own client cannot decode."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from shared.runtime.unhurried import unhurried

_CAREFUL_S = 5.0
_PATIENCE_MS = 1000


@dataclass(frozen=True, slots=True)
class UndecodableRecord:
    """Stands for a record that cannot be decoded: only where it is is known. It stays on its topic as it was."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    """When it was met, in milliseconds since 1970 UTC."""
    timestamp_type: int = 1
    key: bytes | None = None
    value: bytes | None = None
    headers: Sequence[tuple[str, bytes]] = ()


class PatientConsumer(AIOKafkaConsumer):
    """Gives an UndecodableRecord in the place of a record that cannot be decoded since a header's name is not UTF-8.

    Brokers take any bytes as a header's name. aiokafka raises UnicodeDecodeError where it meets one, loses what it had
    decoded before it, fetches the same again and raises again: one company's record would stop the reader for all.
    So after such an error records are taken one at a time for a while, which tells where the bad one is. What its
    producer sent in the same batch behind it cannot be decoded either, and is passed in the same way.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        """Connect as AIOKafkaConsumer does."""
        super().__init__(*args, **options)
        self._careful_until = 0.0
        self._must_go_back = False
        unhurried(self._client)

    async def getmany(
        self, *partitions: TopicPartition, timeout_ms: int = 0, max_records: int | None = None
    ) -> dict[TopicPartition, list[Any]]:
        """Fetch records, as AIOKafkaConsumer does, but wait for a second at least if there are none.

        FastStream sleeps after an empty fetch for as long as it has the fetch wait: with short ones a service without
        work would wake up 25 times a second, with long ones a message that comes meanwhile would wait.
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
        """Go back to what is committed, which is what was handed out: each batch is committed before the next poll.

        aiokafka moves on in every partition that it takes records from, and where it then meets an error in another
        one, those records are gone. So this is done after any error, before anything is read again.

        For all partitions at once: each look for a beginning waits until the fetch under way has ended, half a second,
        and every company has partitions that nothing was ever committed on.
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
