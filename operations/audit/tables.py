"""What an audit reads of the tables: page by page by key, each in a short transaction that only reads."""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import reduce
from typing import Any
from uuid import UUID

from pydantic import SecretStr, ValidationError
from pydantic_core import from_json
from sqlalchemy import Column, Table, and_, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncEngine

from operations.audit.read_models import (
    APART,
    digest_apart,
    expected_of,
    is_as_counted,
    key_of,
    miscounted,
    page_of,
    row_digest,
    rows_apart,
    which_differ,
)
from operations.connection import Connection
from services.claims.claim import Claim, apply
from services.claims.claim_numbers import number_keys
from services.claims.store import STEPS, Transaction
from services.claims.tables import claim_events, claim_numbers, claims, requests
from services.delivery.rules import addressed
from services.portal.media_store import removals
from services.reporting.tables import refusals, reports
from shared.audit.histories import (
    EMPTIED,
    READ_MODELS,
    REPORTS,
    WAITING,
    RecordedClaim,
    RecordedEvent,
    check_history,
    imported_tasks_of,
    link_event,
    media_of,
    number_of,
    redaction_of,
    removed_media_of,
    reports_of,
    returned_reports_of,
    tasks_of,
    withdrawn_tasks_of,
)
from shared.audit.spool import Spool, digest
from shared.audit.violations import Tally, Violation
from shared.contract.envelope import Undecodable, sealed
from shared.contract.events import ClaimEvent, TaskReported
from shared.contract.outcomes import RequestAccepted, RequestRefused
from shared.contract.redaction import redacted
from shared.contract.topics import CLAIM_EVENTS, ReadModel
from shared.media.keys import stored
from shared.runtime.settings import DatabaseSettings
from shared.storage.database import engine_for, transaction

Advance = Callable[[int], None]

_CLAIMS_AT_A_TIME = 200
_ROWS_AT_A_TIME = 5000


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


async def spool_read_model(connection: Connection, reader: ReadModel, spool: Spool, tally: Tally) -> None:
    """Lay down what a read model has of each claim, and count again what it has counted. Raises DatabaseAway."""
    spool.add("readers", reader)
    async with reading(connection, reader) as engine:
        last = UUID(int=0)
        while True:
            async with transaction(engine) as read:
                page = await page_of(read, reader, last)
            for id, version, parts in page:
                spool.add("read_models", reader, id.bytes, version, parts)
            if not page:
                break
            last = page[-1][0]
        if reader in APART:
            key: Sequence[Any] = ()
            while True:
                async with transaction(engine) as read:
                    rows = await rows_apart(read, reader, key)
                for row in rows:
                    spool.add("read_apart", reader, row.claim_id.bytes, digest_apart(row))
                if not rows:
                    break
                key = key_of(reader, rows[-1])
        if reader is ReadModel.PORTAL:
            async with transaction(engine) as read:
                tally.add(Violation(WAITING, insurer, problem) for insurer, problem in await miscounted(read))
                for id in await read.scalars(select(removals.c.stored_as)):
                    spool.add("removals", stored(id))
        if reader is ReadModel.REPORTING:
            await _spool_counted(engine, spool, tally)


async def _spool_counted(engine: AsyncEngine, spool: Spool, tally: Tally) -> None:
    """Lay down the refusals that reporting counts, and count each report again."""
    async for rows in _pages(engine, refusals, refusals.c.company, refusals.c.request_id):
        for row in rows:
            spool.add("counted_refusals", row.company, row.request_id, row_digest(row.insurer, row.at, row.code))
    async for rows in _pages(engine, reports, reports.c.insurer, reports.c.period):
        for row in rows:
            async with transaction(engine) as read:
                if not await is_as_counted(read, row):
                    sentence = "it is not what comes of counting its period again"
                    tally.add([Violation(REPORTS, f"{row.insurer}/{row.period}", sentence)])


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
            redacted_claims: list[UUID] = []
            async for event in await read.stream(query, execution_options={"yield_per": 200}):
                if events and events[-1].claim_id != event.claim_id:
                    redacted_claims += _spool_claim(spool, tally, rows.pop(events[0].claim_id, None), events)
                    events = []
                events.append(event)
            if events:
                redacted_claims += _spool_claim(spool, tally, rows.pop(events[0].claim_id, None), events)
            for id in redacted_claims:
                tally.add(await _steps_with_people(Transaction(read), id))
        for row in rows.values():
            _spool_claim(spool, tally, row, [])
        advance(_CLAIMS_AT_A_TIME)
        if is_last:
            return
        last = upto


async def _steps_with_people(record: Transaction, id: UUID) -> list[Violation]:
    """Find the steps of links that the record keeps of a redacted claim with something of people in them."""
    _, follow_ups = await record.content_of(id)
    steps = [(step.step_id, STEPS[step.type].model_validate_json(step.body)) for step in follow_ups]
    return [
        Violation(EMPTIED, str(id), f"it is redacted, and step {step_id} tells of people")
        for step_id, step in steps
        if redacted(step) != step
    ]


def _spool_claim(spool: Spool, tally: Tally, row: Any, events: list[Any]) -> Iterable[UUID]:
    """Lay down a claim; return it if it was redacted."""
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
    found = [_read_event(recorded) for recorded in history]
    events_read = [event for event in found if event is not None]
    redaction = redaction_of(events_read)
    if redaction is not None:
        spool.add("redactions", id.bytes, redaction)
        for key in map(stored, removed_media_of(events_read)):
            spool.add("removed_media", id.bytes, key)
    links: dict[UUID, str] = {}
    kept = claim.claim
    if kept is not None and kept.link is not None and kept.link.linked_at is not None and not kept.link.being_undone:
        spool.add("linked_claims", id.bytes, str(kept.link.link_id), kept.link.parts)
    for recorded, event in zip(history, found, strict=True):
        at = 0
        if event is not None:
            at = round(event.at.timestamp() * 1000)
            number = number_of(event)
            if number is not None:
                spool.add("numbers", event.insurer, number_keys(event.insurer, number)[1][1], id.bytes, number)
            link = link_event(event)
            if link is not None:
                spool.add("link_events", *link, id.bytes, recorded.version, at)
                if redaction is not None:
                    spool.add("redacted_links", link[0])
            _spool_content(spool, id, recorded.version, event, links)
            for media, of_link in media_of(event) if redaction is None else ():
                key = stored(media.stored_as)
                spool.add("media", id.bytes, recorded.version, of_link, key, media.size, media.sha256)
        row_of_event = id.bytes, recorded.version, recorded.company, recorded.request_id, at
        spool.add("recorded_events", *row_of_event, digest(recorded.type, recorded.body))
        for receiver, copy in _copies(id, recorded):
            spool.add("expected_copies", receiver, id.bytes, recorded.version, copy)
    if [event.version for event in events_read] == list(range(1, len(history) + 1)):
        tally.add(_wrong_in_read_models(spool, id, events_read))
    return () if redaction is None else (id,)


def _read_event(recorded: RecordedEvent) -> ClaimEvent | None:
    try:
        return recorded.read()
    except ValueError:
        return None


def _spool_content(spool: Spool, id: UUID, version: int, event: ClaimEvent, links: dict[UUID, str]) -> None:
    """Lay down the tasks and reports of an event; `links` has the claim's tasks that links brought, and grows."""
    for task, facts in tasks_of(event):
        spool.add("tasks", id.bytes, task.bytes, facts)
    for report, files, of_link in reports_of(event):
        if of_link is None:
            spool.add("reports", id.bytes, report.bytes, files)
        else:
            spool.add("imported_reports", of_link, report.bytes, files, id.bytes, version)
    if isinstance(event, TaskReported) and event.task_id in links:
        for report, files, _ in reports_of(event):
            spool.add("reported_there", links[event.task_id], report.bytes, files)
    for link, source, copy, facts in imported_tasks_of(event):
        links[copy] = link
        spool.add("imported_tasks", link, source.bytes, copy.bytes, facts)
    for link, task in withdrawn_tasks_of(event):
        spool.add("withdrawn_tasks", link, task.bytes)
    for link, report, files in returned_reports_of(event):
        spool.add("returned_reports", link, report.bytes, files, id.bytes, version)
        spool.add("reports", id.bytes, report.bytes, files)


def _wrong_in_read_models(spool: Spool, id: UUID, events: Sequence[ClaimEvent]) -> Iterator[Violation]:
    """Find what read models have of a claim and should not have after the events that they have met."""
    claim = {"claim": id.bytes}
    for name, version, found in list(
        spool.query("select reader, version, parts from read_models where claim = :claim", claim)
    ):
        if version < (redaction_of(events) or 0):
            continue  # what it should have is not known any more
        reader, met = ReadModel(name), events[:version]
        try:
            claim_then = reduce(apply, met, None)
            if claim_then is None or len(met) != version:
                continue  # another invariant's
            expected, apart = expected_of(reader, claim_then, met)
        except (TypeError, ValueError):
            continue  # they cannot be replayed
        wrong = list(which_differ(reader, found, expected))
        if reader in APART and version == len(events):  # otherwise they were read while it changed
            rows = spool.query(
                "select digest from read_apart where claim = :claim and reader = :reader order by digest",
                claim | {"reader": name},
            )
            if [digest for (digest,) in rows] != apart:
                wrong.append(APART[reader][0])
        for part in wrong:
            yield Violation(READ_MODELS, str(id), f"{reader} has other {part} than its events make of it")


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
            if outcome == "refused" and (refusal := _refused_creation(row.outcome)) is not None:
                spool.add("recorded_refusals", row.company, row.request_id, at, refusal)
            spool.add("recorded_requests", row.company, row.request_id, row.claim_id.bytes, at, outcome, type, found)
        advance(len(rows))


def _request_type(outcome: str | None) -> str | None:
    try:
        return str(from_json(outcome or "")["request_type"])
    except (ValueError, KeyError, TypeError):
        return None


def _refused_creation(outcome: str) -> bytes | None:
    """Return what stands for the refusal of a creation, which names an insurer, as reports count it."""
    try:
        refused = RequestRefused.model_validate_json(outcome)
    except ValidationError:
        return None
    return None if refused.insurer is None else row_digest(refused.insurer, refused.requested_at, refused.code)


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
