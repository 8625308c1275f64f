"""What reports are counted from, as the stream makes it."""

from collections.abc import Collection, Iterable, Sequence
from operator import attrgetter
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Table, Uuid, bindparam, func, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.reporting.completeness import Completeness
from services.reporting.projection import Changes, Claim, Ending, RefusedCreation
from services.reporting.tables import COUNTED, amended_causes, claims, refusals, tasks, undone_links
from shared.storage.arrays import columns_of_objects, insert_of


class Counted:
    """Claims with what a report counts of them, and refused creation requests."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def changes_to(self, ids: Collection[UUID]) -> Changes:
        """Load the claims that a batch is about. They are locked: an instance that was thought dead waits here."""
        incomplete = await Completeness(self._connection).is_incomplete(hold=True)
        rows = await self._connection.execute(_LOCKED, {"ids": sorted(ids)})
        return Changes(claims={row.claim_id: _claim(row) for row in rows}, incomplete=bool(incomplete))

    async def save(self, changes: Changes, refused_creations: Iterable[RefusedCreation]) -> None:
        """Write what a batch has changed, in the order of the keys so that two writers can't deadlock."""
        await self._insert(claims, [changes.claims[id] for id in sorted(changes.created)])
        await self._update_claims([changes.claims[id] for id in sorted(changes.changed - changes.created)])
        await self._insert(tasks, sorted(changes.tasks, key=attrgetter("task_id")))
        await self._report_tasks(changes)
        await self._insert(amended_causes, changes.causes)
        await self._insert(undone_links, changes.undone_links)
        refused = {(each.company, each.request_id): each for each in refused_creations}
        await self._insert(refusals, [refused[key] for key in sorted(refused)])

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

    async def _insert(self, table: Table, objects: Sequence[Any]) -> None:
        if objects:
            await self._connection.execute(_INSERTED[table], columns_of_objects(objects))


_WANTED = func.unnest(bindparam("ids", type_=ARRAY(Uuid))).table_valued("id").render_derived(name="wanted")
_EACH = select(claims).where(claims.c.claim_id == _WANTED.c.id).with_for_update().lateral("each")
_LOCKED = select(_EACH).select_from(_WANTED.join(_EACH, true()))
"""Looks each up in the index: a plan for all at once, made while the table is small, goes on reading all of it."""

_INSERTED = {table: insert_of(table) for table in COUNTED}
_INSERTED[tasks] = insert_of(tasks, without={"reported_at"})
_INSERTED[refusals] = _INSERTED[refusals].on_conflict_do_nothing()
"""A refused request that comes again was counted."""


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
