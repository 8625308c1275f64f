"""Whether everything up to a moment has been read by everybody on the way to the reports (domain rule 20).

A request passes permissions, then claims, then reporting, each of which publishes what it makes of it before it commits
its place. So when permissions has passed the moment on every request topic, all that claims has to do with it is on
`claim-commands`; when claims has passed what is there, all that reporting counts is on its own topics.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from aiokafka import TopicPartition

from shared.contract.topics import CLAIM_COMMANDS, CLAIM_EVENTS, REQUEST_OUTCOMES, REQUESTS, Topic
from shared.messaging.service import KAFKA, Bus
from shared.runtime.settings import KafkaSettings

Places = dict[TopicPartition, int]

_ANSWER_S = 15.0
_ON_THE_WAY: tuple[tuple[str, tuple[Topic, ...]], ...] = (
    ("permissions", (REQUESTS,)),
    ("claims", (CLAIM_COMMANDS,)),
    ("reporting", (CLAIM_EVENTS, REQUEST_OUTCOMES)),
)
"""Consumer groups in the order in which a request passes them, each with what it reads."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A consumer group that has not come far enough yet."""

    group: str
    partition: str
    at: int | None
    """The next offset that it reads, None if it has read nothing."""
    of: int

    def __str__(self) -> str:
        return f"{self.group} is at {self.at or 0} of {self.of} on {self.partition}"


@dataclass(slots=True)
class Passing:
    """How far the way has been followed, for one moment."""

    moment: datetime | None
    step: int = 0
    targets: Places = field(default_factory=dict)
    """Where the current group has to come to; empty if that has not been asked yet."""


class Progress:
    """Follows consumer groups. It reads no message and belongs to no group."""

    def __init__(self, settings: KafkaSettings, bus: Bus = KAFKA) -> None:
        self._settings = settings
        self._bus = bus
        self._clients: tuple[Any, Any] | None = None
        self._passing: Passing | None = None

    async def passed(self, moment: datetime | None) -> Places | Waiting:
        """How far reporting has read, if that includes all that was appended before a moment; else what it waits for.

        None is the moment when it is asked first. Never waits for a group: ask again later. The moment must be past by
        the brokers' clocks too. Raises KafkaError or TimeoutError where the brokers do not answer; what was found out
        before stays.
        """
        if self._passing is None or self._passing.moment != moment:
            self._passing = Passing(moment)
        passing = self._passing
        try:
            async with asyncio.timeout(_ANSWER_S):
                while True:
                    group, topics = _ON_THE_WAY[passing.step]
                    if not passing.targets:
                        passing.targets = await self._targets(topics, moment if passing.step == 0 else None)
                    waiting = await self._behind(group, passing.targets)
                    if waiting is not None:
                        return waiting
                    if passing.step + 1 == len(_ON_THE_WAY):
                        return passing.targets
                    passing.step += 1
                    passing.targets = {}
        except BaseException:
            await self.stop()
            raise

    async def deleted_unread(self, group: str, topics: Sequence[Topic]) -> Places:
        """Where messages were deleted before a group read them, with the first offset that is left."""
        first = await self._ends(topics, beginning=True)
        committed = await self._committed(group)
        return {partition: offset for partition, offset in first.items() if committed.get(partition, 0) < offset}

    async def has_read(self, group: str) -> bool:
        """Whether a group has committed anything."""
        return any(offset > 0 for offset in (await self._committed(group)).values())

    async def stop(self) -> None:
        """Close the connections; the next question opens them again."""
        clients, self._clients = self._clients, None
        if clients is not None:
            await clients[0].stop()
            await clients[1].close()

    async def _targets(self, topics: Sequence[Topic], moment: datetime | None) -> Places:
        """The first offset at or after a moment, or the end."""
        ends = await self._ends(topics)
        if moment is None or not ends:
            return ends
        consumer, _ = await self._connected()
        at_ms = -(-int(moment.timestamp() * 1_000_000) // 1000)
        found = await consumer.offsets_for_times(dict.fromkeys(ends, at_ms))
        return {partition: found[partition].offset if found.get(partition) else end for partition, end in ends.items()}

    async def _behind(self, group: str, targets: Mapping[TopicPartition, int]) -> Waiting | None:
        committed = await self._committed(group)
        behind = sorted(partition for partition, target in targets.items() if committed.get(partition, 0) < target)
        if not behind:
            return None
        consumer, _ = await self._connected()
        first = await consumer.beginning_offsets(behind)  # what was deleted before it was read is not waited for
        for partition in behind:
            if first[partition] < targets[partition]:
                place = f"{partition.topic}/{partition.partition}"
                return Waiting(group, place, committed.get(partition), targets[partition])
        return None

    async def _committed(self, group: str) -> Places:
        _, admin = await self._connected()
        offsets = await admin.list_consumer_group_offsets(group)
        return {partition: place.offset for partition, place in offsets.items() if place.offset >= 0}

    async def _ends(self, topics: Sequence[Topic], *, beginning: bool = False) -> Places:
        consumer, admin = await self._connected()
        partitions = [
            TopicPartition(described["topic"], partition["partition"])
            for described in await admin.describe_topics()
            if any(_is(topic, described["topic"]) for topic in topics)
            for partition in described["partitions"]
        ]
        if not partitions:
            return {}
        offsets_of = consumer.beginning_offsets if beginning else consumer.end_offsets
        offsets: Places = await offsets_of(partitions)
        return offsets

    async def _connected(self) -> tuple[Any, Any]:
        """Connect a consumer and an admin client."""
        if self._clients is None:
            client = self._settings.client()
            self._clients = self._bus.consumer(**client, enable_auto_commit=False), self._bus.admin(**client)
            for part in self._clients:
                await part.start()
        return self._clients


def _is(topic: Topic, name: str) -> bool:
    return name.startswith(topic.prefix) if topic.per_company else name == topic.name
