"""`claimbus migrate`: bring databases to the versions that the services here need, before those are started."""

import asyncio
from dataclasses import asdict
from typing import Annotated

import typer
from pydantic import SecretStr

from operations.connection import Connection, Unreachable, load_connection
from operations.options import AsJson, ConnectionFile, fail, out, print_json
from operations.services import REGISTRY, WITH_DATABASE
from shared.runtime.settings import DatabaseSettings
from shared.storage import migrations
from shared.storage.database import DatabaseAway, engine_for, reason_of


class NotMigrated(Exception):
    """A database could not be brought to the version that its service needs."""


def migrate(
    services: Annotated[
        list[str] | None, typer.Argument(metavar="SERVICE", help="Whose databases; by default all services'.")
    ] = None,
    connection_file: ConnectionFile = None,
    as_json: AsJson = False,
) -> None:
    """Bring databases to the version that this Claimbus needs; those that are as new, or newer, stay as they are."""
    wanted = services or list(WITH_DATABASE)
    for service in wanted:
        if service not in WITH_DATABASE:
            raise typer.BadParameter(f"{service!r} is not one of {', '.join(WITH_DATABASE)}", param_hint="SERVICE")
    try:
        done = asyncio.run(_migrate(load_connection(connection_file), wanted))
    except (Unreachable, NotMigrated) as error:
        fail(error)
    if as_json:
        print_json({service: asdict(migrated) for service, migrated in done.items()})
        return
    for service, migrated in done.items():
        if migrated.version == migrated.before:
            out.print(f"the database of {service} is at version {migrated.version} already")
        else:
            out.print(f"the database of {service} is at version {migrated.version} now")


async def _migrate(connection: Connection, services: list[str]) -> dict[str, migrations.Migrated]:
    databases = {service: connection.database(service) for service in services}
    done: dict[str, migrations.Migrated] = {}
    for service, url in databases.items():
        engine = engine_for(DatabaseSettings(database_url=SecretStr(url)))
        try:
            done[service] = await migrations.migrate(engine, REGISTRY[service].package)
        except (DatabaseAway, OSError) as error:
            raise NotMigrated(f"the database of {service} cannot be migrated: {reason_of(error)}") from error
        except migrations.MigrationFailed as error:
            raise NotMigrated(f"the database of {service} cannot be migrated: {error}") from error
        finally:
            await engine.dispose()
    return done
