"""What an audit reads of the tables: page by page by key, each in a short transaction that only reads."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from pydantic import SecretStr, ValidationError
from pydantic_core import from_json
from sqlalchemy import Column, Table, and_, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncEngine

from operations.connection import Connection
from services.claims.claim import Claim, apply
from services.claims.claim_numbers import number_keys
from services.claims.tables import claim_events, claim_numbers, claims, requests
from services.delivery.rules import addressed
from services.portal import tables as portal
from services.reporting import tables as reporting
from services.suggestions import store as suggestions
from shared.audit.histories import (
    RecordedClaim,
    RecordedEvent,
    check_history,
    link_event,
    media_of,
    number_of,
    reports_of,
)
from shared.audit.spool import Spool, digest
from shared.audit.violations import Tally
from shared.contract.envelope import Undecodable, sealed
from shared.contract.outcomes import RequestAccepted
from shared.contract.topics import CLAIM_EVENTS, ReadModel
from shared.media.keys import stored
from shared.runtime.settings import DatabaseSettings
from shared.storage.database import engine_for, transaction

Advance = Callable[[int], None]

_CLAIMS_AT_A_TIME = 200
_ROWS_AT_A_TIME = 5000
_READ_MODELS: dict[ReadModel, tuple[Column[UUID], Column[int]]] = {
    ReadModel.PORTAL: (portal.claims.c.id, portal.claims.c.version),
    ReadModel.SUGGESTIONS: (suggestions.claims.c.id, suggestions.claims.c.version),
    ReadModel.REPORTING: (reporting.claims.c.claim_id, reporting.claims.c.version),
}


@asynccontextmanager
async def reading(connection: Connection, service: str) -> AsyncIterator[AsyncEngine]:
    """Open a service's database for reading what belongs together. Raises Unreachable."""
    engine = engine_for(DatabaseSettings(database_url=SecretStr(connection.database(service))))
    try:
        yield engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    finally:
        await engine.dispose()


async def rows_of(engine: AsyncEngine, *tables: Table) -> int:
    """Count the rows of tables."""
    async with transaction(engine) as connection:
        return sum([await connection.scalar(select(func.count()).select_from(table)) or 0 for table in tables])


async def spool_read_model(connection: Connection, reader: ReadModel, spool: Spool) -> None:
    """Lay down the version at which a read model has each claim. Raises DatabaseAway."""
    id, version = _READ_MODELS[reader]
    last = UUID(int=0)
    async with reading(connection, reader) as engine:
        while True:
            async with transaction(engine) as read:
                query = select(id, version).where(id > last).order_by(id).limit(_ROWS_AT_A_TIME)
                rows = (await read.execute(query)).all()
            for row in rows:
                spool.add("read_models", reader, row[0].bytes, row[1])
            if not rows:
                return
            last = rows[-1][0]


async def spool_histories(engine: AsyncEngine, spool: Spool, tally: Tally, advance: Advance) -> None:
    """Check each claim of the record with its events, and lay down what else is held against them."""
    last = UUID(int=0)
    while True:
        async with transaction(engine) as read:
            page = select(claims).where(claims.c.id > last).order_by(claims.c.id).limit(_CLAIMS_AT_A_TIME)
            rows = {row.id: row for row in await read.execute(page)}
            is_last = len(rows) < _CLAIMS_AT_A_TIME
            upto = max(rows, default=last)
            within = claim_events.c.claim_id > last
            if not is_last:
                within = and_(within, claim_events.c.claim_id <= upto)
            query = select(claim_events).where(within).order_by(claim_events.c.claim_id, claim_events.c.version)
            events: list[Any] = []
            async for event in await read.stream(query, execution_options={"yield_per": 200}):
                if events and events[-1].claim_id != event.claim_id:
                    _spool_claim(spool, tally, rows.pop(events[0].claim_id, None), events)
                    events = []
                events.append(event)
            if events:
                _spool_claim(spool, tally, rows.pop(events[0].claim_id, None), events)
        for row in rows.values():
            _spool_claim(spool, tally, row, [])
        advance(_CLAIMS_AT_A_TIME)
        if is_last:
            return
        last = upto


def _spool_claim(spool: Spool, tally: Tally, row: Any, events: list[Any]) -> None:
    id: UUID = events[0].claim_id if events else row.id
    history = [RecordedEvent(e.version, e.company, e.request_id, e.type, e.event.encode()) for e in events]
    claim = RecordedClaim(
        id=id,
        version=row and row.version,
        insurer=row and row.insurer,
        state=row and row.state,
        claim=row and _read_claim(row.claim),
        history=history,
    )
    tally.add(check_history(claim, apply))
    kept = claim.claim
    if kept is not None and kept.link is not None and kept.link.linked_at is not None and not kept.link.being_undone:
        spool.add("linked_claims", id.bytes, str(kept.link.link_id), kept.link.parts)
    for recorded in history:
        at = 0
        try:
            event = recorded.read()
        except ValueError:
            event = None
        if event is not None:
            at = round(event.at.timestamp() * 1000)
            number = number_of(event)
            if number is not None:
                spool.add("numbers", event.insurer, number_keys(event.insurer, number)[1][1], id.bytes, number)
            link = link_event(event)
            if link is not None:
                spool.add("link_events", *link, id.bytes, recorded.version, at)
            for report, files, of_link in reports_of(event):
                if of_link is None:
                    spool.add("reports", id.bytes, report.bytes, files)
                else:
                    spool.add("imported_reports", of_link, report.bytes, files)
            for media, of_link in media_of(event):
                key = stored(media.stored_as)
                spool.add("media", id.bytes, recorded.version, of_link, key, media.size, media.sha256)
        row_of_event = id.bytes, recorded.version, recorded.company, recorded.request_id, at
        spool.add("recorded_events", *row_of_event, digest(recorded.type, recorded.body))
        for receiver, copy in _copies(id, recorded):
            spool.add("expected_copies", receiver, id.bytes, recorded.version, copy)


def _copies(id: UUID, event: RecordedEvent) -> Iterator[tuple[str, bytes]]:
    """Yield who gets an event, and what stands for its bytes there."""
    message = sealed(
        CLAIM_EVENTS.name,
        id,
        event.type,
        event.body,
        id=f"{id}/{event.version}",
        source="claims",
        cause=event.request_id,
    )
    try:
        letter = addressed(message.key.encode(), message.headers, message.value)
    except Undecodable:
        return
    for company in letter.recipients:
        yield company, digest(event.type, letter.value_for(company))


def _read_claim(text: str) -> Claim | None:
    try:
        return Claim.model_validate_json(text)
    except ValidationError:
        return None


async def spool_requests(engine: AsyncEngine, spool: Spool, advance: Advance) -> None:
    """Lay down each request of the record with its outcome, and each step of a link."""
    async for rows in _pages(engine, requests, requests.c.company, requests.c.request_id):
        for row in rows:
            outcome, type, found = None, None, None
            if row.outcome_type is not None:
                outcome = "accepted" if row.outcome_type == RequestAccepted.type() else "refused"
                type = _request_type(row.outcome)
                found = digest(row.outcome_type, (row.outcome or "").encode())
            at = round(row.requested_at.timestamp() * 1000)
            spool.add("recorded_requests", row.company, row.request_id, row.claim_id.bytes, at, outcome, type, found)
        advance(len(rows))


def _request_type(outcome: str | None) -> str | None:
    try:
        return str(from_json(outcome or "")["request_type"])
    except (ValueError, KeyError, TypeError):
        return None


async def spool_numbers(engine: AsyncEngine, spool: Spool, advance: Advance) -> None:
    """Lay down every claim number that is kept from being used again."""
    async for rows in _pages(engine, claim_numbers, claim_numbers.c.insurer, claim_numbers.c.claim_number):
        for row in rows:
            spool.add("recorded_numbers", row.insurer, row.claim_number, row.claim_id.bytes)
        advance(len(rows))


async def _pages(engine: AsyncEngine, table: Table, *key: Column[str]) -> AsyncIterator[Sequence[Any]]:
    """Read a table by its key of texts, each page in a transaction of its own."""
    last = ("",) * len(key)
    while True:
        async with transaction(engine) as read:
            query = select(table).where(tuple_(*key) > last).order_by(*key).limit(_ROWS_AT_A_TIME)
            rows = (await read.execute(query)).all()
        if not rows:
            return
        yield rows
        last = tuple(getattr(rows[-1], column.name) for column in key)
