"""Each service's tables, as its queries know them, are what its migrations make."""

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, MetaData

from services.claims.tables import metadata as claims
from services.portal.media_store import metadata as media
from services.portal.tables import metadata as portal
from services.reporting.store import metadata as reporting
from services.suggestions.store import metadata as suggestions
from tests.integration.conftest import Databases, engine_of

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
