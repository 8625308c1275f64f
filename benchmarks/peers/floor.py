"""The floor: the least that three processes with aiokafka and asyncpg can do, which is to move the bytes.

    python -m benchmarks.peers.floor permissions|claims|delivery

Each reads a batch, writes what Claimbus would write to the next topic, in whole record batches by partition, waits for
the brokers, and commits. The one in the middle also inserts the rows, by `unnest`, in one transaction. None parses,
checks or decides anything: only ids are those of the request, all else is one claim's of Claimbus, byte for byte.
"""

import asyncio
import json
import os
import sys
import zlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from benchmarks.peers.sample import TABLES, Sample, SampleMessage
from benchmarks.peers.stages import Place, Stage, kafka_client

_BATCH = 500
_WAIT_MS = 1000
_BATCH_BYTES = 256 * 1024
_DIGITS = 10
"""So many characters of a claim number make it another."""


class Message(NamedTuple):
    """A message to be written."""

    topic: str
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


class Copier:
    """Writes one of the sample's messages for another request."""

    def __init__(self, topic: str, sample: SampleMessage) -> None:
        self._topic = topic
        self._value = sample.value.encode()
        ids = ("ce_id", "ce_causationid")
        self._headers = [(name, value.encode()) for name, value in sample.headers if name not in ids]

    def message(self, key: bytes, request: bytes) -> Message:
        """The message, with the request's id for its own."""
        headers = [("ce_id", request), *self._headers, ("ce_causationid", request)]
        return Message(self._topic, key, self._value, headers)


class Rows:
    """Inserts the rows of claims."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._statements: list[tuple[str, list[str], list[dict[str, Any]]]] = []
        self._number = 0

    async def prepare(self, rows: dict[str, list[dict[str, Any]]]) -> None:
        """Read the sample's rows as the database has them."""
        for table, samples in rows.items():
            found = await self._connection.fetch(
                f"select * from jsonb_populate_recordset(null::{table}, $1)", json.dumps(samples)
            )
            types = await self._connection.fetch(
                "select column_name, udt_name from information_schema.columns where table_name = $1"
                " order by ordinal_position",
                table,
            )
            arrays = ", ".join(f"${n}::{type}[]" for n, (_, type) in enumerate(types, 1))
            statement = f"insert into {table} select * from unnest({arrays})"
            self._statements.append((statement, [name for name, _ in types], [dict(row) for row in found]))

    async def insert(self, requests: Sequence[tuple[bytes, bytes]]) -> None:
        """Insert those of claims, in one transaction, as keys and request ids."""
        claims = [(UUID(key.decode()), request.decode()) for key, request in requests]
        numbers = [f"{self._number + n:0{_DIGITS}}" for n in range(len(claims))]
        self._number += len(claims)
        async with self._connection.transaction():
            for statement, columns, samples in self._statements:
                await self._connection.execute(
                    statement,
                    *(
                        [value for sample in samples for value in _column(name, sample[name], claims, numbers)]
                        for name in columns
                    ),
                )


def _column(name: str, value: Any, claims: Sequence[tuple[UUID, str]], numbers: Sequence[str]) -> Iterable[Any]:
    if name in TABLES.values():
        return (claim for claim, _ in claims)
    if name == "request_id":
        return (request for _, request in claims)
    if name == "claim_number":
        return (value[:-_DIGITS] + number for number in numbers)
    return [value] * len(claims)


async def run(stage: Stage) -> None:
    """Be one of the three, until it is stopped."""
    place = Place.from_environment()
    sample = Sample.read(Path(os.environ["PEER_SAMPLE"]))
    producer = AIOKafkaProducer(**kafka_client(), acks="all", enable_idempotence=True, max_batch_size=_BATCH_BYTES)
    consumer = AIOKafkaConsumer(
        *place.groups[place.group(stage)],
        **kafka_client(),
        group_id=place.group(stage),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    rows: Rows | None = None
    copiers: dict[str, list[Copier]]
    if stage is Stage.PERMISSIONS:
        copiers = {place.requests: [Copier(place.commands, sample.command)]}
    elif stage is Stage.CLAIMS:
        copiers = {place.commands: [Copier(place.events, sample.event), Copier(place.outcomes, sample.outcome)]}
        rows = Rows(await asyncpg.connect(os.environ["CLAIMBUS_DATABASE_URL"]))
        await rows.prepare(sample.rows)
    else:
        both = [Copier(topic, sample.event_of_company) for topic in (place.of_partner, place.of_insurer)]
        copiers = {place.events: both, place.outcomes: [Copier(place.of_partner, sample.outcome_of_company)]}
    await producer.start()
    await consumer.start()
    id_header = "ce_id" if stage is Stage.PERMISSIONS else "ce_causationid"
    while True:
        batches = await consumer.getmany(timeout_ms=_WAIT_MS, max_records=_BATCH)
        records = [record for batch in batches.values() for record in batch]
        if not records:
            continue
        requests = [(record.topic, record.key, dict(record.headers)[id_header]) for record in records]
        if rows is not None:
            await rows.insert([(key, request) for _, key, request in requests])
        await publish(producer, [c.message(key, id) for topic, key, id in requests for c in copiers[topic]])
        await consumer.commit()


async def publish(producer: Any, messages: Sequence[Message]) -> None:
    """Write whole record batches by partition, and wait until the brokers have them."""
    queued: dict[tuple[str, int], list[Any]] = defaultdict(list)
    partitions = {topic: len(await producer.partitions_for(topic)) for topic in {each.topic for each in messages}}
    for topic, key, value, headers in messages:
        batches = queued[topic, zlib.crc32(key) % partitions[topic]]
        if not batches or batches[-1].append(timestamp=None, key=key, value=value, headers=headers) is None:
            batches.append(producer.create_batch())
            batches[-1].append(timestamp=None, key=key, value=value, headers=headers)
    acknowledged = [
        await producer.send_batch(batch, topic, partition=partition)
        for (topic, partition), batches in queued.items()
        for batch in batches
    ]
    await asyncio.gather(*acknowledged)


if __name__ == "__main__":
    asyncio.run(run(Stage(sys.argv[1])))
