"""Counting a period; what each number counts is described in `shared/contract/reports.py`."""

from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.reporting.projection import Ending
from services.reporting.rules import Period
from shared.contract.fields import Cause
from shared.contract.reports import Created, Durations, Figures, RefusedRequests, Tasks


class Counting:
    """Queries of what the stream has made."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

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
