"""The record of claims in PostgreSQL: requests and steps of links with what came of them, claims, and their events."""

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Text, Uuid, bindparam, func, null, select, text, union_all
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.claims.batch import Batch, Decided
from services.claims.claim import Claim
from services.claims.claim_numbers import number_keys
from services.claims.decisions import NOTHING_MORE, Needs, NumberKey, RequestKey
from services.claims.tables import IS_REFUSED_CREATION, claim_events, claim_numbers, claims, follow_ups, requests
from shared.contract.events import CLAIM_EVENTS, ClaimEvent, ClaimUnlinked
from shared.contract.linking import (
    REMEMBERED_UNDER,
    STEPS_FOR_CLAIMS,
    LinkRequested,
    LinkStep,
    WithdrawContent,
    step_id,
)
from shared.contract.redaction import redacted_json
from shared.media.keys import UploadedMedia
from shared.messaging.positions import Move
from shared.storage.arrays import (
    columns_of_tables,
    in_one_statement,
    insert_of,
    pairs,
    replacement_of,
    where_pair_is_given,
)
from shared.storage.database import transaction
from shared.storage.positions import MOVE, columns_of_moves, raise_if_behind

_REMEMBERED_AND_CLAIMS = union_all(
    where_pair_is_given(
        select(
            requests.c.company,
            requests.c.request_id,
            requests.c.claim_id,
            requests.c.outcome_type,
            requests.c.outcome,
            null().label("claim"),
        ),
        requests.c.company,
        requests.c.request_id,
    ),
    select(null(), null(), claims.c.id, null(), null(), claims.c.claim).where(
        claims.c.id == func.any(bindparam("ids", type_=ARRAY(Uuid)))
    ),
)
"""In one round trip, since every batch needs both; of the rows of claims only `claim_id` and `claim` are there."""
_EVENTS_OF_REQUESTS = where_pair_is_given(
    select(claim_events), claim_events.c.company, claim_events.c.request_id
).order_by(claim_events.c.claim_id, claim_events.c.version)
_FOLLOW_UPS_OF_REQUESTS = where_pair_is_given(select(follow_ups), follow_ups.c.company, follow_ups.c.request_id)
_STEPS_DECIDED = select(requests.c.request_id).where(
    requests.c.company == REMEMBERED_UNDER,
    requests.c.request_id == func.any(bindparam("ids", type_=ARRAY(Text))),
)
_REFUSED_CREATIONS = where_pair_is_given(
    select(requests.c.company, requests.c.request_id), requests.c.company, requests.c.request_id
).where(IS_REFUSED_CREATION)
_HISTORIES = (
    select(claim_events)
    .where(claim_events.c.claim_id == func.any(bindparam("ids", type_=ARRAY(Uuid))))
    .order_by(claim_events.c.claim_id, claim_events.c.version)
)
_NUMBERS_IN_USE = where_pair_is_given(select(claim_numbers), claim_numbers.c.insurer, claim_numbers.c.claim_number)

_SAVE = in_one_statement(
    *(insert_of(table, qualified=True) for table in (requests, claim_numbers, claim_events, follow_ups)),
    replacement_of(claims, qualified=True),
    result=MOVE,
)
STEPS: Mapping[str, type[LinkStep]] = {LinkRequested.type(): LinkRequested, **STEPS_FOR_CLAIMS}
"""Every step of a link that is recorded, by its CloudEvents type."""
_REDACT_EVENTS = text("""
    update claim_events set event = redacted.event
    from unnest(cast(:ids as uuid[]), cast(:versions as integer[]), cast(:bodies as text[]))
        as redacted (claim_id, version, event)
    where claim_events.claim_id = redacted.claim_id and claim_events.version = redacted.version
""")
_REDACT_STEPS = text("""
    update follow_ups set step = redacted.step
    from unnest(cast(:companies as text[]), cast(:requests as text[]), cast(:ids as text[]), cast(:bodies as text[]))
        as redacted (company, request_id, step_id, step)
    where follow_ups.company = redacted.company and follow_ups.request_id = redacted.request_id
        and follow_ups.step_id = redacted.step_id
""")


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
    """A step of a link as it was published, for the claim that is its key, with what led to it."""

    company: str
    request_id: str
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

    async def load(
        self,
        needs: dict[RequestKey, Needs],
        uploads: Callable[[str], UploadedMedia | None],
        claims: Mapping[UUID, Claim],
    ) -> Batch:
        """Load what deciding commands needs to know, with the claims that were read already of those that are needed.

        `uploads` reads the key of an upload.
        """
        all_needs = NOTHING_MORE.union(*needs.values())
        numbers = await self.numbers_in_use(
            {key for number in all_needs.numbers | all_needs.claims_by_number for key in number_keys(*number)}
        )
        by_number = {key for number in all_needs.claims_by_number for key in number_keys(*number)}
        holders = {claim for key, claim in numbers.items() if key in by_number} - claims.keys()
        return Batch(
            needs=needs,
            claims={**claims, **await self.claims(holders)},
            numbers=numbers,
            histories=await self.histories(all_needs.histories),
            steps=await self.steps_decided(all_needs.steps),
            refused_creations=await self.refused_creations(all_needs.refused_creations),
            uploads=uploads,
        )

    async def remembered_and_claims(
        self, keys: Collection[RequestKey], claim_ids: Collection[UUID]
    ) -> tuple[dict[RequestKey, Remembered], dict[UUID, Claim]]:
        """Find what came of requests and steps that were decided before, their events in order, and claims by id."""
        parameters = {**pairs(keys), "ids": list(claim_ids)}
        rows = (await self._connection.execute(_REMEMBERED_AND_CLAIMS, parameters)).all()
        claims = {row.claim_id: Claim.model_validate_json(row.claim) for row in rows if row.claim is not None}
        found = {(row.company, row.request_id): Remembered(_outcome(row)) for row in rows if row.claim is None}
        if found:
            for row in await self._connection.execute(_EVENTS_OF_REQUESTS, pairs(found)):
                found[row.company, row.request_id].events.append(_event(row))
            for row in await self._connection.execute(_FOLLOW_UPS_OF_REQUESTS, pairs(found)):
                found[row.company, row.request_id].follow_ups.append(_follow_up(row))
        return found, claims

    async def remembered(self, keys: Collection[RequestKey]) -> dict[RequestKey, Remembered]:
        """Find what came of requests and steps alone."""
        return (await self.remembered_and_claims(keys, ()))[0]

    async def claims(self, ids: Collection[UUID]) -> dict[UUID, Claim]:
        """Find claims by id alone."""
        return (await self.remembered_and_claims((), ids))[1] if ids else {}

    async def steps_decided(self, steps: Collection[str]) -> set[str]:
        """Return which of these steps of links were decided before."""
        if not steps:
            return set()
        rows = await self._connection.execute(_STEPS_DECIDED, {"ids": list(steps)})
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
        rows = await self._connection.execute(_REFUSED_CREATIONS, pairs(keys))
        return {(row.company, row.request_id) for row in rows}

    async def stored_histories(self, claim_ids: Collection[UUID]) -> dict[UUID, list[StoredEvent]]:
        """Find all that happened to claims, in order; of a claim that is new, nothing."""
        found: dict[UUID, list[StoredEvent]] = {id: [] for id in claim_ids}
        rows = await self._connection.execute(_HISTORIES, {"ids": list(claim_ids)})
        for row in rows:
            found[row.claim_id].append(_event(row))
        return found

    async def numbers_in_use(self, keys: Collection[NumberKey]) -> dict[NumberKey, UUID]:
        """Return the claims that have or had these numbers, without the numbers that are free."""
        if not keys:
            return {}
        rows = await self._connection.execute(_NUMBERS_IN_USE, pairs(keys))
        return {(row.insurer, row.claim_number): row.claim_id for row in rows}

    async def save(self, batch: Batch, moves: Sequence[Move] = (), *, doubting_new_servers: bool = True) -> None:
        """Write what was decided, in the order of the keys so that two writers can't deadlock, and move positions on.

        A request, an event version or a claim number that is there already ends the transaction. So does Behind.
        """
        if not batch.decided and not moves:
            return
        rows = {
            requests: _request_rows(batch.decided),
            claim_numbers: _number_rows(batch.decided),
            claim_events: _event_rows(batch.decided),
            follow_ups: _follow_up_rows(batch.decided),
            claims: _claim_rows(batch.changed),
        }
        found = await self._connection.execute(_SAVE, columns_of_tables(rows) | columns_of_moves(moves))
        raise_if_behind(moves, found.all(), doubting_new_servers=doubting_new_servers)
        for claim_id in batch.redacted:
            await self._redact(claim_id)

    async def content_of(self, claim_id: UUID) -> tuple[list[StoredEvent], list[StoredFollowUp]]:
        """Find all that the record keeps of a claim's content besides the claim: its events, and steps of links."""
        history = (await self.stored_histories([claim_id]))[claim_id]
        rows = await self._connection.execute(_FOLLOW_UPS_OF_REQUESTS, pairs(steps_with_content(history)))
        return history, [_follow_up(row) for row in rows]

    async def _redact(self, claim_id: UUID) -> None:
        """Take what tells of people out of a claim's events, and out of the steps of links with what it has or had."""
        history, follow_ups = await self.content_of(claim_id)
        events = [(e, body) for e in history if (body := redacted_json(CLAIM_EVENTS[e.type], e.body)) != e.body]
        if events:
            versions, bodies = [e.version for e, _ in events], [body.decode() for _, body in events]
            columns = {"ids": [claim_id] * len(events), "versions": versions, "bodies": bodies}
            await self._connection.execute(_REDACT_EVENTS, columns)
        steps = [(s, body) for s in follow_ups if (body := redacted_json(STEPS[s.type], s.body)) != s.body]
        if steps:
            columns = {
                "companies": [step.company for step, _ in steps],
                "requests": [step.request_id for step, _ in steps],
                "ids": [step.step_id for step, _ in steps],
                "bodies": [body.decode() for _, body in steps],
            }
            await self._connection.execute(_REDACT_STEPS, columns)


def steps_with_content(history: Iterable[StoredEvent]) -> set[RequestKey]:
    """Return the requests and steps whose next steps can have the claim's content: its own, and what came back to it.

    A step that gives back what was reported at a target is of the target's, which gave it up.
    """
    keys = set[RequestKey]()
    for event in history:
        keys.add((event.company, event.request_id))
        if event.type == ClaimUnlinked.type():
            link_id = ClaimUnlinked.model_validate_json(event.body).link_id
            keys.add((REMEMBERED_UNDER, step_id(link_id, 1, WithdrawContent)))
    return keys


def _follow_up(row: Any) -> StoredFollowUp:
    return StoredFollowUp(
        row.company, row.request_id, row.step_id, row.topic, row.claim_id, row.type, row.step.encode()
    )


def _event(row: Any) -> StoredEvent:
    cause = row.cause or row.request_id
    return StoredEvent(row.claim_id, row.version, row.company, row.request_id, cause, row.type, row.event.encode())


def _outcome(row: Any) -> StoredOutcome:
    return StoredOutcome(row.company, row.request_id, row.claim_id, row.outcome_type, (row.outcome or "").encode())


def _request_rows(decided: Mapping[RequestKey, Decided]) -> list[dict[str, Any]]:
    return [
        {
            "company": company,
            "request_id": request_id,
            "claim_id": request.command.claim_id,
            "requested_at": request.command.at,
            "outcome_type": request.outcome and request.outcome.type(),
            "outcome": request.outcome_body and request.outcome_body.decode(),
        }
        for (company, request_id), request in sorted(decided.items(), key=itemgetter(0))
    ]


def _number_rows(decided: Mapping[RequestKey, Decided]) -> list[dict[str, Any]]:
    taken = {
        key: request.command.claim_id
        for request in decided.values()
        if request.number_taken
        for key in number_keys(*request.number_taken)
    }
    return [
        {"insurer": insurer, "claim_number": number, "claim_id": claim_id}
        for (insurer, number), claim_id in sorted(taken.items())
    ]


def _claim_rows(changed: Mapping[UUID, Claim]) -> list[dict[str, Any]]:
    return [
        {
            "id": id,
            "insurer": claim.insurer,
            "state": claim.state,
            "version": claim.version,
            "claim": claim.json_bytes().decode(),
        }
        for id, claim in sorted(changed.items(), key=itemgetter(0))
    ]


def _event_rows(decided: Mapping[RequestKey, Decided]) -> list[dict[str, Any]]:
    rows = [
        {
            "claim_id": event.claim_id,
            "version": event.version,
            "company": company,
            "request_id": request_id,
            "type": event.type(),
            "event": body.decode(),
            "cause": None if request.command.cause == request_id else request.command.cause,
        }
        for (company, request_id), request in decided.items()
        for event, body in zip(request.events, request.event_bodies, strict=True)
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
