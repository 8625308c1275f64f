"""Tables of a service's database that nobody can write for a while: what writes them stops in the middle of it."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import asyncpg

from operations.connection import Connection


@contextmanager
def nobody_writes(connection: Connection, service: str, table: str) -> Iterator[Callable[[], int]]:
    """Let nobody write a table; gives how many transactions wait for it. It can be read all the while."""
    with asyncio.Runner() as runner:
        database = runner.run(asyncpg.connect(connection.databases[service]))
        try:
            transaction = database.transaction()
            runner.run(transaction.start())
            runner.run(database.execute(f"lock table {table} in share mode"))
            waiting = f"select count(*) from pg_locks where relation = '{table}'::regclass and not granted"
            yield lambda: int(runner.run(database.fetchval(waiting)))
        finally:
            runner.run(database.close())
