"""The record of claims in PostgreSQL: requests and steps of links with what came of them, claims, and their events."""

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Column,
    Select,
    Table,
    Text,
    Uuid,
    bindparam,
    func,
    insert,
    select,
)
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.claims.batch import Batch, Decided
from services.claims.claim import Claim
from services.claims.claim_numbers import number_keys
from services.claims.decisions import NOTHING_MORE, Needs, NumberKey, RequestKey
from services.claims.tables import IS_REFUSED_CREATION, claim_events, claim_numbers, claims, follow_ups, requests
from shared.contract.events import CLAIM_EVENTS, ClaimEvent
from shared.contract.linking import REMEMBERED_UNDER
from shared.media.keys import UploadedMedia
from shared.storage.database import transaction


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event as it was published."""

    claim_id: UUID
    version: int
    company: str
    request_id: str
    cause: str
    type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class StoredOutcome:
    """An outcome as it was published; of a step of a link, that it was decided: its type is None."""

    company: str
    request_id: str
    claim_id: UUID
    type: str | None
    body: bytes


@dataclass(frozen=True, slots=True)
class StoredFollowUp:
    """A step of a link as it was published, for the claim that is its key."""

    step_id: str
    topic: str
    claim_id: UUID
    type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Remembered:
    """What came of a request or step that was decided before."""

    outcome: StoredOutcome
    events: list[StoredEvent] = field(default_factory=list)
    follow_ups: list[StoredFollowUp] = field(default_factory=list)


class Store:
    """Opens one transaction for each batch."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["Transaction"]:
        """Commit what is done inside, or nothing. Raises Conflict if another writer has done some of it already."""
        async with transaction(self._engine) as connection:
            yield Transaction(connection)


class Transaction:
    """One transaction's view of the record."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def load(self, needs: dict[RequestKey, Needs], uploads: Callable[[str], UploadedMedia | None]) -> Batch:
        """Load what deciding commands needs to know; `uploads` reads the key of an upload."""
        all_needs = NOTHING_MORE.union(*needs.values())
        numbers = await self.numbers_in_use(
            {key for number in all_needs.numbers | all_needs.claims_by_number for key in number_keys(*number)}
        )
        by_number = {key for number in all_needs.claims_by_number for key in number_keys(*number)}
        holders = {claim for key, claim in numbers.items() if key in by_number}
        return Batch(
            needs=needs,
            claims=await self.claims(all_needs.claims | holders),
            numbers=numbers,
            histories=await self.histories(all_needs.histories),
            steps=await self.steps_decided(all_needs.steps),
            refused_creations=await self.refused_creations(all_needs.refused_creations),
            uploads=uploads,
        )

    async def remembered(self, keys: Collection[RequestKey]) -> dict[RequestKey, Remembered]:
        """Find what came of the requests and steps that were decided before; events are in order."""
        rows = await self._connection.execute(
            _matching_pairs(
                select(
                    requests.c.company,
                    requests.c.request_id,
                    requests.c.claim_id,
                    requests.c.outcome_type,
                    requests.c.outcome,
                ),
                requests.c.company,
                requests.c.request_id,
            ),
            _pairs(keys),
        )
        found = {(row.company, row.request_id): Remembered(_outcome(row)) for row in rows}
        if found:
            events = _matching_pairs(select(claim_events), claim_events.c.company, claim_events.c.request_id)
            events = events.order_by(claim_events.c.claim_id, claim_events.c.version)
            for row in await self._connection.execute(events, _pairs(found)):
                found[row.company, row.request_id].events.append(_event(row))
            steps = _matching_pairs(select(follow_ups), follow_ups.c.company, follow_ups.c.request_id)
            for row in await self._connection.execute(steps, _pairs(found)):
                found[row.company, row.request_id].follow_ups.append(
                    StoredFollowUp(row.step_id, row.topic, row.claim_id, row.type, row.step.encode())
                )
        return found

    async def steps_decided(self, steps: Collection[str]) -> set[str]:
        """Return which of these steps of links were decided before."""
        if not steps:
            return set()
        rows = await self._connection.execute(
            select(requests.c.request_id).where(
                requests.c.company == REMEMBERED_UNDER,
                requests.c.request_id == func.any(bindparam("ids", type_=ARRAY(Text))),
            ),
            {"ids": list(steps)},
        )
        return set(rows.scalars())

    async def histories(self, claim_ids: Collection[UUID]) -> dict[UUID, list[ClaimEvent]]:
        """Read all that happened to claims, in order; of a claim that is new, nothing."""
        found: dict[UUID, list[ClaimEvent]] = {}
        for id in claim_ids:
            history = (await self.stored_histories([id]))[id]
            found[id] = [CLAIM_EVENTS[event.type].model_validate_json(event.body) for event in history]
        return found

    async def refused_creations(self, keys: Collection[RequestKey]) -> set[RequestKey]:
        """Return which of these requests are creations that were refused and that a report counts."""
        if not keys:
            return set()
        query = _matching_pairs(
            select(requests.c.company, requests.c.request_id), requests.c.company, requests.c.request_id
        )
        rows = await self._connection.execute(query.where(IS_REFUSED_CREATION), _pairs(keys))
        return {(row.company, row.request_id) for row in rows}

    async def stored_histories(self, claim_ids: Collection[UUID]) -> dict[UUID, list[StoredEvent]]:
        """Find all that happened to claims, in order; of a claim that is new, nothing."""
        found: dict[UUID, list[StoredEvent]] = {id: [] for id in claim_ids}
        rows = await self._connection.execute(
            select(claim_events)
            .where(claim_events.c.claim_id == func.any(bindparam("ids", type_=ARRAY(Uuid))))
            .order_by(claim_events.c.claim_id, claim_events.c.version),
            {"ids": list(claim_ids)},
        )
        for row in rows:
            found[row.claim_id].append(_event(row))
        return found

    async def claims(self, ids: Collection[UUID]) -> dict[UUID, Claim]:
        """Find claims by id."""
        rows = await self._connection.execute(
            select(claims.c.id, claims.c.claim).where(claims.c.id == func.any(bindparam("ids", type_=ARRAY(Uuid)))),
            {"ids": list(ids)},
        )
        return {row.id: Claim.model_validate_json(row.claim) for row in rows}

    async def numbers_in_use(self, keys: Collection[NumberKey]) -> dict[NumberKey, UUID]:
        """Return the claims that have or had these numbers, without the numbers that are free."""
        if not keys:
            return {}
        query = _matching_pairs(
            select(claim_numbers),
            claim_numbers.c.insurer,
            claim_numbers.c.claim_number,
        )
        rows = await self._connection.execute(query, _pairs(keys))
        return {(row.insurer, row.claim_number): row.claim_id for row in rows}

    async def save(self, batch: Batch) -> None:
        """Write what was decided: multi-row statements, in the order of their keys so that two writers can't deadlock.

        A request, an event version or a claim number that is there already ends the transaction.
        """
        await self._insert(
            requests,
            [
                {
                    "company": company,
                    "request_id": request_id,
                    "claim_id": decided.command.claim_id,
                    "requested_at": decided.command.at,
                    "outcome_type": decided.outcome and decided.outcome.type(),
                    "outcome": decided.outcome and decided.outcome.json_bytes().decode(),
                }
                for (company, request_id), decided in sorted(batch.decided.items(), key=itemgetter(0))
            ],
        )
        taken = {
            key: decided.command.claim_id
            for decided in batch.decided.values()
            if decided.number_taken
            for key in number_keys(*decided.number_taken)
        }
        await self._insert(
            claim_numbers,
            [
                {"insurer": insurer, "claim_number": number, "claim_id": claim_id}
                for (insurer, number), claim_id in sorted(taken.items())
            ],
        )
        await self._insert(claim_events, _event_rows(batch.decided))
        await self._insert(follow_ups, _follow_up_rows(batch.decided))
        await self._save_claims(batch.changed)

    async def _save_claims(self, changed: Mapping[UUID, Claim]) -> None:
        if not changed:
            return
        statement = upsert(claims)
        statement = statement.on_conflict_do_update(
            index_elements=[claims.c.id],
            set_={name: statement.excluded[name] for name in ("state", "version", "claim")},
        )
        await self._connection.execute(
            statement,
            [
                {
                    "id": id,
                    "insurer": claim.insurer,
                    "state": claim.state,
                    "version": claim.version,
                    "claim": claim.json_bytes().decode(),
                }
                for id, claim in sorted(changed.items())
            ],
        )

    async def _insert(self, table: Table, rows: list[dict[str, Any]]) -> None:
        if rows:
            await self._connection.execute(insert(table), rows)


def _matching_pairs(query: Select[Any], first: Column[str], second: Column[str]) -> Select[Any]:
    firsts, seconds = bindparam("firsts", type_=ARRAY(Text)), bindparam("seconds", type_=ARRAY(Text))
    wanted = func.unnest(firsts, seconds).table_valued("first", "second").render_derived(name="wanted")
    return query.join(wanted, (first == wanted.c.first) & (second == wanted.c.second))


def _pairs(keys: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    keys = list(keys)
    return {"firsts": [first for first, _ in keys], "seconds": [second for _, second in keys]}


def _event(row: Any) -> StoredEvent:
    cause = row.cause or row.request_id
    return StoredEvent(row.claim_id, row.version, row.company, row.request_id, cause, row.type, row.event.encode())


def _outcome(row: Any) -> StoredOutcome:
    return StoredOutcome(row.company, row.request_id, row.claim_id, row.outcome_type, (row.outcome or "").encode())


def _event_rows(decided: Mapping[RequestKey, Decided]) -> list[dict[str, Any]]:
    rows = [
        {
            "claim_id": event.claim_id,
            "version": event.version,
            "company": company,
            "request_id": request_id,
            "type": event.type(),
            "event": event.json_bytes().decode(),
            "cause": None if request.command.cause == request_id else request.command.cause,
        }
        for (company, request_id), request in decided.items()
        for event in request.events
    ]
    return sorted(rows, key=lambda row: (row["claim_id"], row["version"]))


def _follow_up_rows(decided: Mapping[RequestKey, Decided]) -> list[dict[str, Any]]:
    rows = [
        {
            "company": company,
            "request_id": request_id,
            "step_id": follow_up.step.id,
            "topic": follow_up.topic.name,
            "claim_id": follow_up.claim_id,
            "type": follow_up.step.type(),
            "step": follow_up.step.json_bytes().decode(),
        }
        for (company, request_id), request in decided.items()
        for follow_up in request.follow_ups
    ]
    return sorted(rows, key=lambda row: (row["company"], row["request_id"]))
