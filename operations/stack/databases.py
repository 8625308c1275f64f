"""Which databases are older than their services need, without Alembic, which takes a second to find out."""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module

import asyncpg

from operations.services import REGISTRY

_TIMEOUT_S = 10


def all_are_new_enough(databases: Mapping[str, str]) -> bool:
    """Whether each service's database, at this address, has the version that the service needs, or a newer one."""

    async def look() -> bool:
        return all([await _is_new_enough(service, url) for service, url in databases.items()])

    # In a loop of a thread of its own, since the caller's thread may have a loop that is running.
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(asyncio.run, look()).result()


async def _is_new_enough(service: str, url: str) -> bool:
    needed: str = import_module(f"{REGISTRY[service].package}.migrations").VERSION
    try:
        connection = await asyncpg.connect(url, timeout=_TIMEOUT_S)
        try:
            version: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
        finally:
            await connection.close()
    except (OSError, asyncpg.PostgresError):  # it has no tables; or whoever migrates it finds out what is wrong
        return False
    return version is not None and version >= needed
