"""A client in another library that knows the contract's document and nothing of our code."""

import json
import uuid
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from tests.world import World

NAMESPACE = uuid.UUID("6b7a4c0e-2f0f-5d0b-9a53-6f3f5d5f0c11")


class Client:
    """A partner's own system."""

    def __init__(self, bootstrap_servers: str, company: str, password: str) -> None:
        self.company = company
        login = {
            "bootstrap.servers": bootstrap_servers,
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": company,
            "sasl.password": password,
        }
        self.producer = Producer(login | {"acks": "all"})
        self.consumer = Consumer(login | {"group.id": f"{company}.claims", "auto.offset.reset": "earliest"})

    def send(self, topic: str, headers: dict[str, str], value: bytes, key: str) -> None:
        failed: list[KafkaError] = []
        self.producer.produce(
            topic,
            key=key,
            value=value,
            headers=dict(headers),
            on_delivery=lambda error, _: failed.append(error) if error else None,
        )
        self.producer.flush(20)
        if failed:
            raise KafkaException(failed[0])

    def read(self, topic: str, wanted: int) -> list[tuple[dict[str, str], dict[str, Any]]]:
        self.consumer.subscribe([topic])
        found = []
        for _ in range(600):
            message = self.consumer.poll(0.1)
            if message is not None:
                if message.error():
                    raise KafkaException(message.error())
                headers = {name: bytes(value).decode() for name, value in message.headers() or []}  # type: ignore[arg-type, str-unpack]
                found.append((headers, json.loads(message.value() or b"")))
            if len(found) == wanted:
                break
        self.consumer.close()
        return found


@pytest.fixture
def client(world: World) -> Client:
    access = world.connection.companies[world.partner_id]
    return Client(world.connection.bootstrap_servers, world.partner_id, access.password)


def _body(world: World) -> dict[str, Any]:
    return {
        "insurer": world.insurer_id,
        "office": world.office,
        "incident": {
            "date": "2026-01-31",
            "cause": "storm",
            "address": {"street": "Kaien 3", "postal_code": "6002", "city": "Ålesund"},
        },
        "policyholder": {"name": "Olav Moe", "phone": "+4740123456"},
        "a_field_of_next_year": {"is": "ignored"},
    }


def test_binary_mode(world: World, client: Client) -> None:
    claim = str(uuid.uuid5(NAMESPACE, f"{client.company}/order-17"))
    headers = {
        "ce_specversion": "1.0",
        "ce_id": "order-17",
        "ce_source": "/vest/orders",
        "ce_type": "claimbus.create-temporary-claim.v1",
        "content-type": "application/json",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    }
    client.send(f"requests.{client.company}", headers, json.dumps(_body(world)).encode(), claim)
    received = {headers["ce_type"]: (headers, body) for headers, body in client.read(f"events.{client.company}", 2)}
    outcome_headers, outcome = received["claimbus.request-accepted.v1"]
    event_headers, event = received["claimbus.temporary-claim-created.v1"]
    assert outcome["claim_id"] == event["claim_id"] == claim
    assert outcome_headers["ce_causationid"] == event_headers["ce_causationid"] == "order-17"
    assert outcome_headers["ce_specversion"] == "1.0"
    assert outcome_headers["content-type"] == "application/json"
    assert outcome_headers["traceparent"] == event_headers["traceparent"] == headers["traceparent"]
    assert "a_field_of_next_year" not in event
    assert event["version"] == 1


def test_structured_mode(world: World, client: Client) -> None:
    event = {
        "specversion": "1.0",
        "id": "order-18",
        "source": "/vest/orders",
        "type": "claimbus.create-temporary-claim.v1",
        "actor": "Ola Vik",
        "data": _body(world),
    }
    headers = {"content-type": "application/cloudevents+json; charset=utf-8"}
    client.send(f"requests.{client.company}", headers, json.dumps(event).encode(), "any")
    received = {h["ce_type"]: b for h, b in client.read(f"events.{client.company}", 2)}
    assert received["claimbus.request-accepted.v1"]["request_id"] == "order-18"
    assert received["claimbus.temporary-claim-created.v1"]["actor"] == {"company": client.company, "name": "Ola Vik"}


def test_the_broker_refuses_whatever_the_table_does_not_allow(world: World, client: Client) -> None:
    forbidden = [
        f"requests.{world.other_id}",
        "requests.operator",
        f"events.{client.company}",
        "claim-commands",
        "claim-events",
        "request-outcomes",
        "directory",
        "link-requests",
        "dead-letters",
    ]
    for topic in forbidden:
        with pytest.raises(KafkaException) as refused:
            client.send(topic, {}, b"{}", "key")
        assert refused.value.args[0].code() == KafkaError.TOPIC_AUTHORIZATION_FAILED, topic
    for topic in (f"events.{world.other_id}", f"requests.{client.company}", "directory", "claim-events"):
        metadata = client.consumer.list_topics(topic, timeout=20).topics[topic]
        if metadata.error is None:  # it may know its own request topic, which it writes, and yet not read it
            client.consumer.assign([TopicPartition(topic, 0, 0)])
            message = client.consumer.poll(20)
            assert message is not None
            error = message.error()
            assert error is not None
            assert error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED, topic
        else:
            assert metadata.error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED, topic


def test_a_wrong_password_and_another_companys_group_are_refused(world: World) -> None:
    bootstrap = world.connection.bootstrap_servers
    stranger = Client(bootstrap, world.partner_id, "guessed")
    with pytest.raises(KafkaException):
        stranger.consumer.list_topics(timeout=5)
    access = world.connection.companies[world.partner_id]
    intruder = Client(bootstrap, world.partner_id, access.password)
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": world.partner_id,
            "sasl.password": access.password,
            "group.id": f"{world.other_id}.claims",
        }
    )
    consumer.subscribe([f"events.{world.partner_id}"])
    message = consumer.poll(20)
    assert message is not None
    error = message.error()
    assert error is not None
    assert error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED
    consumer.close()
    intruder.consumer.close()
