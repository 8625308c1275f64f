"""One claim's messages and rows as Claimbus wrote them: what the floor moves in their place is as large."""

import asyncio
import json
import time
import uuid
from pathlib import Path
from typing import Any, cast

import asyncpg
from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, TopicPartition
from pydantic import BaseModel

from operations.bus import Company
from operations.connection import Connection
from operations.storm import new_claims
from shared.contract import ids
from shared.contract.envelope import Headers
from shared.contract.topics import CLAIM_COMMANDS, CLAIM_EVENTS, EVENTS, REQUEST_OUTCOMES

_READ_S = 30.0

TABLES = {"requests": "claim_id", "claims": "id", "claim_events": "claim_id", "claim_numbers": "claim_id"}
"""The tables of a creation, and their columns with the claim."""


class SampleMessage(BaseModel):
    """A message of one claim."""

    headers: list[tuple[str, str]]
    value: str


class Sample(BaseModel):
    """What one creation led to, by topic, and by table."""

    command: SampleMessage
    event: SampleMessage
    outcome: SampleMessage
    event_of_company: SampleMessage
    outcome_of_company: SampleMessage
    rows: dict[str, list[dict[str, Any]]]

    @classmethod
    def read(cls, file: Path) -> "Sample":
        """Read what `take` gave."""
        return cls.model_validate_json(file.read_text())


def take(connection: Connection, partner: str, office: str, insurer: str) -> Sample:
    """Create a claim in a running Claimbus, and take what became of it. Raises NoAnswer."""
    (request,) = new_claims(f"sample:{uuid.uuid4().hex[:12]}:", office, insurer, 1)
    with Company(connection, partner) as company:
        company.ask(request)
    found = _messages(connection, request.id, [CLAIM_COMMANDS.name, CLAIM_EVENTS.name, REQUEST_OUTCOMES.name])
    of_company = _messages(connection, request.id, [EVENTS.of(partner)], count=2)
    event, outcome = sorted(of_company, key=_is_outcome)
    rows = asyncio.run(_rows(connection.database("claims"), ids.claim_id(partner, request.id)))
    by_topic = {message.topic(): _sample(message) for message in found}
    return Sample(
        command=by_topic[CLAIM_COMMANDS.name],
        event=by_topic[CLAIM_EVENTS.name],
        outcome=by_topic[REQUEST_OUTCOMES.name],
        event_of_company=_sample(event),
        outcome_of_company=_sample(outcome),
        rows=rows,
    )


def _messages(connection: Connection, request_id: str, topics: list[str], count: int = 0) -> list[Message]:
    """Read what a request led to, from the topics' beginnings: one message of each topic, or so many."""
    consumer = Consumer(connection.client() | {"group.id": "operator.benchmark", "enable.auto.commit": False})
    try:
        consumer.assign(
            [
                TopicPartition(topic, number, OFFSET_BEGINNING)
                for topic in topics
                for number in consumer.list_topics(topic, _READ_S).topics[topic].partitions
            ]
        )
        found: list[Message] = []
        deadline = time.monotonic() + _READ_S
        while len(found) < (count or len(topics)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(found)} messages of {request_id} on {', '.join(topics)}")
            found += [m for m in consumer.consume(500, 0.1) if _headers(m).get("ce_causationid") == request_id]
        return found
    finally:
        consumer.close()


def _headers(message: Message) -> dict[str, str]:
    headers = cast("Headers", message.headers() or [])
    return {} if message.error() else {name: bytes(value or b"").decode() for name, value in headers}


def _is_outcome(message: Message) -> bool:
    return _headers(message)["ce_type"].startswith("claimbus.request-")


def _sample(message: Message) -> SampleMessage:
    return SampleMessage(headers=list(_headers(message).items()), value=(message.value() or b"").decode())


async def _rows(database: str, claim: uuid.UUID) -> dict[str, list[dict[str, Any]]]:
    connection = await asyncpg.connect(database)
    try:
        return {
            table: [
                json.loads(row[0])
                for row in await connection.fetch(f"select to_json(t)::text from {table} t where {column} = $1", claim)
            ]
            for table, column in TABLES.items()
        }
    finally:
        await connection.close()
