"""Claims, the groups in which they are looked for, pairs that match, and the list last published of each claim."""

import json
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import blake2b
from operator import attrgetter
from typing import Any
from uuid import UUID

from pydantic import SecretStr
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Date,
    Float,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    Uuid,
    bindparam,
    func,
    select,
    text,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.suggestions.batch import Version
from services.suggestions.claim import Claim, State
from services.suggestions.lists import Published
from services.suggestions.particulars import Particulars, blocks_of
from services.suggestions.rules import Found, Match
from shared.contract.suggestions import LinkSuggested, Reason
from shared.domain.claim_numbers import number_key
from shared.runtime.settings import DatabaseSettings
from shared.storage.arrays import columns_of, replacement_of
from shared.storage.database import engine_for, transaction
from shared.storage.positions import positions_table

MOST_OF_A_BLOCK = 40
"""How many claims of a block are compared on either side of the incident date: a town in a storm is one block."""

metadata = MetaData()

positions = positions_table(metadata)

claims = Table(
    "claims",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("insurer", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("claim_number", Text, nullable=False),
    Column("number_key", Text),
    Column("particulars", Text, nullable=False),
    Index("claims_by_number", "claim_number"),
    Index("claims_by_number_key", "number_key"),
)
"""Each claim whose first event was met."""

blocks = Table(
    "blocks",
    metadata,
    Column("block", BigInteger, primary_key=True),
    Column("temporary", Boolean, primary_key=True),
    Column("incident_date", Date, primary_key=True),
    Column("claim_id", Uuid, primary_key=True),
    Index("blocks_by_claim", "claim_id"),
)
"""The groups in which each claim that is not cancelled is looked for, in the order in which they are searched."""

matches = Table(
    "matches",
    metadata,
    Column("temporary_id", Uuid, primary_key=True),
    Column("claim_id", Uuid, primary_key=True),
    Column("weight", Float, nullable=False),
    Column("found", Text, nullable=False),
    Index("matches_by_claim", "claim_id"),
)
"""Each pair of a temporary and a normal claim that is likely enough, whether it is among the first or not."""

suggestions = Table(
    "suggestions",
    metadata,
    Column("claim_id", Uuid, primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("cause_claim_id", Uuid, nullable=False),
    Column("cause_version", Integer, nullable=False),
    Column("body", Text, nullable=False),
    Index("suggestions_by_cause", "cause_claim_id", "cause_version"),
)
"""The list of each temporary claim as it was last published, with the event that led to it."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A temporary claim and a normal one that were compared."""

    temporary_id: UUID
    claim_id: UUID
    match: Match


class Store:
    """Opens one transaction for each batch."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @asynccontextmanager
    async def transaction(self, insurers: Collection[str]) -> AsyncIterator["Transaction"]:
        """Commit what is done inside, or nothing, while nobody else does anything about these insurers' claims.

        Two claims that match can be in two partitions: without the lock, of two instances each would miss the other's.
        """
        async with transaction(self._engine) as connection:
            await connection.execute(
                text("select pg_advisory_xact_lock(lock) from unnest(cast(:locks as bigint[])) as lock"),
                {"locks": sorted({_lock(insurer) for insurer in insurers})},
            )
            yield Transaction(connection)


class Transaction:
    """One transaction's view."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection

    async def claims(self, ids: Collection[UUID]) -> dict[UUID, Claim]:
        """Find claims by id."""
        if not ids:
            return {}
        rows = await self.connection.execute(select(claims).where(claims.c.id == _any_of("ids")), {"ids": list(ids)})
        return {row.id: _claim(row) for row in rows}

    async def save(self, changed: Mapping[UUID, Claim], moved: Collection[UUID]) -> set[tuple[UUID, UUID]]:
        """Write claims, and forget the moved ones' matches; return which those were, temporary claim and normal one."""
        if changed:
            await self.connection.execute(_CHANGED_CLAIMS, columns_of([row_of(changed[id]) for id in sorted(changed)]))
        if not moved:
            return set()
        ids = {"ids": list(moved)}
        await self.connection.execute(blocks.delete().where(blocks.c.claim_id == _any_of("ids")), ids)
        await self._save_blocks([changed[id] for id in moved if changed[id].state is not State.CANCELLED])
        gone = await self.connection.execute(_FORGET_MATCHES, ids)
        return {(row.temporary_id, row.claim_id) for row in gone}

    async def candidates(self, moved: Collection[UUID]) -> set[tuple[UUID, UUID]]:
        """Find whom to compare moved claims with: pairs of a temporary claim and a normal one that share a block."""
        if not moved:
            return set()
        found = await self.connection.execute(_CANDIDATES, {"ids": list(moved), "most": MOST_OF_A_BLOCK})
        return {(row.near, row.id) if row.near_is_temporary else (row.id, row.near) for row in found}

    async def save_matches(self, pairs: Sequence[Pair]) -> None:
        """Write new matches."""
        if pairs:
            await self.connection.execute(
                _SAVE_MATCHES,
                {
                    "temporaries": [pair.temporary_id for pair in pairs],
                    "claims": [pair.claim_id for pair in pairs],
                    "weights": [pair.match.weight for pair in pairs],
                    "found": [json.dumps(pair.match.found) for pair in pairs],
                },
            )

    async def matches_of(self, temporaries: Collection[UUID]) -> dict[UUID, list[tuple[UUID, str, Match]]]:
        """Find all matches of temporary claims, with their numbers."""
        found: dict[UUID, list[tuple[UUID, str, Match]]] = {id: [] for id in temporaries}
        if temporaries:
            rows = await self.connection.execute(
                select(matches, claims.c.claim_number)
                .join(claims, claims.c.id == matches.c.claim_id)
                .where(matches.c.temporary_id == _any_of("ids")),
                {"ids": list(temporaries)},
            )
            for row in rows:
                match = Match(row.weight, tuple(Found(Reason(code), days) for code, days in json.loads(row.found)))
                found[row.temporary_id].append((row.claim_id, row.claim_number, match))
        return found

    async def now_ms(self) -> int:
        """The database's clock, in milliseconds since 1970 UTC."""
        now = await self.connection.execute(select(func.extract("epoch", func.clock_timestamp())))
        return int(now.scalar_one() * 1000)

    async def published(self, ids: Collection[UUID]) -> dict[UUID, Published]:
        """Find the lists last published of claims."""
        if not ids:
            return {}
        rows = await self.connection.execute(
            select(suggestions).where(suggestions.c.claim_id == _any_of("ids")), {"ids": list(ids)}
        )
        return {row.claim_id: _published(row) for row in rows}

    async def caused_by(self, events: Collection[Version]) -> list[Published]:
        """Find the lists that these events led to and that are still the last ones."""
        if not events:
            return []
        rows = await self.connection.execute(
            _CAUSED_BY, {"claims": [id for id, _ in events], "versions": [version for _, version in events]}
        )
        return [_published(row) for row in rows]

    async def publish(self, lists: Sequence[Published]) -> None:
        """Write the lists that are to be published."""
        if lists:
            rows = [
                {
                    "claim_id": each.claim_id,
                    "revision": each.revision,
                    "cause_claim_id": each.cause[0],
                    "cause_version": each.cause[1],
                    "body": each.body.decode(),
                }
                for each in sorted(lists, key=attrgetter("claim_id"))
            ]
            await self.connection.execute(_PUBLISHED, columns_of(rows))

    async def _save_blocks(self, moved: Iterable[Claim]) -> None:
        rows = [
            (block, claim.state is State.TEMPORARY, claim.particulars.incident_date, claim.id)
            for claim in moved
            for block in blocks_of(claim.insurer, claim.particulars)
        ]
        if rows:
            columns = zip(("blocks", "temporary", "dates", "claims"), zip(*rows, strict=True), strict=True)
            await self.connection.execute(_SAVE_BLOCKS, {name: list(values) for name, values in columns})


_CHANGED_CLAIMS, _PUBLISHED = replacement_of(claims), replacement_of(suggestions)

_SAVE_BLOCKS = text("""
    insert into blocks (block, temporary, incident_date, claim_id)
    select * from unnest(cast(:blocks as bigint[]), cast(:temporary as boolean[]), cast(:dates as date[]),
                         cast(:claims as uuid[]))
""")

_CANDIDATES = text("""
    select distinct moved.claim_id as id, near.claim_id as near, not moved.temporary as near_is_temporary
    from (select * from blocks where claim_id = any(cast(:ids as uuid[]))) as moved
    cross join lateral (
        (select claim_id from blocks as b
         where b.block = moved.block and b.temporary = not moved.temporary and b.incident_date <= moved.incident_date
         order by b.incident_date desc, b.claim_id desc limit :most)
        union all
        (select claim_id from blocks as b
         where b.block = moved.block and b.temporary = not moved.temporary and b.incident_date > moved.incident_date
         order by b.incident_date, b.claim_id limit :most)
    ) as near
""")

_FORGET_MATCHES = text("""
    delete from matches where temporary_id = any(cast(:ids as uuid[])) or claim_id = any(cast(:ids as uuid[]))
    returning temporary_id, claim_id
""")

_SAVE_MATCHES = text("""
    insert into matches (temporary_id, claim_id, weight, found)
    select * from unnest(cast(:temporaries as uuid[]), cast(:claims as uuid[]), cast(:weights as float8[]),
                         cast(:found as text[]))
""")

_CAUSED_BY = text("""
    select s.* from suggestions as s
    join unnest(cast(:claims as uuid[]), cast(:versions as integer[])) as event (claim_id, version)
    on s.cause_claim_id = event.claim_id and s.cause_version = event.version
    order by s.claim_id
""").columns(*suggestions.c)


def _any_of(name: str) -> Any:
    return func.any(bindparam(name, type_=ARRAY(Uuid)))


def _lock(insurer: str) -> int:
    return int.from_bytes(blake2b(f"suggestions/{insurer}".encode(), digest_size=8).digest(), "big", signed=True)


def row_of(claim: Claim) -> dict[str, Any]:
    """Make the row of `claims` for a claim."""
    return {
        "id": claim.id,
        "insurer": claim.insurer,
        "version": claim.version,
        "state": claim.state,
        "claim_number": claim.claim_number,
        "number_key": number_key(claim.claim_number),
        "particulars": claim.particulars.model_dump_json(),
    }


def _claim(row: Any) -> Claim:
    return Claim(
        id=row.id,
        insurer=row.insurer,
        version=row.version,
        state=State(row.state),
        claim_number=row.claim_number,
        particulars=Particulars.model_validate_json(row.particulars),
    )


def _published(row: Any) -> Published:
    return Published(row.claim_id, row.revision, (row.cause_claim_id, row.cause_version), row.body.encode())


@dataclass(frozen=True, slots=True)
class ClaimSuggestions:
    """A claim and what is suggested for it, for operators."""

    claim: Claim
    published: LinkSuggested | None
    """None if there never was a suggestion."""


async def forget_claims(database_url: str) -> None:
    """Forget all claims, for a rebuild; what insurers received stays, so that they are sent what differs."""
    engine = engine_for(DatabaseSettings(database_url=SecretStr(database_url)))
    try:
        async with transaction(engine) as connection:
            await connection.execute(text("truncate claims, blocks, matches"))
    finally:
        await engine.dispose()


async def suggestions_for(database_url: str, claim: str, insurer: str | None = None) -> list[ClaimSuggestions]:
    """Find what is suggested for a claim by its id or number; claims of several insurers can have the same number."""
    engine = engine_for(DatabaseSettings(database_url=SecretStr(database_url)))
    try:
        async with transaction(engine) as connection:
            which = (claims.c.number_key == number_key(claim)) | (claims.c.claim_number == claim)
            if (id := _uuid(claim)) is not None:
                which |= claims.c.id == id
            if insurer is not None:
                which &= claims.c.insurer == insurer
            rows = await connection.execute(
                select(claims, suggestions.c.body)
                .outerjoin(suggestions, suggestions.c.claim_id == claims.c.id)
                .where(which)
                .order_by(claims.c.insurer)
            )
            return [
                ClaimSuggestions(_claim(row), None if row.body is None else LinkSuggested.model_validate_json(row.body))
                for row in rows
            ]
    finally:
        await engine.dispose()


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
