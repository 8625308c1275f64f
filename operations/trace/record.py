"""What the tables know of requests and claims: each found by its key."""

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import SecretStr
from pydantic_core import from_json
from sqlalchemy import Column, Table, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from operations.connection import Connection
from services.claims.claim_numbers import number_keys
from services.claims.tables import claim_events, claim_numbers, claims, follow_ups, requests
from services.portal import tables as portal
from services.reporting import tables as reporting
from services.suggestions import store as suggestions
from shared.contract.linking import REMEMBERED_UNDER, GiveUpImport, ImportContent, LinkRequested
from shared.contract.topics import ReadModel
from shared.runtime.settings import DatabaseSettings
from shared.storage.arrays import pairs, where_pair_is_given
from shared.storage.database import engine_for, transaction

RequestKey = tuple[str, str]
"""A company and the id of its request; of a step of a link, REMEMBERED_UNDER and the step's id."""

_REQUESTS = where_pair_is_given(select(requests), requests.c.company, requests.c.request_id)
_EVENTS = where_pair_is_given(select(claim_events), claim_events.c.company, claim_events.c.request_id).order_by(
    claim_events.c.claim_id, claim_events.c.version
)
_FOLLOW_UPS = where_pair_is_given(select(follow_ups), follow_ups.c.company, follow_ups.c.request_id)
_NUMBERS = where_pair_is_given(select(claim_numbers.c.claim_id), claim_numbers.c.insurer, claim_numbers.c.claim_number)
_MET: dict[ReadModel, tuple[Table, Column[UUID]]] = {
    ReadModel.PORTAL: (portal.claims, portal.claims.c.id),
    ReadModel.REPORTING: (reporting.claims, reporting.claims.c.claim_id),
    ReadModel.SUGGESTIONS: (suggestions.claims, suggestions.claims.c.id),
}


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """An event that a request or step led to, as it was published."""

    claim_id: UUID
    version: int
    type: str
    cause: str
    body: bytes = field(repr=False)

    @property
    def id(self) -> str:
        """Its `ce_id`."""
        return f"{self.claim_id}/{self.version}"


@dataclass(frozen=True, slots=True)
class RecordedStep:
    """A step of a link that a request or step led to."""

    id: str
    topic: str
    claim_id: UUID
    type: str


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """A request with what came of it, or a step of a link, which has no outcome."""

    key: RequestKey
    claim_id: UUID | None
    """None of a request that `directory` remembers, and not the record of claims."""
    requested_at: datetime
    """When it was appended, to its company's topic; a step to `claim-commands`."""
    outcome_type: str | None
    outcome: dict[str, Any]
    events: Sequence[RecordedEvent] = ()
    steps: Sequence[RecordedStep] = ()

    @property
    def id(self) -> str:
        """The `ce_id` under which it goes on, and its outcome comes."""
        return self.key[1] if self.is_step else "/".join(self.key)

    @property
    def is_step(self) -> bool:
        """Whether it is a step of a link."""
        return self.key[0] == REMEMBERED_UNDER


async def recorded(connection: Connection, id: str, companies: Collection[str]) -> list[RecordedRequest]:
    """Find the request, step or claim that is meant, with all that followed, in their order; nothing if none is known.

    Raises Unreachable, DatabaseAway, OSError.
    """
    async with _reading(connection, "claims") as record:
        keys = [(company, id) for company in (*companies, REMEMBERED_UNDER)]
        company, slash, rest = id.partition("/")
        if slash and company in companies:
            keys.append((company, rest))
        found = await _with_what_followed(record, keys)
        if not found:
            for claim in await _claims_called(record, id, companies):
                found |= await _with_what_followed(record, await _requests_of(record, claim))
    return sorted(found.values(), key=lambda request: (request.requested_at, request.is_step, request.key))


async def versions_met(connection: Connection, claim_ids: Iterable[UUID]) -> dict[ReadModel, dict[UUID, int]]:
    """How many of a claim's events each read model has met, of those that the connection has. Raises as `recorded`."""
    wanted = list(claim_ids)
    met: dict[ReadModel, dict[UUID, int]] = {}
    for reader, (table, key) in _MET.items():
        if reader in connection.databases:
            async with _reading(connection, reader) as read_model:
                rows = await read_model.execute(select(key.label("id"), table.c.version).where(key.in_(wanted)))
                met[reader] = {row.id: row.version for row in rows}
    return met


@asynccontextmanager
async def _reading(connection: Connection, service: str) -> AsyncIterator[AsyncConnection]:
    engine = engine_for(DatabaseSettings(database_url=SecretStr(connection.database(service))))
    try:
        async with transaction(engine.execution_options(postgresql_readonly=True)) as read:
            yield read
    finally:
        await engine.dispose()


async def _with_what_followed(
    record: AsyncConnection, keys: Collection[RequestKey]
) -> dict[RequestKey, RecordedRequest]:
    """Read requests, and the steps of links that followed from them, and from those."""
    found: dict[RequestKey, RecordedRequest] = {}
    left = set(keys)
    while left:
        read = await _read(record, left)
        found |= read
        left = {(REMEMBERED_UNDER, id) for request in read.values() for id in _next_steps(request)} - set(found)
    return found


def _next_steps(request: RecordedRequest) -> Iterable[str]:
    """Yield the ids of the steps that claims takes next; linking, which keeps nothing, has a choice of two."""
    for step in request.steps:
        if step.type == LinkRequested.type():
            part = step.id.removesuffix(LinkRequested.NAME)
            yield part + ImportContent.NAME
            yield part + GiveUpImport.NAME
        else:
            yield step.id


async def _read(record: AsyncConnection, keys: Collection[RequestKey]) -> dict[RequestKey, RecordedRequest]:
    rows = (await record.execute(_REQUESTS, pairs(keys))).all()
    there = [(row.company, row.request_id) for row in rows]
    events: dict[RequestKey, list[RecordedEvent]] = {key: [] for key in there}
    steps: dict[RequestKey, list[RecordedStep]] = {key: [] for key in there}
    for row in await record.execute(_EVENTS, pairs(there)):
        cause = row.cause or row.request_id
        event = RecordedEvent(row.claim_id, row.version, row.type, cause, row.event.encode())
        events[row.company, row.request_id].append(event)
    for row in await record.execute(_FOLLOW_UPS, pairs(there)):
        step = RecordedStep(row.step_id, row.topic, row.claim_id, row.type)
        steps[row.company, row.request_id].append(step)
    return {
        key: RecordedRequest(
            key,
            row.claim_id,
            row.requested_at,
            row.outcome_type,
            from_json(row.outcome) if row.outcome else {},
            events[key],
            steps[key],
        )
        for key, row in zip(there, rows, strict=True)
    }


async def _claims_called(record: AsyncConnection, id: str, companies: Collection[str]) -> set[UUID]:
    """Find the claim with an id, or the claims, one of an insurer at most, that have or had a number."""
    try:
        claim = UUID(id.partition("/")[0])  # the id of an event is its claim's with its version
    except ValueError:
        numbers = {key for company in companies for key in number_keys(company, id)}
        return set((await record.execute(_NUMBERS, pairs(numbers))).scalars())
    return set((await record.execute(select(claims.c.id).where(claims.c.id == claim))).scalars())


async def _requests_of(record: AsyncConnection, claim: UUID) -> list[RequestKey]:
    rows = await record.execute(
        select(claim_events.c.company, claim_events.c.request_id)
        .where(claim_events.c.claim_id == claim)
        .group_by(claim_events.c.company, claim_events.c.request_id)
        .order_by(func.min(claim_events.c.version))
    )
    return [(row.company, row.request_id) for row in rows]
