"""Databases of a service's own tables, on servers of their own, without any services."""

import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from operations.connection import Connection
from operations.services import REGISTRY
from operations.stack import Stack
from shared.runtime.settings import DatabaseSettings
from shared.storage.database import engine_for
from shared.storage.migrations import migrate
from tests.conftest import run_stack

EMPTY = text(
    "do $$ declare name text; begin "
    "for name in select tablename from pg_tables where schemaname = 'public' and tablename <> 'alembic_version' "
    "loop execute format('delete from %I', name); end loop; end $$"
)
"""Deletes all rows: `truncate` makes new files of each table and index, which takes several times as long."""


class Databases:
    """Migrates one database for each service and empties it for each test: a migration takes longer than most tests."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._migrated: dict[str, str] = {}

    def new(self) -> str:
        """Make a database without any tables; return its URL."""
        name = f"test_{secrets.token_hex(4)}"
        self._stack.postgres.create_database(name, owner=name, password="a word")
        return self._stack.postgres.url(name, name, "a word")

    async def empty(self, package: str) -> str:
        """The URL of a database with a service's tables, all empty."""
        url = self._migrated.get(package) or self.new()
        async with engine_of(url) as engine:
            await migrate(engine, package)
            async with engine.begin() as connection:
                await connection.execute(EMPTY)
        self._migrated[package] = url
        return url


@asynccontextmanager
async def engine_of(url: str) -> AsyncIterator[AsyncEngine]:
    """Connect to a database."""
    engine = engine_for(DatabaseSettings(database_url=SecretStr(url)))
    try:
        yield engine
    finally:
        await engine.dispose()


@pytest.fixture(scope="package")
def stack(folder: Path) -> Iterator[Stack]:
    """Kafka and PostgreSQL alone."""
    yield from run_stack(folder / "servers", dict.fromkeys(REGISTRY, 0))


@pytest.fixture
def connection(stack: Stack) -> Connection:
    """How to reach them."""
    return stack.connection


@pytest.fixture(scope="package")
def databases(stack: Stack) -> Databases:
    return Databases(stack)
