"""A client in another library that knows the contract's document and nothing of our code."""

import json
import secrets
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import TransactionalIdAuthorizationFailed
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from tests.world import World

GUIDE = Path(__file__).parents[2] / "docs" / "partner" / "reference" / "client-settings.md"
NAMESPACE = uuid.UUID("6b7a4c0e-2f0f-5d0b-9a53-6f3f5d5f0c11")


class Client:
    """A partner's own system."""

    def __init__(self, bootstrap_servers: str, company: str, password: str) -> None:
        self.company = company
        self.login = login = {
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


@pytest.mark.promise("A client of another library works with the contract alone.", about="requests")
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


@pytest.mark.promise("A client of another library works with the contract alone.", about="requests")
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


@pytest.mark.promise("A client of another library works with the contract alone.", about="requests")
def test_what_serializers_of_other_languages_write(world: World, client: Client) -> None:
    """Nulls for what is not there; half an emoji, which is no JSON, beside an id that can be read."""
    nulls = dict.fromkeys(("data_base64", "datacontenttype", "subject", "time", "actor"))
    optional = dict.fromkeys(("claim_number", "policy_number", "partner_reference", "assigned_office"), "")
    body = _body(world) | optional | {"tasks": None}
    about = {"specversion": "1.0", "source": "/vest", "type": "claimbus.create-temporary-claim.v1"}
    event = json.dumps(about | {"id": "order-19", "data": body} | nulls)
    broken = json.dumps(about | {"id": "order-20", "data": body}).replace("Olav Moe", r"Olav \ud83d")
    headers = {"content-type": "Application/CloudEvents+JSON"}
    for value in (event, broken):
        client.send(f"requests.{client.company}", headers, value.encode(), "any")
    received = {(h["ce_type"], h["ce_causationid"]): b for h, b in client.read(f"events.{client.company}", 3)}
    created = received["claimbus.temporary-claim-created.v1", "order-19"]
    assert created["actor"] == {"company": client.company}
    assert created["tasks"] == []
    refused = received["claimbus.request-refused.v1", "order-20"]
    assert refused["code"] == "invalid_request"
    assert refused["details"][0]["field"] == "body"


def test_a_clients_settings_fail_and_work_as_the_guide_says(world: World, client: Client) -> None:
    """The table *Settings of your client* names what each client says; what it says works, does."""
    errors: dict[str, str] = {}

    def fails(what: str, attempt: Callable[[], object]) -> None:
        with pytest.raises(KafkaException) as refused:
            attempt()
        errors[what] = refused.value.args[0].name()

    def produce(settings: dict[str, Any], value: bytes = b"{}", n: int = 1, topic: str = "") -> None:
        producer, failed = Producer(client.login | {"linger.ms": 200} | settings), []
        for _ in range(n):
            producer.produce(
                topic or f"requests.{client.company}",
                value,
                key="any",
                on_delivery=lambda error, _: failed.append(error) if error else None,
            )
        assert producer.flush(30) == 0
        if failed:
            raise KafkaException(failed[0])

    def consume(settings: dict[str, Any], topic: str = "") -> None:
        topic = topic or f"events.{client.company}"
        consumer = Consumer(client.login | {"group.id": f"{client.company}.tried"} | settings)
        consumer.subscribe([topic])
        try:
            for _ in range(200):
                message = consumer.poll(0.1)
                if message is not None and (error := message.error()):
                    raise KafkaException(error)
                if consumer.assignment():
                    assert {part.topic for part in consumer.assignment()} == {f"events.{client.company}"}
                    return
            pytest.fail(f"no partitions of {topic} with {settings}")
        finally:
            consumer.close()

    admin = AdminClient({**client.login})
    fails("transactional.id", lambda: Producer(client.login | {"transactional.id": "vest-1"}).init_transactions(30))
    own = f"{client.company}.1"
    fails("own transactional.id", lambda: Producer(client.login | {"transactional.id": own}).init_transactions(30))
    fails("group", lambda: consume({"group.id": "claims"}))
    fails("group of the new protocol", lambda: consume({"group.id": "claims", "group.protocol": "consumer"}))
    fails("the company's id as a group", lambda: consume({"group.id": client.company}))
    fails("misspelt topic", lambda: produce({}, topic=f"request.{client.company}"))
    fails("misspelt topic to read", lambda: consume({"allow.auto.create.topics": True}, f"event.{client.company}"))
    fails(
        "topic of one's own", lambda: admin.create_topics([NewTopic(f"{own}.retry", 1, 1)])[f"{own}.retry"].result(30)
    )
    fails("acks and idempotence", lambda: produce({"acks": "1", "enable.idempotence": True}))
    large = {"message.max.bytes": 5_000_000}
    fails("message over 1 MiB", lambda: produce(large, secrets.token_bytes(2_000_000)))
    fails("batch over 1 MiB", lambda: produce(large | {"batch.size": 4_000_000}, secrets.token_bytes(100_000), 30))
    assert set(errors.values()) == {
        "TRANSACTIONAL_ID_AUTHORIZATION_FAILED",
        "GROUP_AUTHORIZATION_FAILED",
        "TOPIC_AUTHORIZATION_FAILED",
        "MSG_SIZE_TOO_LARGE",
        "_INVALID_ARG",
    }
    guide = GUIDE.read_text(encoding="utf-8")
    assert [what for what, name in errors.items() if name not in guide] == []

    produce({"enable.idempotence": True})
    produce({"acks": "0"})
    produce({"acks": "1"})
    for compression in ("gzip", "snappy", "lz4", "zstd"):
        produce({"compression.type": compression})
    produce({}, secrets.token_bytes(100_000), 30)
    consume({"group.protocol": "consumer", "group.id": f"{client.company}.new"})
    consume({"group.instance.id": "one", "group.id": f"{client.company}.static"})
    consume({"group.id": f"{client.company}.pattern"}, r"^events\..*")
    assert set(admin.list_topics(timeout=20).topics) == {f"requests.{client.company}", f"events.{client.company}"}


async def test_aiokafka_says_of_a_transactional_id_what_the_guide_says(client: Client) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=client.login["bootstrap.servers"],
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="SCRAM-SHA-512",
        sasl_plain_username=client.company,
        sasl_plain_password=client.login["sasl.password"],
        transactional_id="vest-1",
    )
    try:
        with pytest.raises(TransactionalIdAuthorizationFailed) as refused:
            await producer.start()
    finally:
        await producer.stop()
    assert str(refused.value).partition(":")[0] in GUIDE.read_text(encoding="utf-8")


@pytest.mark.promise("The broker refuses whatever the table of topics does not allow.", about="requests")
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
