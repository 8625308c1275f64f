"""A Claimbus of its own for reports, so that what these tests put into its history is in nobody else's."""

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest
from confluent_kafka import OFFSET_END, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from pydantic import SecretStr

from operations.connection import Connection
from operations.provisioning import provision_companies
from operations.stack import Stack
from services.reporting.progress import Progress, Waiting
from services.reporting.store import Store, Transaction
from shared.contract.envelope import Outgoing
from shared.contract.topics import DIRECTORY, OPERATOR, Topic
from shared.runtime.settings import DatabaseSettings, KafkaSettings
from shared.storage.database import engine_for
from tests.world import wait_until

T = TypeVar("T")


class Reporting:
    """A stack whose services are all real; a test can write to its topics what the services before reporting would."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.connection: Connection = stack.connection
        self.connection_file = stack.folder / "connection.json"
        self.connection.save(self.connection_file)

    def companies(self, *ids: str) -> None:
        """Make the companies' topics."""
        provision_companies(self.connection, ids)
        self.connection.save(self.connection_file)

    def backdate_directory(self) -> None:
        """Have the directory's messages keep the times that they are written with, so that they can be in the past."""
        resource = ConfigResource(
            ResourceType.TOPIC,
            DIRECTORY.name,
            incremental_configs=[
                ConfigEntry("message.timestamp.type", "CreateTime", incremental_operation=AlterConfigOpType.SET)
            ],
        )
        admin = AdminClient(self.connection.client())
        for done in admin.incremental_alter_configs([resource]).values():
            done.result(timeout=30)

    def publish(self, messages: Iterable[Outgoing], at: datetime | None = None) -> None:
        """Write messages, as the operator, who may; `at` counts only where the topic keeps it."""
        producer = Producer(self.connection.client() | {"acks": "all", "enable.idempotence": True, "linger.ms": 20})
        timestamp = {"timestamp": int(at.timestamp() * 1000)} if at else {}
        for message in messages:
            while True:
                try:
                    producer.produce(
                        message.topic,
                        message.value,
                        key=message.key,
                        headers=list(message.headers),
                        **timestamp,  # type: ignore[arg-type]
                    )
                    break
                except BufferError:
                    producer.poll(0.1)
            producer.poll(0)
        assert producer.flush(60) == 0

    def delete_messages(self, topic: Topic) -> None:
        """Delete all that a topic has now, as its time does."""
        admin = AdminClient(self.connection.client())
        everything = [TopicPartition(topic.name, partition, OFFSET_END) for partition in range(topic.partitions)]
        for done in admin.delete_records(everything).values():
            done.result(timeout=30)

    def operator(self) -> dict[str, Any]:
        """Client options for reaching the brokers as the operator, who may see all."""
        return {
            "bootstrap_servers": self.connection.bootstrap_servers,
            "username": OPERATOR,
            "password": SecretStr(self.connection.companies[OPERATOR].password),
        }

    def progress(self) -> Progress:
        """Follow the groups."""
        return Progress(KafkaSettings(**self.operator()))

    def all_read(self) -> None:
        """Wait until reporting has read everything that there is now."""
        with asyncio.Runner() as runner:
            progress = self.progress()
            try:
                wait_until(
                    lambda: not isinstance(runner.run(progress.passed(None)), Waiting),
                    what="reporting to read all there is",
                    timeout_s=120,
                    look_every_s=0.1,
                )
            finally:
                runner.run(progress.stop())

    def in_database(self, do: Callable[[Transaction], Awaitable[T]]) -> T:
        """Do something in a transaction of the reporting database."""
        return asyncio.run(self._in_database(do))

    async def _in_database(self, do: Callable[[Transaction], Awaitable[T]]) -> T:
        engine = engine_for(DatabaseSettings(database_url=SecretStr(self.connection.databases["reporting"])))
        try:
            async with Store(engine).transaction() as transaction:
                return await do(transaction)
        finally:
            await engine.dispose()


@pytest.fixture(scope="package")
def reporting() -> Iterator[Reporting]:
    """A stack for these tests, that looks often whether it can close a period."""
    yield from run_reporting()


def run_reporting(*without: str) -> Iterator[Reporting]:
    """Run a stack without services that have no part in it, and nothing of it is left behind."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("CLAIMBUS_CLOSE_EVERY_S", "0.3")
        monkeypatch.setenv("CLAIMBUS_CLOCKS_DIFFER_S", "0.5")
        yield from _running("portal", "suggestions", *without)


def _running(*without: str) -> Iterator[Reporting]:
    folder = Path(tempfile.mkdtemp(prefix="claimbus-reports-"))
    folder.chmod(0o711)
    stack = Stack(folder, dict.fromkeys(without, 0))
    try:
        stack.start()
        yield Reporting(stack)
    finally:
        stack.stop()
        shutil.rmtree(folder)
