"""What the record of claims holds, for operators' commands."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

from pydantic import SecretStr
from sqlalchemy import func, select, tuple_

from services.claims.claim import State
from services.claims.decisions import RequestKey
from services.claims.tables import IS_REFUSED_CREATION, claims, requests
from shared.runtime.settings import DatabaseSettings
from shared.storage.database import engine_for, transaction


@dataclass(frozen=True, slots=True)
class Recorded:
    """A claim of the record, or the request for one that was refused."""

    claim_id: UUID
    refused: RequestKey | None = None


async def recorded_claims(database_url: str, at_a_time: int = 1000) -> AsyncIterator[list[Recorded]]:
    """Yield all that `republish-claim` can send again: claims, then refused creations that count."""
    engine = engine_for(DatabaseSettings(database_url=SecretStr(database_url)))
    try:
        claim = UUID(int=0)
        while True:
            async with transaction(engine) as connection:
                rows = await connection.execute(
                    select(claims.c.id).where(claims.c.id > claim).order_by(claims.c.id).limit(at_a_time)
                )
                found = [Recorded(row.id) for row in rows]
            if not found:
                break
            yield found
            claim = found[-1].claim_id
        request: RequestKey | None = ("", "")
        while request is not None:
            async with transaction(engine) as connection:
                rows = await connection.execute(
                    select(requests.c.company, requests.c.request_id, requests.c.claim_id)
                    .where(tuple_(requests.c.company, requests.c.request_id) > request, IS_REFUSED_CREATION)
                    .order_by(requests.c.company, requests.c.request_id)
                    .limit(at_a_time)
                )
                found = [Recorded(row.claim_id, (row.company, row.request_id)) for row in rows]
            if found:
                yield found
            request = found[-1].refused if found else None
    finally:
        await engine.dispose()


async def count_temporary_claims(database_url: str) -> dict[str, int]:
    """Count the claims of each insurer that are temporary still."""
    engine = engine_for(DatabaseSettings(database_url=SecretStr(database_url)))
    try:
        async with transaction(engine) as connection:
            rows = await connection.execute(
                select(claims.c.insurer, func.count().label("waiting"))
                .where(claims.c.state == State.TEMPORARY)
                .group_by(claims.c.insurer)
                .order_by(claims.c.insurer)
            )
            return {row.insurer: row.waiting for row in rows}
    finally:
        await engine.dispose()
