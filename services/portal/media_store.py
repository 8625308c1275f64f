"""What the portal's database knows of files: uploads, the media of claims, and who may see each claim's."""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

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
    delete,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.portal.store import sees_all_of
from services.portal.tables import history
from shared.contract.events import (
    ClaimEvent,
    ClaimRedacted,
    ClaimUnlinked,
    ContentImported,
    ContentWithdrawn,
    ReportedMedia,
    TaskReported,
)
from shared.contract.uploads import NewUpload
from shared.storage.arrays import columns_of, insert_of, replacement_of
from shared.storage.database import transaction

metadata = MetaData()

uploads = Table(
    "uploads",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("company", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("content_type", Text, nullable=False),
    Column("size", Integer, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("started_at", DateTime(timezone=True), nullable=False),
    Column("completed_at", DateTime(timezone=True)),
    Column("named", Boolean, nullable=False),
    Index("uploads_unnamed", "company", "started_at", postgresql_where=text("not named")),
)
"""Every upload; the one table here that events cannot make again. `named` says that a report has named it."""

media_claims = Table(
    "media_claims",
    metadata,
    Column("claim_id", Uuid, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("audience", ARRAY(Text), nullable=False),
)
"""Who may see a claim (domain rule 10), and which of its events was applied last."""

media = Table(
    "media",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("claim_id", Uuid, primary_key=True),
    Column("task_id", Uuid, nullable=False),
    Column("stored_as", Uuid, nullable=False),
    Column("name", Text, nullable=False),
    Column("content_type", Text, nullable=False),
    Index("media_of_task", "claim_id", "task_id"),
    Index("media_stored_as", "stored_as"),
)
"""Each file of a claim, and the id under which the store has its bytes.

When a link is taken back, a file that was reported at its target is the temporary claim's from then on, with the same
id; which of the two claims' events are read first must not matter.
"""

removals = Table("removals", metadata, Column("stored_as", Uuid, primary_key=True))
"""The ids under which the store has, or had, files of redacted claims, until they are removed from it."""


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload as it was announced."""

    id: UUID
    company: str
    name: str
    content_type: str
    size: int
    """Bytes."""
    sha256: str
    started_at: datetime
    completed_at: datetime | None


@dataclass(frozen=True, slots=True)
class File:
    """A file of a claim."""

    stored_as: UUID
    """The id under which the store has its bytes."""
    name: str
    content_type: str


class MediaTables:
    """Reads and writes what pages and systems ask for, each call in a transaction of its own. Raises DatabaseAway."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def start_upload(self, id: UUID, company: str, wanted: NewUpload, at: datetime) -> None:
        """Remember what an upload is going to be."""
        row = {"id": id, "company": company, **dict(wanted), "started_at": at, "named": False}
        async with transaction(self._engine) as connection:
            await connection.execute(insert(uploads), row)

    async def upload(self, id: UUID) -> Upload | None:
        """Find an upload."""
        columns = [column for column in uploads.c if column is not uploads.c.named]
        async with transaction(self._engine) as connection:
            row = (await connection.execute(select(*columns).where(uploads.c.id == id))).one_or_none()
        return None if row is None else Upload(**row._mapping)

    async def complete_upload(self, id: UUID, at: datetime) -> datetime:
        """Remember that an upload was verified; return when it was: the first time that this was noted."""
        async with transaction(self._engine) as connection:
            completed_at: datetime = (
                await connection.execute(
                    update(uploads)
                    .where(uploads.c.id == id)
                    .values(completed_at=func.coalesce(uploads.c.completed_at, at))
                    .returning(uploads.c.completed_at)
                )
            ).scalar_one()
        return completed_at

    async def unnamed_bytes(self, company: str) -> int:
        """How many bytes a company has announced that no report has named."""
        query = select(func.coalesce(func.sum(uploads.c.size), 0))
        async with transaction(self._engine) as connection:
            total = await connection.execute(query.where(uploads.c.company == company, ~uploads.c.named))
        return int(total.scalar_one())

    async def unnamed_since_before(self, moment: datetime) -> list[UUID]:
        """The uploads that were started before a moment and that no report has named."""
        async with transaction(self._engine) as connection:
            found = await connection.execute(
                select(uploads.c.id).where(~uploads.c.named, uploads.c.started_at < moment)
            )
        return list(found.scalars())

    async def forget_upload(self, id: UUID) -> None:
        """Forget an upload whose bytes are removed."""
        async with transaction(self._engine) as connection:
            await connection.execute(delete(uploads).where(uploads.c.id == id))

    async def to_remove(self, most: int) -> list[UUID]:
        """Files of redacted claims to remove from the store; one that another claim has too stays."""
        is_shared = select(media.c.id).where(media.c.stored_as == removals.c.stored_as).correlate(removals).exists()
        async with transaction(self._engine) as connection:
            await connection.execute(delete(removals).where(is_shared))
            found = await connection.scalars(select(removals.c.stored_as).order_by(removals.c.stored_as).limit(most))
            return list(found)

    async def removed(self, ids: Sequence[UUID]) -> None:
        """Forget files that the store has no longer, and their uploads."""
        async with transaction(self._engine) as connection:
            await connection.execute(delete(uploads).where(uploads.c.id.in_(ids)))
            await connection.execute(delete(removals).where(removals.c.stored_as.in_(ids)))

    async def file(self, id: UUID, company: str) -> File | None:
        """Find a file of a claim that a company may see, and was told of (domain rule 10)."""
        query = select(media.c.claim_id, media.c.stored_as, media.c.name, media.c.content_type)
        query = query.join(media_claims, media_claims.c.claim_id == media.c.claim_id)
        async with transaction(self._engine) as connection:
            rows = await connection.execute(query.where(media.c.id == id, media_claims.c.audience.any_() == company))
            for row in rows.all():
                if await _was_told_of(connection, row.claim_id, id, company):
                    return File(row.stored_as, row.name, row.content_type)
        return None


async def _was_told_of(connection: AsyncConnection, claim_id: UUID, id: UUID, company: str) -> bool:
    """Whether the company was there from the claim's first event on, or received one that names the file."""
    if await sees_all_of(connection, claim_id, company):
        return True
    naming = select(history.c.event).where(history.c.claim_id == claim_id, history.c.event.contains(str(id)))
    return any(company in json.loads(event)["audience"] for event in await connection.scalars(naming))


async def save_media(connection: AsyncConnection, events: Sequence[ClaimEvent]) -> None:
    """Save the media that events name and who may see them; an event that was saved before changes nothing."""
    if not events:
        return
    changes = MediaChanges(await _versions(connection, {event.claim_id for event in events}))
    for event in events:
        changes.apply(event)
    await changes.write(connection)


async def _versions(connection: AsyncConnection, claims: Collection[UUID]) -> dict[UUID, int]:
    """The last event of each claim, and let no other instance change these claims until this one is done.

    A claim that is new has none; no other instance saves its first event at the same time, since `history` has it once.
    """
    rows = await connection.execute(
        select(media_claims.c.claim_id, media_claims.c.version)
        .where(media_claims.c.claim_id == func.any(bindparam("ids", type_=ARRAY(Uuid))))
        .order_by(media_claims.c.claim_id)
        .with_for_update(),
        {"ids": list(claims)},
    )
    return {row.claim_id: row.version for row in rows}


class MediaChanges:
    """What a batch of events comes to."""

    def __init__(self, versions: dict[UUID, int]) -> None:
        self._versions = versions
        self._audiences: dict[UUID, list[str]] = {}
        self.files: dict[tuple[UUID, UUID], dict[str, Any]] = {}
        self._withdrawn: set[tuple[UUID, UUID]] = set()
        self._redacted: dict[UUID, set[UUID]] = {}
        """Redacted claims, each with ids under which the store may have files of it besides those that are known."""

    def apply(self, event: ClaimEvent) -> None:
        """Add the next event."""
        if event.version <= self._versions.get(event.claim_id, 0):
            return
        self._versions[event.claim_id] = event.version
        self._audiences[event.claim_id] = event.audience_after
        for file in _files_of(event):
            self.files[file["id"], file["claim_id"]] = file
        if isinstance(event, ContentWithdrawn):
            withdrawn = {(event.claim_id, task) for task in event.task_ids}
            self._withdrawn |= withdrawn
            self.files = {
                key: file for key, file in self.files.items() if (file["claim_id"], file["task_id"]) not in withdrawn
            }

        if isinstance(event, ClaimRedacted):
            own = {key: file for key, file in self.files.items() if file["claim_id"] == event.claim_id}
            self.files = {key: file for key, file in self.files.items() if key not in own}
            also = self._redacted.setdefault(event.claim_id, set())
            also |= {*event.media_ids, *(file["stored_as"] for file in own.values())}

    async def write(self, connection: AsyncConnection) -> None:
        """Write it."""
        for claim, also in sorted(self._redacted.items()):
            gone = await connection.execute(delete(media).where(media.c.claim_id == claim).returning(media.c.stored_as))
            ids = sorted(also | set(gone.scalars()))
            if ids:
                await connection.execute(_REMOVALS, columns_of([{"stored_as": id} for id in ids]))
        for claim, task in sorted(self._withdrawn):
            await connection.execute(delete(media).where(media.c.claim_id == claim, media.c.task_id == task))
        if self._audiences:
            claims = sorted(self._audiences)
            versions = [self._versions[claim] for claim in claims]
            audiences = [" ".join(self._audiences[claim]) for claim in claims]
            await connection.execute(_WHO_MAY_SEE, {"claims": claims, "versions": versions, "audiences": audiences})
        if self.files:
            await connection.execute(_FILES, columns_of(list(self.files.values())))
            ids = [file["stored_as"] for file in self.files.values()]  # a copy that a link made is no upload
            await connection.execute(update(uploads).where(uploads.c.id.in_(ids)).values(named=True))


def _files_of(event: ClaimEvent) -> Iterable[dict[str, Any]]:
    reports: Iterable[tuple[UUID, Sequence[ReportedMedia]]]
    if isinstance(event, TaskReported):
        reports = [(event.task_id, event.report.media)]
    elif isinstance(event, ContentImported | ClaimUnlinked):
        reports = [(task.task_id, report.media) for task in event.tasks for report in task.reports]
    else:
        return
    for task_id, files in reports:
        for file in files:
            yield {
                "id": file.media_id,
                "claim_id": event.claim_id,
                "task_id": task_id,
                "stored_as": file.stored_as,
                "name": file.name,
                "content_type": file.content_type,
            }


_FILES = replacement_of(media)
_REMOVALS = insert_of(removals).on_conflict_do_nothing()
_WHO_MAY_SEE = text("""
    insert into media_claims (claim_id, version, audience)
    select claim_id, version, string_to_array(companies, ' ')
    from unnest(cast(:claims as uuid[]), cast(:versions as integer[]), cast(:audiences as text[]))
        as event (claim_id, version, companies)
    on conflict (claim_id) do update set version = excluded.version, audience = excluded.audience
""")
