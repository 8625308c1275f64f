"""Bringing a service's database to the version that its code needs: the step that `claimbus migrate` runs.

Services do not import this: Alembic would stay in the memory of each for what is done once.
"""

from dataclasses import dataclass
from importlib import import_module

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.storage.database import SESSION, transaction, version_of

_MIGRATING = 0x636C_6169_6D62_7573
"""The advisory lock for migrating a database: several processes may start at once."""


class MigrationFailed(Exception):
    """The database could not be brought to the version."""


@dataclass(frozen=True, slots=True)
class Migrated:
    """What came of the step."""

    before: str | None
    """The database's version as it was found; None of a new one."""
    version: str
    """The one that it has now. It can be newer than what is needed here."""


def needed_version(package: str) -> str:
    """Which version of its database a service needs."""
    version: str = import_module(f"{package}.migrations").VERSION
    return version


async def migrate(engine: AsyncEngine, package: str) -> Migrated:
    """Bring a service's database to the version that it needs; a newer one is left as it is.

    Whoever does it at the same time elsewhere is waited for. Within a process it is done one at a time, since Alembic
    has one context for all. Raises DatabaseAway, and MigrationFailed with what Alembic said.
    """
    needed = needed_version(package)
    async with transaction(engine) as connection:
        for limit in SESSION:  # a migration takes as long as it takes
            await connection.execute(text(f"set local {limit} = 0"))
        await connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATING})
        before = await version_of(connection)
        if before is not None and before >= needed:
            return Migrated(before, before)
        try:
            await connection.run_sync(_upgrade, package, needed)
        except CommandError as error:
            raise MigrationFailed(str(error)) from error
    return Migrated(before, needed)


def scripts(package: str) -> Config:
    """Alembic's configuration for the migrations of a service."""
    config = Config()
    config.set_main_option("script_location", f"{package}:migrations")
    return config


def _upgrade(connection: Connection, package: str, version: str) -> None:
    config = scripts(package)
    config.attributes["connection"] = connection
    command.upgrade(config, version)
