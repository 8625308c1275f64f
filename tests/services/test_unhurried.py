"""What Kafka's client does while a partition has no leader: here since its topic is deleted under it."""

import asyncio
import logging
import time
import uuid

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from pydantic import SecretStr

from operations.connection import Connection
from shared.contract.topics import OPERATOR
from shared.runtime.reader import PatientConsumer
from shared.runtime.settings import KafkaSettings

LOOKS = 20
PAUSE_S = 0.1


@pytest.fixture
def topic(connection: Connection) -> str:
    name = f"unhurried-{uuid.uuid4()}"
    admin = AdminClient(connection.client())
    for done in admin.create_topics([NewTopic(name, 1, 1)]).values():
        done.result(30)
    return name


def settings(connection: Connection) -> KafkaSettings:
    password = SecretStr(connection.companies[OPERATOR].password)
    return KafkaSettings(bootstrap_servers=connection.bootstrap_servers, username=OPERATOR, password=password)


async def delete_and_time_the_looks(connection: Connection, topic: str, said: pytest.LogCaptureFixture) -> float:
    """Delete the topic; tell how many seconds the client takes to look for it in vain so many times."""
    admin = AdminClient(connection.client())
    for done in admin.delete_topics([topic]).values():
        await asyncio.to_thread(done.result, 30)

    def looks() -> int:
        return sum(f"Topic {topic} not found" in message for message in said.messages)

    async with asyncio.timeout(60):
        while not looks():  # noqa: ASYNC110 - only its log tells
            await asyncio.sleep(0.001)
        begin, before = time.monotonic(), looks()
        while looks() < before + LOOKS:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    return time.monotonic() - begin


async def test_a_consumer_looks_for_a_leader_with_pauses(
    connection: Connection, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR, "aiokafka.cluster")
    consumer: AIOKafkaConsumer = PatientConsumer(**settings(connection).client())
    await consumer.start()
    consumer.assign([TopicPartition(topic, 0)])
    await consumer.seek_to_beginning()
    try:
        assert await delete_and_time_the_looks(connection, topic, caplog) > (LOOKS - 1) * PAUSE_S
    finally:
        await consumer.stop()
