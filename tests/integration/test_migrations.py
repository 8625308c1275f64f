"""Each service's tables are what its migrations make, and a service waits until its database was migrated."""

import asyncio
import urllib.error
import urllib.request
from collections.abc import Callable

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, MetaData, text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.claims.app import build
from services.claims.migrations import VERSION
from services.claims.tables import metadata as claims
from services.portal.media_store import metadata as media
from services.portal.tables import metadata as portal
from services.reporting.tables import metadata as reporting
from services.suggestions.store import metadata as suggestions
from shared.messaging.memory import MemoryBus
from shared.messaging.service import Service
from shared.storage.database import DatabaseOutdated, NeededVersion
from shared.storage.migrations import Migrated, migrate
from tests.integration.conftest import Databases, engine_of
from tests.world import wait_until

TABLES = {"claims": [claims], "portal": [portal, media], "reporting": [reporting], "suggestions": [suggestions]}


@pytest.mark.parametrize("service", TABLES)
async def test_the_tables_are_what_the_migrations_make(databases: Databases, service: str) -> None:
    tables = MetaData()
    for metadata in TABLES[service]:
        for table in metadata.tables.values():
            table.to_metadata(tables)

    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        found = compare_metadata(context, tables)
        return [each for each in found if each[0] != "remove_index"]  # indexes stand in the migrations alone

    async with engine_of(await databases.empty(f"services.{service}")) as engine, engine.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_a_service_waits_until_its_database_was_migrated_and_says_what_to_run(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = databases.new()
    for name, value in {
        "DATABASE_URL": url,
        "MEDIA_SECRET": "a secret",
        "RETRY_FIRST_S": "0.01",
        "RETRY_LONGEST_S": "0.01",
    }.items():
        monkeypatch.setenv(f"CLAIMBUS_{name}", value)
    service = MemoryBus().instance(build).service
    running = asyncio.create_task(service.run())
    try:
        status, body = await _health_when(service, lambda body: "database_not_migrated" in body)
        assert status == 503
        assert body.endswith(
            f"; database_not_migrated: it has no tables and {VERSION} is needed: run `claimbus migrate claims`"
        )
        async with engine_of(url) as engine:
            await migrate(engine, "services.claims")
        assert await _health_when(service, lambda body: "migrate" not in body and "starting" not in body) == (
            200,
            "ready",
        )
    finally:
        service.stop()
        await running


async def test_an_older_database_is_refused_and_a_newer_one_is_left_as_it_is(databases: Databases) -> None:
    async with engine_of(databases.new()) as engine:
        assert await migrate(engine, "services.claims") == Migrated(None, VERSION)
        needed = NeededVersion(engine, "claims", VERSION)
        await needed.check()
        await _set_version(engine, "0001")
        with pytest.raises(DatabaseOutdated, match=f"it is at version 0001 and {VERSION} is needed"):
            await needed.check()
        await _set_version(engine, "0999")
        await needed.check()
        assert needed.notes() == []
        assert await migrate(engine, "services.claims") == Migrated("0999", "0999")


async def _set_version(engine: AsyncEngine, version: str) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("update alembic_version set version_num = :version"), {"version": version})


async def _health_when(service: Service, is_so: Callable[[str], bool]) -> tuple[int, str]:
    """What a service says of its health, as soon as it says something."""

    def ask() -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"{service.health_url}/health/ready", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except (OSError, ValueError):  # it does not listen yet
            return 0, ""

    def ask_until_so() -> tuple[int, str]:
        seen: list[tuple[int, str]] = []

        def is_so_now() -> bool:
            seen[:] = [ask()]
            return seen[0][0] != 0 and is_so(seen[0][1])

        wait_until(is_so_now, what="the service's health")
        return seen[0]

    return await asyncio.to_thread(ask_until_so)
