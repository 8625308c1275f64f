"""A service's positions in its own PostgreSQL, moved on in the transaction of what was decided."""

from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka import TopicPartition
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    DateTime,
    Integer,
    MetaData,
    Table,
    Text,
    and_,
    bindparam,
    case,
    column,
    exists,
    func,
    select,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.messaging.positions import Behind, Move, Positions
from shared.storage.database import transaction

BEFORE_POSITIONS = "*"
"""The topic of a row that says that the database is older than its positions: a missing one tells nothing."""


def positions_table(metadata: MetaData) -> Table:
    """Make the table of a service's positions: the next offset of each partition whose outcome is not in the database.

    `server_since` is when the server was started that has moved it last: another one may be a replica that lacks some.
    The table is locked and written in the order of its key.
    """
    return Table(
        "positions",
        metadata,
        Column("topic", Text, primary_key=True),
        Column("partition", Integer, primary_key=True),
        Column("next_offset", BigInteger, nullable=False),
        Column("server_since", DateTime(timezone=True)),
    )


_positions = positions_table(MetaData())


class KeptPositions(Positions):
    """The positions of a service that reads again whatever its database has lost."""

    doubts_new_servers = False
    """Whether a server that is another one counts as one that may have lost something."""

    def __init__(self, engine: AsyncEngine) -> None:
        super().__init__()
        self._engine = engine

    async def move(self, connection: AsyncConnection) -> None:
        """Make the moves of the batch in hand, in its transaction. Raises Behind, which ends it."""
        if self.moves:
            found = (await connection.execute(MOVE, columns_of_moves(self.moves))).all()
            raise_if_behind(self.moves, found, doubting_new_servers=self.doubts_new_servers)

    async def check(self) -> None:
        """Make the moves in a transaction of their own."""
        async with transaction(self._engine) as connection:
            await self.move(connection)

    async def recover(self, behind: Behind) -> Mapping[TopicPartition, int]:
        """Have all that was lost read again, which leads to the same."""
        return {partition: lost.start for partition, lost in behind.lost.items()}


def columns_of_moves(moves: Sequence[Move]) -> dict[str, list[Any]]:
    """The parameters of MOVE, in the order of the table's key."""
    ordered = sorted(moves)
    return {f"moves_{name}": [getattr(move, name) for move in ordered] for name in Move._fields}


def raise_if_behind(moves: Sequence[Move], rows: Sequence[Any], *, doubting_new_servers: bool) -> None:
    """Raise Behind for the rows that MOVE has found: partitions of which the database has, or may have, lost something.

    Of those it may have, the range is empty.
    """
    came = {TopicPartition(move.topic, move.partition): move.from_offset for move in moves}
    kept = {TopicPartition(row.topic, row.partition): row.next_offset for row in rows}
    lost = {
        at: range(min(offset, came[at]), came[at])
        for at, offset in kept.items()
        if doubting_new_servers or offset < came[at]
    }
    if lost:
        raise Behind(lost)


def _move() -> Any:
    types: dict[str, Any] = {"topic": Text, "partition": Integer, "from_offset": BigInteger, "to_offset": BigInteger}
    arrays = (bindparam(f"moves_{name}", type_=ARRAY(type)) for name, type in types.items())
    rows = func.unnest(*arrays).table_valued(*(column(name, type) for name, type in types.items()))
    moves = rows.render_derived(name="moves")
    server_since = func.pg_postmaster_start_time()
    adding = insert(_positions).from_select(
        ["topic", "partition", "next_offset", "server_since"],
        select(moves.c.topic, moves.c.partition, moves.c.to_offset, server_since),
    )
    moved = adding.on_conflict_do_update(
        index_elements=["topic", "partition"],
        set_={
            "next_offset": func.greatest(_positions.c.next_offset, adding.excluded.next_offset),
            "server_since": adding.excluded.server_since,
        },
        where=(_positions.c.next_offset < adding.excluded.next_offset)
        | _positions.c.server_since.is_distinct_from(adding.excluded.server_since),
    ).cte("moved")
    is_older_than_positions = exists().where(_positions.c.topic == BEFORE_POSITIONS).correlate(None)
    # As it was before the statement: none of its parts sees what the others write.
    kept = func.coalesce(_positions.c.next_offset, case((is_older_than_positions, moves.c.from_offset), else_=0))
    where = and_(_positions.c.topic == moves.c.topic, _positions.c.partition == moves.c.partition)
    return (
        select(moves.c.topic, moves.c.partition, kept.label("next_offset"))
        .select_from(moves.outerjoin(_positions, where))
        .where((kept < moves.c.from_offset) | (_positions.c.server_since != server_since))
        .add_cte(moved)
    )


MOVE = _move()
"""Moves positions on and returns those that are not where they were left, or that another server has moved last.

Executed with `columns_of_moves`.
"""
