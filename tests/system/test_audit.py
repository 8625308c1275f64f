"""`claimbus audit` beside what runs: it finds nothing where nothing is wrong, and each thing that somebody spoils."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from confluent_kafka import Producer
from pydantic import SecretStr
from pydantic_core import to_json
from sqlalchemy import func, update

from operations.bus import Delivered, NewRequest
from operations.connection import Connection
from operations.stack import Stack
from operations.storm import run_storm
from services.claims.tables import claim_events, claims
from shared.contract.topics import EVENTS, REQUEST_OUTCOMES
from shared.runtime.settings import DatabaseSettings
from shared.storage.database import engine_for, transaction
from tests.builders.content import FIRST_AID
from tests.world import World, as_json, claimbus, link, report

pytestmark = pytest.mark.promise(
    "`claimbus audit` finds what breaks an invariant, on the topics and in the tables.", about="running"
)


def audit(connection: Connection, folder: Path) -> tuple[int, dict[str, Any]]:
    """Run the command; return its status, and what it printed."""
    file = folder / "connection.json"
    connection.save(file)
    done = claimbus("audit", "--json", connection_file=file)
    assert done.stdout, done.stderr
    return done.returncode, as_json(done)


def handle(world: World) -> str:
    """Have a claim reported on, linked, and reported on again; another corrected, one refused; hours changed."""
    claim = world.create(tasks=[FIRST_AID])
    assert world.partner.ask(report(claim, "Pumpet"))[0].accepted
    assert world.insurer.ask(link(claim, world.register("SK-1")))[0].accepted
    world.event(world.insurer, "claim-linked", claim.body["claim_id"])
    assert world.partner.ask(report(claim, "Tørket"))[0].accepted
    world.set_portal(unlink_days=7)
    corrected = world.create()
    amendment = NewRequest("amend-claim", {"claim_id": corrected.body["claim_id"], "policy_number": "P-9"})
    assert world.insurer.ask(amendment)[0].accepted
    refused = world.other.ask(world.creation(office=world.other_office))[0]
    assert refused.body["code"] == "never_permitted"
    return str(corrected.body["claim_id"])


def ours(found: dict[str, Any], world: World) -> set[tuple[str, str]]:
    """The violations that are about a world's companies and claims; other tests may have broken what is theirs."""
    companies = {world.insurer_id, world.partner_id, world.other_id}
    world.insurer.read_to_end()
    about = companies | {message.body["claim_id"] for message in world.insurer.received if "claim_id" in message.body}
    violations = {(each["invariant"], each["about"]) for each in found["violations"]}
    return {each for each in violations if each[1].split("/")[0] in about}


async def spoil(database: str, with_event: UUID, with_row: UUID) -> None:
    """Change the first event of a claim, and the row of another."""
    engine = engine_for(DatabaseSettings(database_url=SecretStr(database)))
    town = '"city":"', '"city":"Ny '
    try:
        async with transaction(engine) as connection:
            first = (claim_events.c.claim_id == with_event) & (claim_events.c.version == 1)
            event = update(claim_events).where(first).values(event=func.replace(claim_events.c.event, *town))
            row = update(claims).where(claims.c.id == with_row).values(claim=func.replace(claims.c.claim, *town))
            assert ((await connection.execute(event)).rowcount, (await connection.execute(row)).rowcount) == (1, 1)
    finally:
        await engine.dispose()


def publish(connection: Connection, topic: str, like: Delivered, body: object) -> None:
    """Append a message to a topic as no service would, with the headers of one that was received."""
    producer = Producer(connection.client() | {"acks": "all"})
    headers: list[tuple[str, str | bytes | None]] = [(name, value) for name, value in like.headers.items()]
    producer.produce(topic, key="spoilt", value=to_json(body), headers=headers)
    assert producer.flush(30) == 0


def test_nothing_is_wrong_while_others_go_on(world: World, connection: Connection, tmp_path: Path) -> None:
    handle(world)
    status, found = audit(connection, tmp_path)
    assert found["violations"] == []
    assert status == 0


def test_each_thing_that_is_spoilt_is_found(stack: Stack, world: World, tmp_path: Path) -> None:
    account = run_storm(stack.connection, world.partner_id, world.office, world.insurer_id, claims=300)
    assert account.accepted == 300
    spoilt = handle(world)
    outcome = world.create()
    world.settle()
    before = audit(stack.connection, tmp_path)[1]
    assert ours(before, world) == set()
    assert before["read"]["events of the record"] >= 308

    changed = world.register("SK-2")
    asyncio.run(spoil(stack.connection.database("claims"), UUID(spoilt), UUID(changed)))
    sent_again = outcome.body | {"claim_number": "another"}
    publish(stack.connection, REQUEST_OUTCOMES.name, outcome, sent_again)
    event = world.event(world.partner, "temporary-claim-created", outcome.body["claim_id"])
    publish(stack.connection, EVENTS.of(world.other_id), event, event.body)
    status, found = audit(stack.connection, tmp_path)
    assert status == 1
    assert ours(found, world) >= {
        ("events-recorded", f"{spoilt}/1"),
        ("claim-replays", spoilt),
        ("claim-replays", changed),
        ("one-outcome", f"{world.partner_id}/{outcome.body['request_id']}"),
        ("nothing-for-strangers", f"{outcome.body['claim_id']}/1"),
    }
