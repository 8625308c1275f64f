"""What others cannot have for a while: tables of a service's database, and what processes that run tests share."""

import asyncio
import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg

from operations.connection import Connection


@contextmanager
def nobody_writes(connection: Connection, service: str, table: str) -> Iterator[Callable[[], list[int]]]:
    """Let nobody write a table; gives the processes of the server that wait for it. It can be read all the while."""
    with _locked(connection, service, table, "share") as waiting:
        yield waiting


@contextmanager
def nobody_reads(connection: Connection, service: str, table: str) -> Iterator[Callable[[], list[int]]]:
    """Let nobody read or write a table; gives the processes of the server that wait for it."""
    with _locked(connection, service, table, "access exclusive") as waiting:
        yield waiting


@contextmanager
def networks_stay(run_folder: Path) -> Iterator[None]:
    """Let no network of Docker's come or go for a while: Chromium gives up what it loads when one does."""
    with _held(run_folder / "networks", fcntl.LOCK_SH):
        yield


@contextmanager
def networks_change(run_folder: Path) -> Iterator[None]:
    """Let networks of Docker's come and go, when no browser is open any more, and none open meanwhile."""
    with _held(run_folder / "networks", fcntl.LOCK_EX):
        yield


@contextmanager
def _held(file: Path, how: int) -> Iterator[None]:
    with file.open("a") as opened:
        fcntl.flock(opened, how)
        yield


def has_ended(connection: Connection, service: str, process: int) -> bool:
    """Whether a process of the server has ended its transaction, or is gone."""

    async def ended() -> bool:
        database = await asyncpg.connect(connection.databases[service])
        try:
            state = await database.fetchval("select state from pg_stat_activity where pid = $1", process)
            return state in (None, "idle")
        finally:
            await database.close()

    return asyncio.run(ended())


@contextmanager
def _locked(connection: Connection, service: str, table: str, mode: str) -> Iterator[Callable[[], list[int]]]:
    with asyncio.Runner() as runner:
        database = runner.run(asyncpg.connect(connection.databases[service]))
        try:
            transaction = database.transaction()
            runner.run(transaction.start())
            runner.run(database.execute(f"lock table {table} in {mode} mode"))
            waiting = f"select pid from pg_locks where relation = '{table}'::regclass and not granted"
            yield lambda: [process for (process,) in runner.run(database.fetch(waiting))]
        finally:
            runner.run(database.close())
