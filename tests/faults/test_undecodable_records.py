"""A record that Kafka's own client cannot decode stops nobody (domain rule 22)."""

import struct
from dataclasses import replace
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.record.util import calc_crc32c

from operations.dead_letters import DeadLetters
from shared.contract.topics import REQUESTS
from tests.world import World


async def test_a_header_name_that_is_not_utf8_costs_its_own_batch_and_nobody_else_anything(world: World) -> None:
    known = {letter.id for letter in DeadLetters(world.connection).open()}
    before, behind, later = world.creation(), world.creation(), world.creation()
    topic = REQUESTS.of(world.partner_id)
    producer = AIOKafkaProducer(
        bootstrap_servers=world.connection.bootstrap_servers,
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="SCRAM-SHA-512",
        sasl_plain_username=world.partner_id,
        sasl_plain_password=world.connection.companies[world.partner_id].password,
    )
    await producer.start()
    try:
        # All in one batch, as a producer would send them.
        batch = producer.create_batch()
        for request in (before, None, behind):
            headers = [("QQ", b"x")] if request is None else request.headers(world.partner_id)
            value = b"" if request is None else request.value()
            assert batch.append(key=b"same", value=value, timestamp=None, headers=headers) is not None
        batch.close()
        _rename_header(batch)
        await (await producer.send_batch(batch, topic, partition=0))
    finally:
        await producer.stop()
    outcomes = {}

    def all_answered(messages: object) -> bool:
        outcomes.update({m.body["request_id"]: m for m in world.partner.received if m.is_outcome})
        return {before.id, later.id} <= set(outcomes)

    world.partner.send([replace(later, key="same")])
    world.partner.wait_until(all_answered, what="the outcomes beside the bad record")
    assert all(outcome.accepted for outcome in outcomes.values())
    letters = [letter for letter in DeadLetters(world.connection).open() if letter.id not in known]
    assert [letter.id for letter in letters] == [f"{topic}/0/1", f"{topic}/0/2"]
    assert all("not UTF-8" in letter.reason for letter in letters)


def _rename_header(batch: Any) -> None:
    """Change the header's name in the built batch to bytes that are no UTF-8, and its checksum with it."""
    built = bytearray(batch._build()).replace(b"QQ", b"\xff\xfe")
    built[17:21] = struct.pack(">I", calc_crc32c(bytes(built[21:])))
    batch._buffer = built
