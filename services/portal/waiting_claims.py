"""How many temporary claims wait, by insurer and age: counted once a minute from an index, for metrics."""

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.portal.claim_view import State
from services.portal.tables import listing, waiting
from shared.errors import kind_and_place
from shared.runtime import metrics
from shared.runtime.logs import log
from shared.storage.database import transaction

AGES = {"day": timedelta(days=1), "three_days": timedelta(days=3), "week": timedelta(days=7), "longer": timedelta.max}
"""What an age is called, and how old a claim of it is at most."""
_EVERY_S = 60.0


class WaitingClaims:
    """Counts for as long as the service runs."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._counting: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin; safe to repeat."""
        if self._counting is None:
            self._counting = asyncio.create_task(self._now_and_then())

    async def stop(self) -> None:
        """Stop."""
        if self._counting is not None:
            self._counting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._counting

    async def count(self, now: datetime) -> None:
        """Count what waits now. Raises DatabaseAway."""
        async with transaction(self._engine) as connection:
            counted = await count_waiting(connection, now)
        metrics.TEMPORARY_CLAIMS.clear()
        for insurer, by_age in counted.items():
            for age, number in by_age.items():
                metrics.TEMPORARY_CLAIMS.labels(insurer, age).set(number)

    async def _now_and_then(self) -> None:
        while True:
            try:
                await self.count(datetime.now(UTC))
            except Exception as error:  # noqa: BLE001 - a gauge that stands still stops nothing else
                log.warning("temporary claims were not counted", reason=kind_and_place(error))
            await asyncio.sleep(_EVERY_S)


async def count_waiting(connection: AsyncConnection, now: datetime) -> dict[str, dict[str, int]]:
    """Count the temporary claims of each insurer that has had some, by age."""
    counted: dict[str, dict[str, int]] = {}
    for insurer in (await connection.execute(select(waiting.c.insurer))).scalars():
        by_age: dict[str, int] = {}
        younger = 0
        for age, at_most in AGES.items():
            # The insurer may see all that is its own, and nobody else's: its list has them in order of registration.
            query = select(func.count()).where(
                listing.c.company == insurer, listing.c.insurer == insurer, listing.c.state == State.TEMPORARY
            )
            if at_most is not timedelta.max:
                query = query.where(listing.c.registered_at > now - at_most)
            number = await connection.scalar(query) or 0
            by_age[age], younger = number - younger, number
        counted[insurer] = by_age
    return counted
