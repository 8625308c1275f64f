"""Events and outcomes in, rows out, in one transaction; every instance is notified of what it has changed."""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy import ARRAY, Delete, Table, Text, Uuid, bindparam, delete, func, select, text
from sqlalchemy.dialects.postgresql import Insert
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.portal.claim_view import ClaimView, State, apply
from services.portal.phones import findable
from services.portal.tables import (
    claims,
    history,
    kept_forms,
    kept_outcomes,
    listing,
    office_listing,
    open_tasks,
    reports,
    suggestions,
    waiting,
)
from shared.contract.envelope import Undecodable, details_of, read_internal_envelope
from shared.contract.events import CLAIM_EVENTS, ClaimEvent
from shared.contract.outcomes import OUTCOMES, Outcome
from shared.contract.redaction import redacted_json
from shared.contract.reports import ReportReady
from shared.contract.suggestions import LinkSuggested
from shared.contract.texts import folded
from shared.errors import Misconfigured
from shared.messaging.record import Record
from shared.runtime.logs import log
from shared.storage.arrays import columns_of, deletion_of, insert_of, replacement_of

CHANNEL = "claimbus_portal"
"""The channel on which PostgreSQL notifies every instance of what has changed."""
REQUEST_ID_PREFIX = "portal:"
"""The ids of requests made in the portal begin with it."""

_READER = "portal"
_MOST_CLAIMS, _MOST_COMPANIES = 30, 100
"""In one notification, of which PostgreSQL takes 8,000 bytes."""
_OUTCOMES_KEPT = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class CausedEvent:
    """An event, and the request that caused it."""

    event: ClaimEvent
    request_id: str


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A message that is not for this read model."""


Row = dict[str, Any]
Read = CausedEvent | Outcome | LinkSuggested | ReportReady | PassedOver


def read(record: Record) -> Read:
    """Read an event or outcome. Raises Undecodable, which for what our own services wrote is a fault of ours."""
    envelope = read_internal_envelope(record.headers, record.value)
    if envelope.republished_for not in (None, _READER):
        return PassedOver()
    request_id = envelope.cause or ""
    if envelope.type in OUTCOMES and not request_id.startswith(REQUEST_ID_PREFIX):
        return PassedOver()  # as nearly all are in a storm: their bodies are not looked at
    try:
        if envelope.type in OUTCOMES:
            return OUTCOMES[envelope.type].model_validate_json(envelope.body)
        if envelope.type == LinkSuggested.type():
            return LinkSuggested.model_validate_json(envelope.body)
        if envelope.type == ReportReady.type():
            return ReportReady.model_validate_json(envelope.body)
        if envelope.type in CLAIM_EVENTS:
            event = CLAIM_EVENTS[envelope.type].model_validate_json(envelope.body)
            return CausedEvent(event, request_id)
    except ValidationError as error:
        raise Undecodable("; ".join(f"{d.field}: {d.problem}" for d in details_of(error))) from None
    raise Undecodable(f"portal does not read {envelope.type}")


@dataclass(slots=True)
class Changes:
    """What a batch of events does to the claims that it is about. Pure."""

    views: dict[UUID, ClaimView]
    before: dict[UUID, ClaimView] = field(init=False)
    applied: list[CausedEvent] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.before = dict(self.views)

    def apply(self, caused: CausedEvent) -> None:
        """Apply an event if it is its claim's next one.

        A repeat does nothing. A claim that is met half-way is older than what the topic keeps, or the read model is
        being rebuilt, which sends it from its first event on. Raises Misconfigured for a gap.
        """
        event = caused.event
        before = self.views.get(event.claim_id)
        if before is None and event.version > 1:
            log.info("an event of a claim not met yet is passed over", claim=str(event.claim_id), version=event.version)
            return
        if before is not None and event.version <= before.version:
            return
        try:
            self.views[event.claim_id] = apply(before, event)
        except ValueError:
            raise Misconfigured(
                f"there is a gap before event {event.version} of {event.claim_id}: run `claimbus rebuild portal`"
            ) from None
        self.applied.append(caused)

    @property
    def changed(self) -> list[ClaimView]:
        """The claims that are not what they were, by id, so that two writers can't deadlock."""
        return [view for id, view in sorted(self.views.items()) if self.before.get(id) != view]

    def waiting(self) -> dict[str, int]:
        """How many temporary claims each insurer has more than before, or fewer."""
        more: defaultdict[str, int] = defaultdict(int)
        for view in self.changed:
            before = self.before.get(view.id)
            more[view.insurer] += (view.state is State.TEMPORARY) - (
                before is not None and before.state is State.TEMPORARY
            )
        return {insurer: count for insurer, count in sorted(more.items()) if count}


async def save(connection: AsyncConnection, batch: Sequence[Read]) -> list[ClaimEvent]:
    """Save a batch; return the events that were their claims' next ones. Raises Misconfigured for a gap."""
    events = [item for item in batch if isinstance(item, CausedEvent)]
    outcomes = [item for item in batch if isinstance(item, Outcome)]
    changes = Changes(await _views(connection, {caused.event.claim_id for caused in events}))
    for caused in events:
        changes.apply(caused)
    await _save_claims(connection, changes)
    await _save_outcomes(connection, outcomes)
    await _save_suggestions(connection, [item for item in batch if isinstance(item, LinkSuggested)])
    for view in changes.changed:
        if view.redacted_at is not None:
            await _redact(connection, view.id)
    await save_reports(connection, [item for item in batch if isinstance(item, ReportReady)])
    await _notify(connection, changes.changed, outcomes)
    return [caused.event for caused in changes.applied]


async def _views(connection: AsyncConnection, ids: Iterable[UUID]) -> dict[UUID, ClaimView]:
    query = select(claims.c.id, claims.c.view).where(claims.c.id == func.any(bindparam("ids", type_=ARRAY(Uuid))))
    rows = await connection.execute(query.order_by(claims.c.id).with_for_update(), {"ids": list(ids)})
    return {row.id: ClaimView.model_validate_json(row.view) for row in rows}


async def _save_claims(connection: AsyncConnection, changes: Changes) -> None:
    changed = changes.changed
    if not changed:
        return
    await _write(
        connection,
        _CHANGED_CLAIMS,
        [{"id": view.id, "version": view.version, "view": view.json_bytes().decode()} for view in changed],
    )
    await _write(connection, _HISTORY, [_history_row(item) for item in changes.applied])
    for table in _ROWS_OF:
        await _save_what_finds(connection, table, changed, changes.before)
    await _count(connection, changes.waiting())


async def _redact(connection: AsyncConnection, id: UUID) -> None:
    """Take what tells of people out of what happened to a claim, and forget what somebody had begun to write of it.

    Its page and lists are made anew of what is left, and its files are another table's (`save_media`).
    """
    rows = (await connection.execute(select(history).where(history.c.claim_id == id))).all()
    left = [(row.version, redacted_json(CLAIM_EVENTS[row.type], row.event.encode()).decode()) for row in rows]
    columns = {"id": id, "versions": [version for version, _ in left], "events": [event for _, event in left]}
    await connection.execute(_REDACTED_HISTORY, columns)
    await connection.execute(delete(suggestions).where(suggestions.c.claim_id == id))
    about = kept_forms.c.path.contains(str(id)) | kept_forms.c.typed.contains(str(id))
    await connection.execute(delete(kept_forms).where(about))


async def _save_what_finds(
    connection: AsyncConnection, table: Table, changed: Iterable[ClaimView], before: Mapping[UUID, ClaimView]
) -> None:
    """Write those rows of a table that are other ones than before; most events leave a claim's as they are."""
    gone: list[Row] = []
    new: list[Row] = []
    for view in changed:
        rows = list(_ROWS_OF[table](view))
        rows_before = list(_ROWS_OF[table](before[view.id])) if view.id in before else []
        gone += [row for row in rows_before if row not in rows]
        new += [row for row in rows if row not in rows_before]
    await _write(connection, _FOUND_NO_MORE[table], gone)
    await _write(connection, _FOUND[table], new)


async def _write(connection: AsyncConnection, statement: Insert | Delete, rows: Sequence[Row]) -> None:
    if rows:
        await connection.execute(statement, columns_of(rows))


async def _count(connection: AsyncConnection, more: dict[str, int]) -> None:
    if not more:
        return
    statement = upsert(waiting)
    statement = statement.on_conflict_do_update(
        index_elements=[waiting.c.insurer], set_={"claims": waiting.c.claims + statement.excluded.claims}
    )
    await connection.execute(statement, [{"insurer": insurer, "claims": count} for insurer, count in more.items()])


async def _save_outcomes(connection: AsyncConnection, outcomes: Sequence[Outcome]) -> None:
    if not outcomes:
        return
    rows = [
        {
            "company": outcome.company,
            "request_id": outcome.request_id,
            "type": outcome.type(),
            "outcome": outcome.json_bytes().decode(),
        }
        for outcome in sorted(outcomes, key=lambda o: (o.company, o.request_id))
    ]
    await connection.execute(upsert(kept_outcomes).on_conflict_do_nothing(), rows)
    await connection.execute(delete(kept_outcomes).where(kept_outcomes.c.answered_at < func.now() - _OUTCOMES_KEPT))


async def _save_suggestions(connection: AsyncConnection, suggested: Sequence[LinkSuggested]) -> None:
    if not suggested:
        return
    newest = {item.claim_id: item for item in sorted(suggested, key=lambda item: item.revision)}
    rows = [
        {
            "claim_id": item.claim_id,
            "insurer": item.insurer,
            "revision": item.revision,
            "suggested": item.json_bytes().decode(),
        }
        for _, item in sorted(newest.items())
    ]
    statement = upsert(suggestions)
    await connection.execute(
        statement.on_conflict_do_update(
            index_elements=[suggestions.c.claim_id],
            set_={"revision": statement.excluded.revision, "suggested": statement.excluded.suggested},
            where=suggestions.c.revision < statement.excluded.revision,
        ),
        rows,
    )


async def save_reports(connection: AsyncConnection, made: Sequence[ReportReady]) -> None:
    """Keep reports; the first of a period is the one that stays (domain rule 20)."""
    rows = [
        {
            "insurer": ready.insurer,
            "period": ready.period,
            "begins_at": ready.report.from_,
            "ready": ready.json_bytes().decode(),
        }
        for ready in made
    ]
    if rows:
        await connection.execute(upsert(reports).on_conflict_do_nothing(), rows)


async def _notify(connection: AsyncConnection, changed: Sequence[ClaimView], outcomes: Sequence[Outcome]) -> None:
    """Notify every instance of claims that have changed and requests with outcomes, by ids, once it is committed."""
    seen_by: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
    for view in changed:
        seen_by[tuple(sorted(view.audience)[:_MOST_COMPANIES])].append(str(view.id))
    payloads = [
        json.dumps({"claims": ids[first : first + _MOST_CLAIMS], "companies": companies})
        for companies, ids in seen_by.items()
        for first in range(0, len(ids), _MOST_CLAIMS)
    ]
    payloads += [json.dumps({"company": outcome.company, "request": outcome.request_id}) for outcome in outcomes]
    if payloads:
        await connection.execute(_NOTIFY, {"payloads": payloads})


_CHANGED_CLAIMS, _HISTORY = replacement_of(claims), insert_of(history)
_REDACTED_HISTORY = text("""
    update history set event = redacted.event
    from unnest(cast(:versions as integer[]), cast(:events as text[])) as redacted (version, event)
    where claim_id = :id and history.version = redacted.version and history.event <> redacted.event
""")
_PAYLOADS = func.unnest(bindparam("payloads", type_=ARRAY(Text))).table_valued("payload").render_derived(name="each")
_NOTIFY = select(func.pg_notify(CHANNEL, _PAYLOADS.c.payload))
_WORD = re.compile(r"\w+")


def _history_row(item: CausedEvent) -> Row:
    return {
        "claim_id": item.event.claim_id,
        "version": item.event.version,
        "request_id": item.request_id,
        "type": item.event.type(),
        "event": item.event.json_bytes().decode(),
    }


def listing_rows(view: ClaimView) -> Iterator[Row]:
    """Make the rows of `listing` for a claim; a redacted one is found by its number, and tells of nobody."""
    address = view.incident.address
    is_redacted = view.redacted_at is not None
    searchable = words(
        view.claim_number,
        view.policyholder.name,
        *findable(view.policyholder.phone),
        address.street,
        address.postal_code,
        address.city,
    )
    if is_redacted:
        searchable = words(view.claim_number)
    with_first_words = searchable | words(view.policy_number or "", view.partner_reference or "")
    first = view.were_there_first
    shown = {
        "claim_id": view.id,
        "insurer": view.insurer,
        "state": view.state,
        "cause": view.incident.cause,
        "registered_at": view.registered_at,
        "incident_date": view.incident.date,
        "claim_number": view.claim_number,
        "policyholder": "" if is_redacted else view.policyholder.name,
        "place": "" if is_redacted else f"{address.street}, {address.postal_code} {address.city}",
        "handler": view.handler,
    }
    for company in sorted(view.audience):
        found = with_first_words if company in first else searchable
        by_facets = facets(view.state, view.incident.cause, *view.offices_for(company))
        yield {
            **shown,
            "company": company,
            "office": view.office_of(company) or "",
            "words": " ".join(f"'{lexeme}'" for lexeme in lexemes(company, [*found, *by_facets])),
        }


def office_rows(view: ClaimView) -> Iterator[Row]:
    """Make the rows of `office_listing` for a claim."""
    for company in sorted(view.audience):
        for office in sorted(view.offices_for(company)):
            yield {
                "claim_id": view.id,
                "company": company,
                "office": office,
                "state": view.state,
                "cause": view.incident.cause,
                "registered_at": view.registered_at,
                "incident_date": view.incident.date,
            }


def words(*texts: str) -> set[str]:
    """Take texts apart into what can be searched for."""
    return {word for text in texts for word in _WORD.findall(folded(text))}


def facets(state: str | None, cause: str | None, *offices: str | None) -> list[str]:
    """The words that stand for what a list is filtered by; no word of a text has an equals sign."""
    values = [("state", state), ("cause", cause), *(("office", office) for office in offices)]
    return [f"{name}={value}" for name, value in values if value]


def lexemes(company: str, found: Iterable[str]) -> list[str]:
    """Make words a company's own, so that no list of the index has other companies' claims."""
    return sorted(f"{company}/{word}" for word in found)


def task_rows(view: ClaimView) -> Iterator[Row]:
    """Make the rows of `open_tasks` for a claim."""
    if view.state is State.CANCELLED or view.redacted_at is not None:
        return
    for task in view.tasks:
        if not task.finished:
            yield {
                "claim_id": view.id,
                "task_id": task.task_id,
                "insurer": view.insurer,
                "company": task.company,
                "office": task.office,
                "kind": task.kind,
                "claim_number": view.claim_number,
                "assigned_at": task.assigned_at,
                "waits_for_budget": task.waits_for_budget,
            }


_ROWS_OF: Mapping[Table, Callable[[ClaimView], Iterator[Row]]] = {
    listing: listing_rows,
    office_listing: office_rows,
    open_tasks: task_rows,
}
"""What claims are found in, with how its rows are made of one."""
_FOUND = {table: insert_of(table) for table in _ROWS_OF}
_FOUND_NO_MORE = {table: deletion_of(table) for table in _ROWS_OF}
