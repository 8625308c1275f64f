"""The way of a request over a bus in memory: permissions, claims, delivery, and what comes out of it."""

import json
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from importlib import import_module
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from operations.services import REGISTRY
from shared.contract.envelope import Headers
from shared.contract.topics import EVENTS, OPERATOR, REQUESTS
from shared.messaging.memory import MemoryBus
from shared.messaging.service import Bus, Service
from shared.runtime.settings import DatabaseSettings
from shared.storage.database import engine_for
from tests.builders.directory import REGISTRATIONS
from tests.builders.requests import BODIES, FJORD, NORD, VEST, VEST_BERGEN, headers_of

READERS = [service.name for service in REGISTRY.values() if service.is_read_model]
"""The services that read along."""
SERVICES = [name for name in REGISTRY if name not in READERS]
"""Those on the way of an outcome, in its order."""


class Road:
    """Services that run one after the other, until each has read all there is."""

    def __init__(self, bus: MemoryBus, databases: Mapping[str, str]) -> None:
        """`databases` are the addresses of the services' own, by service."""
        self.bus = bus
        self.databases = databases
        for company in (OPERATOR, FJORD, VEST, NORD):
            bus.create(REQUESTS.of(company), partitions=3)
            bus.create(EVENTS.of(company), partitions=3)

    async def register(self) -> None:
        """Register companies; one of the offices may always create for Fjord."""
        for name, body in REGISTRATIONS:
            self.ask(OPERATOR, name, body, id=f"{name}-{body['id']}")
        await self.run("permissions")
        self.ask(FJORD, "set-office-permission", {"office": VEST_BERGEN, "creation": "always"}, id="permission")
        await self.run()

    def ask(self, company: str, name: str, body: dict[str, Any] | None = None, *, id: str) -> None:
        """Append a request, a millisecond after the one before it."""
        self.append(company, headers_of(f"claimbus.{name}.v1", id), BODIES[name] if body is None else body, key=id)

    def append(
        self, company: str, headers: Headers, body: dict[str, Any], *, key: str = "a key", partition: int | None = None
    ) -> None:
        """Append a message of a company, a millisecond after what was asked before it."""
        self.bus.now += timedelta(milliseconds=1)
        self.bus.append(REQUESTS.of(company), key, json.dumps(body).encode(), headers, partition=partition)

    async def run(self, *services: str) -> None:
        """Let services read all there is, one after the other, until nothing more comes of it; by default all.

        Each runs once; again only where something has come since, or where it crashed.
        """
        read: dict[str, int] = {}
        while unread := [service for service in services or SERVICES if read.get(service) != self.length()]:
            for service in unread:
                crash = self.bus.crash_after
                await self.bus.run_until_idle(lambda bus, service=service: self.build(service, bus))  # type: ignore[misc]
                if crash == self.bus.crash_after:
                    read[service] = self.length()

    def build(self, service: str, bus: Bus) -> Service:
        """Make an instance of a service, configured as in production: by its environment."""
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("CLAIMBUS_DATABASE_URL", self.databases.get(service, ""))
            made: Service = import_module(f"{REGISTRY[service].package}.app").build(bus)
        return made

    def length(self) -> int:
        """Count what is on the bus."""
        return sum(len(self.bus.records(topic)) for topic in self.bus.topics)

    async def kept(self, service: str) -> dict[str, int]:
        """Count the rows that a service keeps, by table."""
        engine = engine_for(DatabaseSettings(database_url=SecretStr(self.databases[service])))
        async with engine.connect() as connection:
            tables = await connection.scalars(text("select tablename from pg_tables where schemaname = 'public'"))
            counts = {
                table: await connection.scalar(text(f'select count(*) from "{table}"'))
                for table in sorted(tables)
                if table != "alembic_version"
            }
        await engine.dispose()
        return {table: count or 0 for table, count in counts.items()}

    def outcomes(self, company: str) -> list[dict[str, Any]]:
        """The outcomes that a company has received."""
        return [body for body in self.bus.bodies(EVENTS.of(company)) if "request_id" in body]

    def different(self, topic: str) -> Counter[str]:
        """Count the different messages with each id on a topic: 1 is what it should be, however often they came."""
        seen = {(dict(r.headers)["ce_id"].decode(), r.value) for r in self.bus.records(topic)}
        return Counter(id for id, _ in seen)
