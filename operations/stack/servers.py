"""The servers that a stack runs on, embedded or in containers."""

from typing import Protocol


class Server(Protocol):
    """A server that the services need, embedded or in a container."""

    @property
    def pid(self) -> int:
        """The process id."""

    def is_running(self) -> bool:
        """Whether it was started and has not ended."""

    def start(self) -> None:
        """Start it and wait until it answers."""

    def stop(self) -> None:
        """Stop it cleanly."""

    def kill(self) -> None:
        """End it at once."""


class KafkaServer(Server, Protocol):
    """A Kafka with SCRAM and ACLs."""

    replication: int
    """How many copies of each partition it can have."""

    @property
    def bootstrap_servers(self) -> str:
        """Where clients connect."""

    def launch(self) -> None:
        """Start it, and don't wait."""

    def wait_until_ready(self) -> None:
        """Wait, after `launch`, until it answers."""


class PostgresServer(Server, Protocol):
    """A PostgreSQL with passwords."""

    def url(self, database: str, user: str, password: str) -> str:
        """The address of a database."""

    def create_database(self, name: str, *, owner: str, password: str) -> None:
        """Make a database and its owner."""
