"""What pages read: every query names the viewer's company, and finds nothing of a claim that it may not see."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import SecretStr
from sqlalchemy import Select, and_, delete, func, insert, select, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.portal import listing as lists
from services.portal.claim_view import ClaimView
from services.portal.live import ENDED_SESSIONS
from services.portal.seen import as_told
from services.portal.tables import (
    claims,
    ended_sessions,
    history,
    kept_forms,
    kept_outcomes,
    listing,
    open_tasks,
    reports,
    suggestions,
    waiting,
)
from shared.contract.events import CLAIM_EVENTS, ClaimEvent
from shared.contract.fields import TaskKind
from shared.contract.outcomes import OUTCOMES, Outcome
from shared.contract.reports import ReportReady
from shared.contract.suggestions import LinkSuggested, Suggestion
from shared.runtime.settings import DatabaseSettings
from shared.storage.database import engine_for, transaction

MOST_TASKS = 20
"""How many tasks the dashboard shows; the others are counted."""


@dataclass(frozen=True)
class OpenTask:
    """A task that is not finished."""

    claim_id: UUID
    task_id: UUID
    insurer: str
    company: str
    office: str
    kind: TaskKind
    claim_number: str
    assigned_at: datetime


@dataclass(frozen=True)
class OpenTasks:
    """The oldest tasks that wait, and how many there are."""

    first: Sequence[OpenTask]
    count: lists.Count


@dataclass(frozen=True)
class ShortClaim:
    """The text of a link to a claim."""

    claim_id: UUID
    claim_number: str
    policyholder: str
    place: str


@dataclass(frozen=True)
class KeptForm:
    """What a user had typed when the session had ended, to be sent to a path."""

    id: str
    user: str
    path: str
    typed: Sequence[tuple[str, str]]


class Store:
    """Reads on behalf of a company. Raises DatabaseAway."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """Open a transaction."""
        async with transaction(self._engine) as connection:
            yield connection

    async def page(self, company: str, chosen: lists.Filter, zone: str, after: str | None = None) -> lists.Page:
        """Find a part of the company's claims list; raises ValueError for a wrong `after`."""
        async with self.transaction() as connection:
            return await lists.page(connection, company, chosen, zone, after)

    async def claim(self, company: str, id: UUID) -> ClaimView | None:
        """Find a claim that the company may see, with what it was told of it (domain rule 10)."""
        query = select(claims.c.view).join(listing, and_(listing.c.claim_id == claims.c.id))
        async with self.transaction() as connection:
            found = await connection.scalar(query.where(claims.c.id == id, listing.c.company == company))
            sees_all = found is None or await sees_all_of(connection, id, company)
        if found is None:
            return None
        view = ClaimView.model_validate_json(found)
        return view if sees_all else as_told(view, await self.history(company, id))

    async def short(self, company: str, *ids: UUID) -> dict[UUID, ShortClaim]:
        """Find the texts of links to claims, for those that the company may see."""
        async with self.transaction() as connection:
            rows = await connection.execute(_short().where(listing.c.company == company, listing.c.claim_id.in_(ids)))
            return {row.claim_id: ShortClaim(**row._mapping) for row in rows}

    async def history(self, company: str, id: UUID) -> list[ClaimEvent]:
        """What happened to a claim, as far as the company received it."""
        query = select(history.c.type, history.c.event).join(listing, listing.c.claim_id == history.c.claim_id)
        query = query.where(history.c.claim_id == id, listing.c.company == company).order_by(history.c.version)
        async with self.transaction() as connection:
            events = [CLAIM_EVENTS[row.type].model_validate_json(row.event) for row in await connection.execute(query)]
        return [event for event in events if company in event.audience]

    async def unchanged_since(self, insurer: str, moment: datetime, most: int) -> list[tuple[UUID, int]]:
        """Find claims of an insurer to which nothing has happened since, each with its version, the oldest first.

        Only those that nobody needs any more: cancelled, or normal without open tasks, and not redacted.
        """
        parameters = {"insurer": insurer, "moment": moment, "most": most}
        async with self.transaction() as connection:
            return [(row.claim_id, row.version) for row in await connection.execute(_UNCHANGED_SINCE, parameters)]

    async def waiting(self, insurer: str) -> int:
        """How many claims of the insurer need to be linked or converted (domain rule 12)."""
        async with self.transaction() as connection:
            return await connection.scalar(select(waiting.c.claims).where(waiting.c.insurer == insurer)) or 0

    async def tasks_of(self, company: str) -> OpenTasks:
        """The tasks that the company's offices can report on."""
        return await self._tasks(open_tasks.c.company == company, ~open_tasks.c.waits_for_budget)

    async def tasks_without_budget(self, insurer: str) -> OpenTasks:
        """The tasks that wait for the insurer to approve their budget (domain rule 11)."""
        return await self._tasks(open_tasks.c.insurer == insurer, open_tasks.c.waits_for_budget)

    async def _tasks(self, *conditions: Any) -> OpenTasks:
        columns = [column for column in open_tasks.c if column.name != "waits_for_budget"]
        query = select(*columns).where(*conditions).order_by(open_tasks.c.assigned_at).limit(MOST_TASKS)
        some = select(open_tasks.c.task_id).where(*conditions).limit(lists.MOST_COUNTED + 1).subquery()
        async with self.transaction() as connection:
            rows = [OpenTask(**{**row._mapping, "kind": TaskKind(row.kind)}) for row in await connection.execute(query)]
            return OpenTasks(rows, lists.counted(await connection.scalar(select(func.count()).select_from(some)) or 0))

    async def suggestions(self, insurer: str, claim_id: UUID) -> Sequence[Suggestion]:
        """What a temporary claim may belong to, best first; for the insurer alone."""
        query = select(suggestions.c.suggested).where(
            suggestions.c.claim_id == claim_id, suggestions.c.insurer == insurer
        )
        async with self.transaction() as connection:
            suggested = await connection.scalar(query)
        return LinkSuggested.model_validate_json(suggested).suggestions if suggested is not None else []

    async def reports(self, insurer: str) -> list[ReportReady]:
        """The reports that are made, newest first."""
        query = select(reports.c.ready).where(reports.c.insurer == insurer).order_by(reports.c.begins_at.desc())
        async with self.transaction() as connection:
            return [ReportReady.model_validate_json(ready) for ready in await connection.scalars(query)]

    async def report(self, insurer: str, period: str) -> ReportReady | None:
        """Find a period's report."""
        query = select(reports.c.ready).where(reports.c.insurer == insurer, reports.c.period == period)
        async with self.transaction() as connection:
            ready = await connection.scalar(query)
        return ReportReady.model_validate_json(ready) if ready is not None else None

    async def outcome(self, company: str, request_id: str) -> Outcome | None:
        """Find the outcome of a request that the company made in the portal."""
        query = select(kept_outcomes.c.type, kept_outcomes.c.outcome)
        query = query.where(kept_outcomes.c.company == company, kept_outcomes.c.request_id == request_id)
        async with self.transaction() as connection:
            row = (await connection.execute(query)).first()
        return OUTCOMES[row.type].model_validate_json(row.outcome) if row is not None else None

    async def keep_form(self, form: KeptForm) -> None:
        """Keep a form until its user has logged in again, for a day."""
        row = {"id": form.id, "user": form.user, "path": form.path, "typed": json.dumps(form.typed)}
        async with self.transaction() as connection:
            await connection.execute(insert(kept_forms).values(row))

    async def kept_form(self, id: str, user: str) -> KeptForm | None:
        """Find a form that was kept for the user."""
        query = select(kept_forms.c.path, kept_forms.c.typed)
        async with self.transaction() as connection:
            row = (await connection.execute(query.where(kept_forms.c.id == id, kept_forms.c.user == user))).first()
        return KeptForm(id, user, row.path, [(name, value) for name, value in json.loads(row.typed)]) if row else None

    async def forget_forms(self, before: datetime) -> int:
        """Forget the forms that were kept before a moment; return how many."""
        async with self.transaction() as connection:
            return (await connection.execute(delete(kept_forms).where(kept_forms.c.kept_at < before))).rowcount

    async def end_session(self, id: str) -> None:
        """End a session at every instance: each is notified."""
        async with self.transaction() as connection:
            await connection.execute(upsert(ended_sessions).values(id=id).on_conflict_do_nothing())
            await connection.execute(select(func.pg_notify(ENDED_SESSIONS, id)))

    async def forget_sessions(self, before: datetime) -> int:
        """Forget the sessions that were ended before a moment; return how many."""
        async with self.transaction() as connection:
            return (await connection.execute(delete(ended_sessions).where(ended_sessions.c.ended_at < before))).rowcount

    async def shows(self, claim_id: UUID, request_id: str) -> bool:
        """Whether what a request did to a claim is in the read model."""
        query = select(history.c.version).where(history.c.claim_id == claim_id, history.c.request_id == request_id)
        async with self.transaction() as connection:
            return await connection.scalar(query.limit(1)) is not None


_UNCHANGED_SINCE = text("""
    select listed.claim_id, last.version from listing as listed
    cross join lateral (
        select version, event from history where history.claim_id = listed.claim_id order by version desc limit 1
    ) as last
    where listed.company = :insurer and listed.insurer = :insurer and listed.registered_at < :moment
        and listed.state <> 'temporary' and listed.place <> ''
        and (cast(last.event as jsonb) ->> 'at')::timestamptz < :moment
        and not exists (select from open_tasks where open_tasks.claim_id = listed.claim_id)
    order by listed.registered_at, listed.claim_id limit :most
""")
"""A redacted claim has no place."""


def _short() -> Select[Any]:
    return select(listing.c.claim_id, listing.c.claim_number, listing.c.policyholder, listing.c.place)


async def sees_all_of(connection: AsyncConnection, claim_id: UUID, company: str) -> bool:
    """Whether the claim's first event was the company's too, or is older than what is known."""
    query = select(history.c.event).where(history.c.claim_id == claim_id).order_by(history.c.version).limit(1)
    first = await connection.scalar(query)
    return first is None or company in json.loads(first)["audience"]


async def forget_claims(database_url: str) -> None:
    """Forget what pages show of claims, for a rebuild; uploads, outcomes, suggestions and reports stay."""
    engine = engine_for(DatabaseSettings(database_url=SecretStr(database_url)))
    try:
        async with transaction(engine) as connection:
            await connection.execute(
                text("truncate claims, history, listing, office_listing, waiting, open_tasks, media, media_claims")
            )
    finally:
        await engine.dispose()
