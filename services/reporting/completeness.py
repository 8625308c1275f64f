"""Whether what reports are counted from can lack claims, and the rebuild that mends it."""

import json
from collections.abc import Mapping

from aiokafka import TopicPartition
from sqlalchemy import select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.reporting.tables import COUNTED, projection


class Completeness:
    """What is known of it, in one row."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def is_incomplete(self, *, hold: bool = False) -> bool | None:
        """Whether claims can be missing; None until it is set, in a new database.

        With `hold` no rebuild begins before the transaction ends.
        """
        query = select(projection.c.incomplete)
        if hold:
            query = query.with_for_update(read=True)
        found: bool | None = (await self._connection.execute(query)).scalar_one_or_none()
        return found

    async def set_incomplete(self, incomplete: bool) -> None:
        """Set whether claims can be missing."""
        statement = upsert(projection).values(incomplete=incomplete)
        await self._connection.execute(
            statement.on_conflict_do_update(
                index_elements=[projection.c.one], set_={"incomplete": statement.excluded.incomplete}
            )
        )

    async def notice(self, deleted: Mapping[TopicPartition, int]) -> bool:
        """Remember up to where messages were deleted unread; return whether that is more than was known."""
        row = (await self._connection.execute(select(projection.c.noticed).with_for_update())).scalar_one()
        noticed: dict[str, int] = json.loads(row)
        found = {f"{partition.topic}/{partition.partition}": offset for partition, offset in deleted.items()}
        more = {place: offset for place, offset in found.items() if offset > noticed.get(place, 0)}
        if more:
            await self._connection.execute(update(projection).values(noticed=json.dumps(noticed | more)))
        return bool(more)

    async def begin_rebuild(self, rebuild: str) -> None:
        """Throw away what the stream has made; until `end_rebuild` claims are missing, and no period is closed."""
        await self._connection.execute(text("set local lock_timeout = 0"))  # a report may be in the making
        await self.set_incomplete(True)
        await self._connection.execute(update(projection).values(rebuild=rebuild))
        await self._connection.execute(text(f"truncate {', '.join(table.name for table in COUNTED)}"))

    async def end_rebuild(self, rebuild: str) -> bool:
        """Note that nothing is missing any more; False if another rebuild was begun meanwhile."""
        done = await self._connection.execute(
            update(projection).where(projection.c.rebuild == rebuild).values(incomplete=False, rebuild=None)
        )
        return done.rowcount == 1
