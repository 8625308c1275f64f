"""A record that Kafka's own client cannot decode stops nobody (domain rule 22)."""

import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.record.util import calc_crc32c
from confluent_kafka import Producer

from operations.bus import NewRequest
from operations.connection import Connection
from operations.dead_letters import DeadLetters
from operations.stack import Stack
from shared.contract.topics import MIB, REQUESTS
from tests.system.test_media import resident
from tests.world import World, wait_until

pytestmark = pytest.mark.promise(
    "A message that cannot be understood never stops the ones behind it, nor costs other companies theirs.",
    about="requests",
)


async def test_a_header_name_that_is_not_utf8_costs_its_own_batch_and_nobody_else_anything(world: World) -> None:
    earlier = {letter.id for letter in DeadLetters(world.connection).open()}
    before, behind, later = world.creation(), world.creation(), world.creation()
    topic = await _send_bad_batch(world, before, None, behind)
    outcomes = {}

    def all_arrived(messages: object) -> bool:
        outcomes.update({m.body["request_id"]: m for m in world.partner.received if m.is_outcome})
        return {before.id, later.id} <= set(outcomes)

    world.partner.send([replace(later, key="same")])
    world.partner.wait_until(all_arrived, what="the outcomes beside the bad record")
    assert all(outcome.accepted for outcome in outcomes.values())
    letters: dict[str, str] = {}

    def are_put_aside() -> bool:  # one after the other, while what is on other partitions goes on
        letters.update({x.id: x.reason for x in DeadLetters(world.connection).open() if x.id not in earlier})
        return {f"{topic}/0/1", f"{topic}/0/2"} <= set(letters)

    wait_until(are_put_aside, what="the dead letters")
    assert set(letters) == {f"{topic}/0/1", f"{topic}/0/2"}
    assert all("not UTF-8" in reason for reason in letters.values())


async def test_a_bad_record_does_not_cost_the_backlog_of_other_companies_and_partitions(
    stack: Stack, world: World
) -> None:
    (permissions,) = stack.of("permissions")
    permissions.stop()
    waiting = [world.creation(office=world.other_office) for _ in range(300)]
    world.other.send(waiting)
    await _send_bad_batch(world, None)
    permissions.start()
    wanted = {request.id for request in waiting}

    def all_arrived(_: object) -> bool:
        return wanted <= {m.body["request_id"] for m in world.other.received if m.is_outcome}

    world.other.wait_until(all_arrived, what="the outcomes of the other company's backlog")


def test_what_is_far_larger_unpacked_than_its_topic_takes_is_put_aside_cut_and_stops_nobody(world: World) -> None:
    producer = Producer(
        world.connection.client(world.partner_id) | {"compression.type": "gzip", "message.max.bytes": 10**7}
    )
    producer.produce(REQUESTS.of(world.partner_id), key="k", value=bytes(7 * 1024 * 1024), headers=[("ce_id", None)])
    assert producer.flush(20) == 0
    world.create()
    letters = DeadLetters(world.connection)
    wait_until(lambda: any(x.cut and world.partner_id in x.source_topic for x in letters.open()), what="the cut letter")


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_what_unpacks_to_hundreds_of_megabytes_is_put_aside_and_costs_nobody_memory(
    stack: Stack, world: World, codec: str
) -> None:
    (permissions,) = stack.of("permissions")
    Path(f"/proc/{permissions.pid}/clear_refs").write_text("5")  # the peak is counted anew
    before = resident(permissions.pid)
    settings = {"compression.type": codec, "message.max.bytes": 10**9}
    producer = Producer(world.connection.client(world.partner_id) | settings)
    producer.produce(REQUESTS.of(world.partner_id), key="k", value=bytes(200 * MIB))
    assert producer.flush(60) == 0
    world.create()
    letters = DeadLetters(world.connection)
    wait_until(
        lambda: any("too large unpacked" in x.reason and world.partner_id in x.source_topic for x in letters.open()),
        what="the letter that says where it is",
    )
    assert resident(permissions.pid, "VmHWM") - before < 64 * MIB


@pytest.mark.parametrize("codec", ["gzip", "lz4", "snappy", "zstd"])
def test_a_request_can_be_compressed_by_any_codec_of_kafka(world: World, codec: str) -> None:
    request = world.creation()
    producer = Producer(world.connection.client(world.partner_id) | {"compression.type": codec})
    headers = request.headers(world.partner_id)
    producer.produce(REQUESTS.of(world.partner_id), key="k", value=request.value().ljust(50_000), headers=headers)
    assert producer.flush(20) == 0

    def answered(_: object) -> bool:
        return any(m.is_outcome and m.body["request_id"] == request.id for m in world.partner.received)

    world.partner.wait_until(answered, what=f"the outcome of a request compressed with {codec}")


def _as(connection: Connection, company: str) -> dict[str, Any]:
    """aiokafka's options for reaching the brokers as a company."""
    return {
        "bootstrap_servers": connection.bootstrap_servers,
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": company,
        "sasl_plain_password": connection.companies[company].password,
    }


async def _send_bad_batch(world: World, *requests: NewRequest | None) -> str:
    """Send one batch on one partition, as a producer would; None is a record with a header name that is not UTF-8."""
    topic = REQUESTS.of(world.partner_id)
    producer = AIOKafkaProducer(**_as(world.connection, world.partner_id))
    await producer.start()
    try:
        batch = producer.create_batch()
        for request in requests:
            headers = [("QQ", b"x")] if request is None else request.headers(world.partner_id)
            value = b"" if request is None else request.value()
            assert batch.append(key=b"same", value=value, timestamp=None, headers=headers) is not None
        batch.close()
        rename_header(batch)
        await (await producer.send_batch(batch, topic, partition=0))
    finally:
        await producer.stop()
    return topic


def rename_header(batch: Any) -> None:
    """Change the header's name in the built batch to bytes that are no UTF-8, and its checksum with it."""
    built = bytearray(batch._build()).replace(b"QQ", b"\xff\xfe")
    built[17:21] = struct.pack(">I", calc_crc32c(bytes(built[21:])))
    batch._buffer = built
