"""The servers in containers that tests can use instead of the embedded ones keep the same promises."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tests.containers.engine import missing
from tests.containers.servers import ContainerKafka, ContainerPostgres

pytestmark = pytest.mark.skipif(missing() is not None, reason=f"no Docker engine: {missing()}")

PASSWORDS = {"operator": "of the operator", "stranger": "of a stranger"}


@pytest.fixture
def kafka(tmp_path: Path) -> Iterator[ContainerKafka]:
    kafka = ContainerKafka(tmp_path, users=PASSWORDS)
    kafka.start()
    yield kafka
    kafka.stop()


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[ContainerPostgres]:
    postgres = ContainerPostgres(tmp_path)
    postgres.start()
    yield postgres
    postgres.stop()


def admin(kafka: ContainerKafka, user: str, **more: Any) -> AdminClient:
    return AdminClient(
        {
            "bootstrap.servers": kafka.bootstrap_servers,
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": user,
            "sasl.password": PASSWORDS[user],
            "log_level": 0,
            **more,
        }
    )


def create_topic(kafka: ContainerKafka, name: str) -> None:
    client = admin(kafka, "operator")
    client.create_topics([NewTopic(name, 1)])[name].result(30)


def test_kafka_keeps_its_topics_and_users_when_it_is_stopped_or_killed(kafka: ContainerKafka) -> None:
    create_topic(kafka, "kept")
    for end in (kafka.stop, kafka.kill):
        assert kafka.is_running()
        before = kafka.pid
        end()
        end()
        assert not kafka.is_running()
        kafka.start()
        assert kafka.pid != before
        assert "kept" in admin(kafka, "operator").list_topics(timeout=30).topics


def test_kafka_is_closed_to_the_anonymous_and_to_users_without_rights(kafka: ContainerKafka) -> None:
    create_topic(kafka, "private")
    with pytest.raises(KafkaException):
        AdminClient({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0}).list_topics(timeout=2)
    with pytest.raises(KafkaException):
        admin(kafka, "operator", **{"sasl.password": "a guess"}).list_topics(timeout=2)
    refused = admin(kafka, "stranger").list_topics("private", timeout=30).topics["private"].error
    assert refused is not None
    assert refused.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED
    unknown = admin(kafka, "operator").list_topics("never-created", timeout=30).topics["never-created"].error
    assert unknown is not None
    assert unknown.code() == KafkaError.UNKNOWN_TOPIC_OR_PART


async def test_a_database_is_for_its_owner_alone_and_is_kept(postgres: ContainerPostgres) -> None:
    for name in ("claims", "reporting"):
        postgres.create_database(name, owner=name, password="first")
        postgres.create_database(name, owner=name, password=f"of {name}")
    connection = await asyncpg.connect(postgres.url("claims", "claims", "of claims"))
    await connection.execute("create table claim (id text)")
    await connection.close()
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await asyncpg.connect(postgres.url("claims", "reporting", "of reporting"))
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(postgres.url("claims", "claims", "first"))
    for end in (postgres.stop, postgres.kill):
        end()
        end()
        assert not postgres.is_running()
        postgres.start()
        connection = await asyncpg.connect(postgres.url("claims", "claims", "of claims"))
        assert await connection.fetchval("select count(*) from claim") == 0
        await connection.close()
