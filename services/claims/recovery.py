"""What is done when the record has lost what it had: a fail-over lost its last commits, or an older one was restored.

What came of it is out, since a position is committed only after outcomes are published. So the requests that the record
lacks are decided again without being published, in the order of their topic, and as they were published. Where they are
few, that is done at once. Of more an operator has to know: until `claimbus recover claims` has allowed it, nothing is
decided. Another server than the one that wrote last may lack something too, of which no position tells.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from aiokafka import TopicPartition
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncEngine

from services.claims.commands import Command, Step, read_command
from services.claims.deciding import load_and_decide
from services.claims.decisions import RequestKey
from services.claims.published import Published
from services.claims.store import Store
from services.claims.tables import recoveries
from shared.contract.envelope import Undecodable, read_internal_envelope
from shared.contract.linking import REMEMBERED_UNDER
from shared.contract.topics import CLAIM_EVENTS, REQUEST_OUTCOMES
from shared.errors import TryAgain
from shared.media.keys import MediaKeys
from shared.messaging.positions import Behind, Move
from shared.messaging.ranges import Ranges
from shared.messaging.record import Record
from shared.messaging.service import Bus
from shared.runtime.logs import log
from shared.runtime.settings import KafkaSettings
from shared.storage.database import transaction
from shared.storage.positions import MOVE, KeptPositions, columns_of_moves

_COMMITTED_LATE = 10_000
"""Messages of a partition; fewer are published and not yet committed, however long the brokers take no commits."""


class RecordIsOlder(TryAgain):
    """The record lacks so much that was decided that an operator has to know."""


@dataclass(frozen=True, slots=True)
class _Lacking:
    """A request or step that the record does not remember."""

    partition: TopicPartition
    offset: int
    at_ms: int
    key: RequestKey
    claim_id: UUID
    cause: str

    @classmethod
    def of(cls, record: Record, command: Command | Step) -> "_Lacking":
        partition = TopicPartition(record.topic, record.partition)
        return cls(partition, record.offset, record.timestamp, command.key, command.claim_id, command.cause)


class RecordPositions(KeptPositions):
    """The record's positions."""

    doubts_new_servers = True

    def __init__(self, engine: AsyncEngine, keys: MediaKeys, settings: KafkaSettings, bus: Bus, most: int) -> None:
        """`most` is how many requests are decided again at once, without an operator."""
        super().__init__(engine)
        self._store = Store(engine)
        self._keys = keys
        self._settings = settings
        self._bus = bus
        self._most = most
        self._missing = ""

    def notes(self) -> Sequence[str]:
        """What the health answer says while an operator is waited for."""
        return [self._missing] if self._missing else []

    async def recover(self, behind: Behind) -> Mapping[TopicPartition, int]:
        """Decide again what the record lacks; return where it had come. Raises RecordIsOlder until that may be done.

        What was published counts as it was also where the group had not committed it yet, as of a batch whose instance
        ended in the middle of it: in that the record may be behind without having gone back behind its place.
        """
        async with Ranges(self._settings, self._bus) as topics:
            kept = await topics.kept(behind.lost)
            gone = behind.messages - sum(map(len, kept.values()))
            lacking = await self._lacking(topics, kept)
            requests = sum(each.key[0] != REMEMBERED_UNDER for each in lacking)
            await self._wait_for_an_operator(requests, gone, min((each.at_ms for each in lacking), default=0))
            lacking += await self._lacking(topics, await topics.after(behind.lost, _COMMITTED_LATE))
            published = await self._published(topics, lacking) if lacking else Published()
            ends = {partition: lost.stop for partition, lost in behind.lost.items()}
            for each in lacking:
                if published.is_about(each.key, each.claim_id, each.cause):
                    ends[each.partition] = max(ends[each.partition], each.offset + 1)
            again = {partition: range(kept[partition].start, end) for partition, end in ends.items()}
            async for records in topics.read(again):
                await self._decide_again(records, published)
        come = [Move(at.topic, at.partition, 0, lost.stop) for at, lost in behind.lost.items()]
        async with transaction(self._engine) as connection:
            await connection.execute(delete(recoveries))
            await connection.execute(MOVE, columns_of_moves(come))  # past what is gone, by the server that there is now
        if behind.messages:
            log.warning("the record has again what it had lost", requests=requests, gone=gone)
        return {partition: lost.stop for partition, lost in behind.lost.items() if lost.stop}

    async def _lacking(self, topics: Ranges, ranges: Mapping[TopicPartition, range]) -> list[_Lacking]:
        """What the record does not remember; nothing where an older version has decided without moving positions on."""
        found: list[_Lacking] = []
        async for records in topics.read(ranges):
            commands = [(record, command) for record in records if (command := _command(record)) is not None]
            async with self._store.transaction() as record:
                remembered = await record.remembered({command.key for _, command in commands})
            found += [_Lacking.of(at, command) for at, command in commands if command.key not in remembered]
        return found

    async def _published(self, topics: Ranges, lacking: Sequence[_Lacking]) -> Published:
        """Read what was published since the first of them was appended, as far as it can be of them."""
        published = Published({each.key for each in lacking}, {each.claim_id for each in lacking})
        names = {REQUEST_OUTCOMES.name, CLAIM_EVENTS.name}
        async for records in topics.read(await topics.since(names, min(each.at_ms for each in lacking))):
            for record in records:
                with suppress(Undecodable, ValueError):  # what no service of ours has written
                    published.take(read_internal_envelope(record.headers, record.value))
        return published

    async def _wait_for_an_operator(self, lacking: int, gone: int, since_ms: int) -> None:
        self._missing = ""
        if lacking <= self._most and not gone:
            return
        async with transaction(self._engine) as connection:
            if (await connection.execute(select(recoveries))).first() is not None:
                return
        since = datetime.fromtimestamp(since_ms / 1000, UTC).isoformat(timespec="seconds") if lacking else "long ago"
        self._missing = f"the record lacks {lacking} requests that were answered, since {since}"
        self._missing += f", and {gone} messages more that are no longer on the topic" if gone else ""
        self._missing += ": see `claimbus recover claims`"
        log.error(self._missing)
        raise RecordIsOlder

    async def _decide_again(self, records: Sequence[Record], published: Published) -> None:
        """Decide what the record lacks, as it was published, and move its positions on."""
        commands = [command for record in records if (command := _command(record)) is not None]
        ends = {(record.topic, record.partition): record.offset + 1 for record in records}
        async with self._store.transaction() as record:
            _, batch = await load_and_decide(record, commands, self._keys, published)
            moves = [Move(*at, 0, end) for at, end in ends.items()]
            await record.save(batch, moves, doubting_new_servers=False)


def _command(record: Record) -> Command | Step | None:
    """Read a command; None of what was put aside."""
    try:
        return read_command(record)
    except Undecodable:
        return None
