"""The services, one entry for each: what Claimbus runs, and what each of them needs.

Whatever is about all services, or about those with a database, a store of media or a read model, follows from here.
The files that cannot, such as docker-compose.yml, are held against it by `tests/unit/test_deployment.py`. Which topics
a service reads and writes is the contract's.
"""

from dataclasses import dataclass

from shared.contract.topics import TOPICS, ReadModel, Topic

HEALTH_PORT = 8080
"""Where the health of a service is asked for in a container."""


@dataclass(frozen=True)
class ServiceEntry:
    """A service: its name is that of its package, of its user and group on the bus, and of its database and owner."""

    name: str
    has_database: bool = False
    opens_media_store: bool = False
    has_media_secret: bool = False
    """Whether it signs or verifies the keys of uploads."""

    @property
    def package(self) -> str:
        """Where its code is, as Python imports it."""
        return f"services.{self.name}"

    @property
    def is_read_model(self) -> bool:
        """Whether it can be emptied and made again; in a storm it gives way to those that outcomes pass through."""
        return self.name in set(ReadModel)

    @property
    def reads(self) -> tuple[Topic, ...]:
        """The topics that it reads."""
        return tuple(topic for topic in TOPICS if self.name in topic.read_by)


REGISTRY = {
    service.name: service
    for service in (
        ServiceEntry("permissions"),
        ServiceEntry("claims", has_database=True, has_media_secret=True),
        ServiceEntry("linking", opens_media_store=True),
        ServiceEntry("delivery"),
        ServiceEntry("reporting", has_database=True),
        ServiceEntry("suggestions", has_database=True),
        ServiceEntry("portal", has_database=True, opens_media_store=True, has_media_secret=True),
    )
}
"""By name, in the order in which they are started."""

WITH_DATABASE = tuple(service.name for service in REGISTRY.values() if service.has_database)
