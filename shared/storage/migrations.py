"""Bring a service's database to its newest version: `python -m shared.storage.migrations PACKAGE`.

A process of its own, so that Alembic is not kept in the memory of each service for the one time that it is needed.
"""

import asyncio
import sys

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

from shared.runtime.settings import DatabaseSettings
from shared.storage.database import AWAY, SESSION, DatabaseAway, engine_for, transaction

_MIGRATING = 0x636C_6169_6D62_7573
"""The advisory lock of whoever migrates: instances start together."""


async def _migrate(package: str) -> int:
    engine = engine_for(DatabaseSettings())
    try:
        async with transaction(engine) as connection:
            for limit in SESSION:  # a migration takes as long as it takes
                await connection.execute(text(f"set local {limit} = 0"))
            await connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATING})
            await connection.run_sync(_upgrade, package)
    except (DatabaseAway, OSError):
        return AWAY
    finally:
        await engine.dispose()
    return 0


def _upgrade(connection: Connection, package: str) -> None:
    config = Config()
    config.set_main_option("script_location", f"{package}:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


if __name__ == "__main__":
    sys.exit(asyncio.run(_migrate(sys.argv[1])))
