"""What reports are counted from, and the reports as they were made, in PostgreSQL.

`Transaction.figures` counts; what each number counts is said in words in `shared/contract/reports.py`.
"""

import json
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from aiokafka import TopicPartition
from sqlalchemy import (
    ARRAY,
    Boolean,
    Column,
    DateTime,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    Uuid,
    bindparam,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.reporting.projection import Changes, Claim, Ending, Refusal
from services.reporting.rules import Period
from shared.contract.fields import Cause
from shared.contract.reports import Created, Durations, Figures, RefusedRequests, ReportReady, Tasks
from shared.storage.database import transaction

metadata = MetaData()
_Moment = DateTime(timezone=True)

claims = Table(
    "claims",
    metadata,
    Column("claim_id", Uuid, primary_key=True),
    Column("insurer", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("created_at", _Moment),
    Column("office", Text),
    Column("cause", Text),
    Column("inside_office_hours", Boolean),
    Column("ended_as", Text),
    Column("ended_at", _Moment),
    Index("claims_created", "insurer", "created_at", postgresql_where=text("created_at is not null")),
    Index(
        "claims_ended",
        "insurer",
        "ended_at",
        postgresql_include=["created_at"],
        postgresql_where=text("created_at is not null"),
    ),
)
"""Every claim with its version; the rest only of those that were created as temporary claims."""

tasks = Table(
    "tasks",
    metadata,
    Column("task_id", Uuid, primary_key=True),
    Column("claim_id", Uuid, nullable=False),
    Column("insurer", Text, nullable=False),
    Column("assigned_at", _Moment, nullable=False),
    Column("reported_at", _Moment),
    Index("tasks_assigned", "insurer", "assigned_at"),
    Index("tasks_reported", "insurer", "reported_at"),
)
"""Every task that was assigned while its claim was temporary."""

amended_causes = Table(
    "amended_causes",
    metadata,
    Column("claim_id", Uuid, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("insurer", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("at", _Moment, nullable=False),
    Index("amended_causes_at", "insurer", "at"),
)
"""Corrections of the cause of temporary claims; the last one before a period's end counts."""

undone_links = Table(
    "undone_links",
    metadata,
    Column("claim_id", Uuid, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("insurer", Text, nullable=False),
    Column("linked_at", _Moment, nullable=False),
    Column("undone_at", _Moment, nullable=False),
    Index("undone_links_at", "insurer", "undone_at"),
)
"""Links that were undone, so that a period that ended in between can be counted as it was."""

refusals = Table(
    "refusals",
    metadata,
    Column("company", Text, primary_key=True),
    Column("request_id", Text, primary_key=True),
    Column("insurer", Text, nullable=False),
    Column("at", _Moment, nullable=False),
    Column("code", Text, nullable=False),
    Index("refusals_at", "insurer", "at"),
)
"""Every creation request that was refused."""

projection = Table(
    "projection",
    metadata,
    Column("one", Boolean, primary_key=True, server_default=text("true")),
    Column("incomplete", Boolean, nullable=False),
    Column("rebuild", Text),
    Column("noticed", Text, nullable=False, server_default=text("'{}'")),
)
"""One row: whether what is counted here can lack claims, and which rebuild is under way to mend it.

`noticed` has the places up to which it is known that messages were deleted unread: a group that reads nothing from a
partition commits nothing there, so the same is found at each start.
"""

reports = Table(
    "reports",
    metadata,
    Column("insurer", Text, primary_key=True),
    Column("period", Text, primary_key=True),
    Column("begins", _Moment, nullable=False),
    Column("ends", _Moment, nullable=False),
    Column("time_zone", Text, nullable=False),
    Column("short", Boolean, nullable=False),
    Column("message", Text, nullable=False),
    Column("announced", Boolean, nullable=False),
    Index("reports_begin", "insurer", "begins", unique=True),
)
"""Every report as it was made and published (domain rule 20); a rebuild leaves them alone."""

COUNTED = (claims, tasks, amended_causes, undone_links, refusals)
"""What is made from the stream, and can be made again from the record of claims."""

_CLOSING = 0x7265_706F_7274_7300
"""The advisory lock of the instance that closes periods."""
_NO_LIMITS = ("idle_in_transaction_session_timeout", "transaction_timeout")


@dataclass(frozen=True, slots=True)
class MadeReport:
    """A report as it was made."""

    period: Period
    message: ReportReady


class Store:
    """Opens one transaction for each batch, and for each report."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @asynccontextmanager
    async def transaction(self, *, unlimited: bool = False) -> AsyncIterator["Transaction"]:
        """Commit what is done inside, or nothing. Raises Conflict if another writer has done some of it already.

        `unlimited` is for counting, which on much takes longer than the transactions of a batch may.
        """
        async with transaction(self._engine) as connection:
            for limit in _NO_LIMITS if unlimited else ():
                await connection.execute(text(f"set local {limit} = 0"))
            yield Transaction(connection)


class Transaction:
    """One transaction's view of it all."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    # What the stream makes

    async def changes_to(self, ids: Collection[UUID]) -> Changes:
        """Load the claims that a batch is about. They are locked: an instance that was thought dead waits here."""
        incomplete = await self.is_incomplete(hold=True)
        rows = await self._connection.execute(
            select(claims)
            .where(claims.c.claim_id == func.any(bindparam("ids", type_=ARRAY(Uuid))))
            .order_by(claims.c.claim_id)
            .with_for_update(),
            {"ids": list(ids)},
        )
        return Changes(claims={row.claim_id: _claim(row) for row in rows}, incomplete=bool(incomplete))

    async def save(self, changes: Changes, refused: Iterable[Refusal]) -> None:
        """Write what a batch has changed, in the order of the keys so that two writers can't deadlock."""
        await self._insert(claims, [asdict(changes.claims[id]) for id in sorted(changes.created)])
        await self._update_claims([changes.claims[id] for id in sorted(changes.changed - changes.created)])
        await self._insert(tasks, [asdict(task) for task in sorted(changes.tasks, key=lambda task: task.task_id)])
        await self._report_tasks(changes)
        await self._insert(amended_causes, [asdict(cause) for cause in changes.causes])
        await self._insert(undone_links, [asdict(link) for link in changes.undone_links])
        rows = {(r.company, r.request_id): asdict(r) for r in refused}
        if rows:
            statement = upsert(refusals).on_conflict_do_nothing()
            await self._connection.execute(statement, [rows[key] for key in sorted(rows)])

    async def _update_claims(self, changed: list[Claim]) -> None:
        if changed:
            await self._connection.execute(
                update(claims)
                .where(claims.c.claim_id == bindparam("id"))
                .values(
                    version=bindparam("to_version"), ended_as=bindparam("as_ending"), ended_at=bindparam("at_moment")
                ),
                [
                    {"id": c.claim_id, "to_version": c.version, "as_ending": c.ended_as, "at_moment": c.ended_at}
                    for c in changed
                ],
            )

    async def _report_tasks(self, changes: Changes) -> None:
        if changes.reported:
            await self._connection.execute(
                update(tasks)
                .where(tasks.c.task_id == bindparam("id"), tasks.c.reported_at.is_(None))
                .values(reported_at=bindparam("at_moment")),
                [{"id": id, "at_moment": at} for id, at in sorted(changes.reported.items())],
            )

    async def _insert(self, table: Table, rows: list[dict[str, Any]]) -> None:
        if rows:
            await self._connection.execute(insert(table), rows)

    # Whether it is complete

    async def is_incomplete(self, *, hold: bool = False) -> bool | None:
        """Tell whether claims can be missing; None if nobody has said yet, in a new database.

        With `hold` no rebuild begins before the transaction ends.
        """
        query = select(projection.c.incomplete)
        if hold:
            query = query.with_for_update(read=True)
        found: bool | None = (await self._connection.execute(query)).scalar_one_or_none()
        return found

    async def set_incomplete(self, incomplete: bool) -> None:
        """Say whether claims can be missing."""
        statement = upsert(projection).values(incomplete=incomplete)
        await self._connection.execute(
            statement.on_conflict_do_update(
                index_elements=[projection.c.one], set_={"incomplete": statement.excluded.incomplete}
            )
        )

    async def notice(self, deleted: Mapping[TopicPartition, int]) -> bool:
        """Remember up to where messages were deleted unread; tell whether that is more than was known."""
        row = (await self._connection.execute(select(projection.c.noticed).with_for_update())).scalar_one()
        known: dict[str, int] = json.loads(row)
        found = {f"{partition.topic}/{partition.partition}": offset for partition, offset in deleted.items()}
        more = {where: offset for where, offset in found.items() if offset > known.get(where, 0)}
        if more:
            await self._connection.execute(update(projection).values(noticed=json.dumps(known | more)))
        return bool(more)

    async def begin_rebuild(self, rebuild: str) -> None:
        """Throw away what the stream has made; until `end_rebuild` claims are missing, and no period is closed."""
        await self._connection.execute(text("set local lock_timeout = 0"))  # a report may be in the making
        await self.set_incomplete(True)
        await self._connection.execute(update(projection).values(rebuild=rebuild))
        await self._connection.execute(text(f"truncate {', '.join(table.name for table in COUNTED)}"))

    async def end_rebuild(self, rebuild: str) -> bool:
        """Say that nothing is missing any more; False if another rebuild was begun meanwhile."""
        done = await self._connection.execute(
            update(projection).where(projection.c.rebuild == rebuild).values(incomplete=False, rebuild=None)
        )
        return done.rowcount == 1

    # Reports

    async def close_alone(self) -> bool:
        """Be the one instance that closes periods, until the transaction ends; False if another one is."""
        got: bool = (await self._connection.execute(select(func.pg_try_advisory_xact_lock(_CLOSING)))).scalar_one()
        return got

    async def last_report(self, insurer: str) -> MadeReport | None:
        """Find the newest report of an insurer."""
        rows = await self._connection.execute(
            select(reports).where(reports.c.insurer == insurer).order_by(reports.c.begins.desc()).limit(1)
        )
        return _made(rows.one_or_none())

    async def report(self, insurer: str, period: str) -> MadeReport | None:
        """Find the report of a period."""
        rows = await self._connection.execute(
            select(reports).where(reports.c.insurer == insurer, reports.c.period == period)
        )
        return _made(rows.one_or_none())

    async def keep(self, made: MadeReport) -> None:
        """Keep a report as it was made, to be announced."""
        period = made.period
        await self._insert(
            reports,
            [
                {
                    "insurer": made.message.insurer,
                    "period": period.label,
                    "begins": period.begins,
                    "ends": period.ends,
                    "time_zone": period.time_zone,
                    "short": period.short,
                    "message": made.message.json_bytes().decode(),
                    "announced": False,
                }
            ],
        )

    async def to_announce(self, limit: int = 100) -> list[MadeReport]:
        """Find reports that have not been published yet, oldest first."""
        rows = await self._connection.execute(
            select(reports).where(~reports.c.announced).order_by(reports.c.ends, reports.c.insurer).limit(limit)
        )
        return [made for row in rows if (made := _made(row)) is not None]

    async def announced(self, made: Iterable[MadeReport]) -> None:
        """Remember that reports have been published."""
        await self._connection.execute(
            update(reports)
            .where(reports.c.insurer == bindparam("of"), reports.c.period == bindparam("label"))
            .values(announced=True),
            [{"of": report.message.insurer, "label": report.period.label} for report in made],
        )

    # Counting

    async def figures(self, insurer: str, period: Period, *, closed_at: datetime | None) -> Figures:
        """Count a period, as it was at its end: what happened afterwards changes nothing.

        Of a period that is not closed, with `closed_at` None, the figures are preliminary.
        """
        about = {"insurer": insurer, "begins": period.begins, "ends": period.ends}
        ended = {row.how: row for row in await self._connection.execute(_ENDED, about)}
        waiting = (await self._connection.execute(_WAITING, about)).scalar_one()
        counted = (await self._connection.execute(_TASKS, about)).one()
        return Figures(
            insurer=insurer,
            period=period.label,
            from_=period.begins,
            to=period.ends,
            short=True if period.short else None,
            preliminary=closed_at is None,
            closed_at=closed_at,
            created=await self._created(about),
            refused=await self._refused(about),
            converted=_count(ended, Ending.CONVERTED),
            linked=_count(ended, Ending.LINKED),
            cancelled=_count(ended, Ending.CANCELLED),
            waiting=waiting,
            time_to_converted=_durations(ended, Ending.CONVERTED),
            time_to_linked=_durations(ended, Ending.LINKED),
            tasks=Tasks(assigned=counted.assigned, reported=counted.reported),
        )

    async def _created(self, about: dict[str, Any]) -> Created:
        by_office: dict[str, int] = {}
        by_cause: dict[Cause, int] = {}
        inside = outside = 0
        for office, cause, is_inside, count in await self._connection.execute(_CREATED, about):
            by_office[office] = by_office.get(office, 0) + count
            by_cause[Cause(cause)] = by_cause.get(Cause(cause), 0) + count
            inside, outside = (inside + count, outside) if is_inside else (inside, outside + count)
        return Created(
            total=inside + outside,
            inside_office_hours=inside,
            outside_office_hours=outside,
            by_office=dict(sorted(by_office.items())),
            by_cause=dict(sorted(by_cause.items())),
        )

    async def _refused(self, about: dict[str, Any]) -> RefusedRequests:
        by_code = {code: count for code, count in await self._connection.execute(_REFUSED, about)}  # noqa: C416
        return RefusedRequests(total=sum(by_code.values()), by_code=by_code)


_CREATED = text(
    """
    select office, coalesce(amended.cause, claims.cause), inside_office_hours, count(*)
    from claims
    left join (
        select distinct on (claim_id) claim_id, cause
        from amended_causes
        where insurer = :insurer and at < :ends
        order by claim_id, version desc
    ) amended using (claim_id)
    where insurer = :insurer and created_at >= :begins and created_at < :ends
    group by 1, 2, 3
    """
)
_REFUSED = text(
    """
    select code, count(*) from refusals
    where insurer = :insurer and at >= :begins and at < :ends
    group by code order by code
    """
)
_ENDED = text(
    """
    select how, count(*), percentile_cont(array[0.5, 0.9]) within group (order by seconds) as seconds
    from (
        select ended_as as how, greatest(extract(epoch from ended_at - created_at), 0)::double precision as seconds
        from claims
        where insurer = :insurer and created_at is not null and ended_at >= :begins and ended_at < :ends
        union all
        select 'linked', greatest(extract(epoch from linked_at - created_at), 0)::double precision
        from undone_links join claims using (insurer, claim_id)
        where insurer = :insurer and linked_at >= :begins and linked_at < :ends and undone_at >= :ends
    ) ended
    group by how
    """
)
"""A link that was undone after the period counts in it; one that was undone within it does not."""
_WAITING = text(
    """
    select
        (
            select count(*) from claims
            where insurer = :insurer and created_at < :ends and (ended_at >= :ends or ended_at is null)
        ) - (
            select count(*) from undone_links
            where insurer = :insurer and linked_at < :ends and undone_at >= :ends
        )
    """
)
"""The claims that had not ended then, less those whose last ending is later only since an earlier link was undone."""
_TASKS = text(
    """
    select
        (
            select count(*) from tasks where insurer = :insurer and assigned_at >= :begins and assigned_at < :ends
        ) as assigned,
        (
            select count(*) from tasks where insurer = :insurer and reported_at >= :begins and reported_at < :ends
        ) as reported
    """
)


def _count(ended: dict[str, Any], how: Ending) -> int:
    return int(ended[how].count) if how in ended else 0


def _durations(ended: dict[str, Any], how: Ending) -> Durations:
    if how not in ended:
        return Durations()
    median, p90 = ended[how].seconds
    return Durations(median_s=round(median, 3), p90_s=round(p90, 3))


def _claim(row: Any) -> Claim:
    return Claim(
        claim_id=row.claim_id,
        insurer=row.insurer,
        version=row.version,
        created_at=row.created_at,
        office=row.office,
        cause=row.cause,
        inside_office_hours=row.inside_office_hours,
        ended_as=Ending(row.ended_as) if row.ended_as else None,
        ended_at=row.ended_at,
    )


def _made(row: Any) -> MadeReport | None:
    if row is None:
        return None
    period = Period(row.period, row.begins, row.ends, row.time_zone, row.short)
    return MadeReport(period, ReportReady.model_validate_json(row.message))
