"""Reading parts of topics again, in no consumer group."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Collection, Mapping, Sequence

from aiokafka import TopicPartition

from shared.messaging.record import Record
from shared.messaging.service import Bus
from shared.runtime.settings import KafkaSettings

_ANSWER_S = 30.0
_AT_ONCE = 300


class Ranges:
    """A connection over which ranges of offsets are read. Whatever it is asked raises KafkaError or TimeoutError."""

    def __init__(self, settings: KafkaSettings, bus: Bus) -> None:
        self._consumer = bus.consumer(**settings.client(), enable_auto_commit=False, auto_offset_reset="none")
        self._admin = bus.admin(**settings.client())

    async def __aenter__(self) -> "Ranges":
        await self._consumer.start()
        await self._admin.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()
        await self._admin.close()

    async def kept(self, ranges: Mapping[TopicPartition, range]) -> dict[TopicPartition, range]:
        """What of ranges the brokers have not deleted."""
        async with asyncio.timeout(_ANSWER_S):
            first = await self._consumer.beginning_offsets(list(ranges))
        return {at: range(min(max(first[at], wanted.start), wanted.stop), wanted.stop) for at, wanted in ranges.items()}

    async def after(self, ranges: Mapping[TopicPartition, range], most: int) -> dict[TopicPartition, range]:
        """What comes behind ranges, up to now, and up to so many offsets of each partition."""
        async with asyncio.timeout(_ANSWER_S):
            ends = await self._consumer.end_offsets(list(ranges))
        stops = {at: max(before.stop, min(before.stop + most, ends[at])) for at, before in ranges.items()}
        return await self.kept({at: range(before.stop, stops[at]) for at, before in ranges.items()})

    async def since(self, topics: Collection[str], at_ms: int) -> dict[TopicPartition, range]:
        """All that was appended to topics from a moment on, in milliseconds since 1970 UTC, up to now."""
        async with asyncio.timeout(_ANSWER_S):
            partitions = [
                TopicPartition(topic["topic"], partition["partition"])
                for topic in await self._admin.describe_topics()
                if topic["topic"] in topics
                for partition in topic["partitions"]
            ]
            ends = await self._consumer.end_offsets(partitions)
            found = await self._consumer.offsets_for_times(dict.fromkeys(partitions, at_ms))
        return {at: range(found[at].offset if found.get(at) else end, end) for at, end in ends.items()}

    async def read(self, ranges: Mapping[TopicPartition, range]) -> AsyncIterator[Sequence[Record]]:
        """Read ranges, a part at a time: in the order of the partitions, and of append times among them."""
        left = {at: wanted.stop for at, wanted in ranges.items() if wanted}
        if not left:
            return
        ahead: dict[TopicPartition, deque[Record]] = {at: deque() for at in left}
        self._consumer.assign(list(left))
        for at in left:
            self._consumer.seek(at, ranges[at].start)
        while left or any(ahead.values()):
            part: list[Record] = []
            while len(part) < _AT_ONCE and any(ahead.values()) and all(ahead[at] for at in left):
                part.append(min((queue for queue in ahead.values() if queue), key=lambda q: q[0].timestamp).popleft())
            if part:
                yield part
            elif waiting := [at for at in left if not ahead[at]]:
                async with asyncio.timeout(_ANSWER_S):
                    fetched = await self._consumer.getmany(*waiting, timeout_ms=1000)
                    for at in waiting:
                        ahead[at].extend(r for r in fetched.get(at, ()) if r.offset < left[at])
                        if await self._consumer.position(at) >= left[at]:
                            del left[at]
