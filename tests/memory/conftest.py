"""A bus in memory, and all services on it, with a real PostgreSQL for what they keep."""

import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from pydantic import SecretStr

from operations.embedded import EmbeddedPostgres
from operations.services import WITH_DATABASE
from shared.messaging.memory import MemoryBus
from shared.runtime.settings import DatabaseSettings
from shared.storage.database import engine_for
from shared.storage.migrations import migrate
from tests.integration.conftest import EMPTY
from tests.memory.road import Road


@pytest.fixture(scope="session")
def databases(folder: Path) -> Iterator[dict[str, str]]:
    """The address of a database for each service that has one."""
    server = EmbeddedPostgres(folder / "memory-postgres")
    server.start()
    try:
        for service in WITH_DATABASE:
            server.create_database(service, owner=service, password="a word")
        yield {service: server.url(service, service, "a word") for service in WITH_DATABASE}
    finally:
        server.stop()


@pytest.fixture(scope="session")
async def migrated(databases: Mapping[str, str]) -> Mapping[str, str]:
    """The same, with their tables."""
    for service, url in databases.items():
        engine = engine_for(DatabaseSettings(database_url=SecretStr(url)))
        await migrate(engine, f"services.{service}")
        await engine.dispose()
    return databases


@pytest.fixture
async def road(migrated: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Road:
    """All services, with nothing in their databases, and companies that are registered."""
    monkeypatch.setenv("CLAIMBUS_DATABASE_URL", "")
    monkeypatch.setenv("CLAIMBUS_MEDIA_SECRET", secrets.token_urlsafe(16))
    monkeypatch.setenv("CLAIMBUS_MEDIA", tmp_path.as_uri())
    monkeypatch.setenv("CLAIMBUS_PORTAL_PORT", "0")
    monkeypatch.setenv("CLAIMBUS_PORTAL_SECRET", secrets.token_urlsafe(16))
    monkeypatch.setenv("CLAIMBUS_RETRY_FIRST_S", "0.001")
    monkeypatch.setenv("CLAIMBUS_SESSION_TIMEOUT_MS", "1000")
    monkeypatch.setenv("CLAIMBUS_STOP_TIMEOUT_S", "1")
    for url in migrated.values():
        engine = engine_for(DatabaseSettings(database_url=SecretStr(url)))
        async with engine.begin() as connection:
            await connection.execute(EMPTY)
        await engine.dispose()
    road = Road(MemoryBus(), migrated)
    await road.register()
    return road
