"""Reporting's database: one transaction for each batch and for each report, with a part for each of its subjects."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.reporting.completeness import Completeness
from services.reporting.counted import Counted
from services.reporting.counting import Counting
from services.reporting.kept_reports import KeptReports
from shared.storage.database import transaction

NO_LIMITS = ("idle_in_transaction_session_timeout", "transaction_timeout")
"""What is set to nothing where much is counted."""


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
            for limit in NO_LIMITS if unlimited else ():
                await connection.execute(text(f"set local {limit} = 0"))
            yield Transaction(connection)


class Transaction:
    """One transaction, with a part for each subject."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection
        self.counted = Counted(connection)
        self.completeness = Completeness(connection)
        self.reports = KeptReports(connection)
        self.counting = Counting(connection)
