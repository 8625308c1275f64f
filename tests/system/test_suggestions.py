"""Suggestions through everything: to the insurer and nobody else, current whatever happens, and in the command."""

import asyncio
import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from operations.bus import Company, NewRequest
from operations.stack import Stack
from shared.contract import ids
from shared.contract.topics import OPERATOR
from shared.runtime.settings import DatabaseSettings
from shared.storage.database import engine_for, transaction
from tests.builders.content import ADDRESS
from tests.builders.requests import incident_of_yesterday
from tests.world import World, as_json, claimbus, link, wait_until

pytestmark = pytest.mark.promise(
    "What a temporary claim may belong to is found through typing errors, kept current, and told to its insurer alone.",
    about="reports",
)


@pytest.fixture
def file(world: World, tmp_path: Path) -> Path:
    """A connection file with the companies of this test."""
    file = tmp_path / "connection.json"
    world.connection.save(file)
    return file


def newest(world: World, claim_id: str) -> dict[str, Any] | None:
    """The list of a claim with the highest revision of those that the insurer received."""
    lists = [m.body for m in world.insurer.received if m.type == "link-suggested" and m.body["claim_id"] == claim_id]
    return max(lists, key=lambda body: int(body["revision"]), default=None)


def wait_for(world: World, claim_id: str, suggested: list[str]) -> dict[str, Any]:
    """Wait until just these claims are suggested."""

    def come(_: object) -> bool:
        found = newest(world, claim_id)
        return found is not None and [s["claim_id"] for s in found["suggestions"]] == suggested

    world.insurer.wait_until(come, what=f"suggestions for {claim_id}")
    found = newest(world, claim_id)
    assert found is not None
    return found


def test_the_insurer_hears_which_claim_a_temporary_one_may_belong_to_and_the_partners_do_not(world: World) -> None:
    normal = world.register("N-1")
    created = world.create(tasks=[{"kind": "first_aid"}])
    claim, task = created.body["claim_id"], created.body["task_ids"][0]
    found = wait_for(world, claim, [normal])
    (suggestion,) = found["suggestions"]
    assert suggestion["claim_number"] == "N-1"
    assert {"same_phone", "same_address", "same_name", "same_day", "same_cause"} == {
        reason["code"] for reason in suggestion["reasons"]
    }
    assert suggestion["reasons"][0]["message"] == {"nb": "Samme telefonnummer.", "en": "The same phone number."}
    (message,) = [m for m in world.insurer.received if m.type == "link-suggested"]
    assert message.id == f"{claim}/suggestions/{found['revision']}"
    assert message.headers["ce_source"] == "/claimbus/suggestions"
    assert message.headers["ce_subject"] == claim
    world.partner.ask(NewRequest("report-task", {"claim_id": claim, "task_id": task, "text": "Tømt."}))
    world.settle()
    assert {m.type for m in world.partner.received + world.other.received} <= {
        "temporary-claim-created",
        "request-accepted",
        "task-reported",
    }


def test_suggestions_follow_what_happens_to_either_claim(world: World) -> None:
    claim = world.create().body["claim_id"]
    first = world.register("N-1")
    wait_for(world, claim, [first])
    week_before = (datetime.now(UTC).date() - timedelta(days=8)).isoformat()
    second = world.register("N-2", incident=incident_of_yesterday(date=week_before))
    wait_for(world, claim, [first, second])
    world.insurer.ask(NewRequest("cancel-claim", {"claim_id": first, "reason": "Feil"}))
    found = wait_for(world, claim, [second])
    assert "7 days between the incident dates." in [r["message"]["en"] for r in found["suggestions"][0]["reasons"]]
    world.insurer.ask(world.conversion(claim, "N-3"))
    wait_for(world, claim, [])


def test_a_link_ends_the_suggestions_and_taking_it_back_brings_them_again(world: World) -> None:
    claim = world.create().body["claim_id"]
    normal = world.register("N-1")
    wait_for(world, claim, [normal])
    (linked,) = world.insurer.ask(link(claim, normal))
    assert linked.accepted, linked.body
    wait_for(world, claim, [])
    (unlinked,) = world.insurer.ask(NewRequest("unlink-claim", {"claim_id": claim}))
    assert unlinked.accepted, unlinked.body
    wait_for(world, claim, [normal])


def test_another_insurers_claims_are_never_suggested(world: World) -> None:
    theirs = world.register("N-1", policyholder={"name": "Per Lie", "phone": "+4790000001"})
    stranger = World(world.connection)
    try:
        stranger.register("N-1")
    finally:
        stranger.close()
    claim = world.create(policyholder={"name": "Per Lie", "phone": "+4790000001"}).body["claim_id"]
    wait_for(world, claim, [theirs])
    world.settle()
    wait_for(world, claim, [theirs])


def test_no_suggestion_is_lost_when_the_service_is_killed(stack: Stack, world: World) -> None:
    people = [{"name": f"Navn{n} Etternavn{n}", "phone": f"+47{40_000_000 + 7919 * n}"} for n in range(150)]
    streets = [incident_of_yesterday(address=ADDRESS | {"street": f"Vei{n}gata {n + 1}"}) for n in range(150)]
    normals = [
        world.registration(f"N-{n}", policyholder=person, incident=incident)
        for n, (person, incident) in enumerate(zip(people, streets, strict=True))
    ]
    creations = [
        world.creation(policyholder=person, incident=incident) for person, incident in zip(people, streets, strict=True)
    ]
    for part in range(3):
        world.insurer.send(normals[part::3])
        world.partner.send(creations[part::3])
        seen = len(world.insurer.received)
        world.insurer.wait_until(lambda received, seen=seen: len(received) > seen + 20, what="the first of them")  # type: ignore[misc]
        (instance,) = stack.of("suggestions")
        if instance.pid is not None:
            os.kill(instance.pid, signal.SIGKILL)
        wait_until(lambda: bool(stack.watch()), what="suggestions to be started again")
    wanted = {
        str(ids.claim_id(world.partner_id, creation.id)): str(ids.claim_id(world.insurer_id, normal.id))
        for creation, normal in zip(creations, normals, strict=True)
    }

    def complete(_: object) -> bool:
        stack.watch()
        lists = {claim: newest(world, claim) for claim in wanted}
        return all(
            found is not None and found["suggestions"] and found["suggestions"][0]["claim_id"] == wanted[claim]
            for claim, found in lists.items()
        )

    world.insurer.wait_until(complete, what="a suggestion for each claim", timeout_s=120)
    by_id: dict[str, Any] = {}
    for message in world.insurer.received:
        if message.type == "link-suggested":
            assert by_id.setdefault(message.id, message.body) == message.body


def test_the_command_tells_the_suggestions_with_their_reasons(world: World, file: Path) -> None:
    normal = world.register("N-1")
    created = world.create()
    wait_for(world, created.body["claim_id"], [normal])
    by_number = claimbus("suggest", created.body["claim_number"], "--connection-file", file)
    assert by_number.returncode == 0, by_number.stderr
    assert "N-1" in by_number.stdout
    assert "The same phone number." in by_number.stdout
    by_id = as_json(claimbus("suggest", created.body["claim_id"], "--json", "--connection-file", file))
    assert by_id["state"] == "temporary"
    assert by_id["suggestions"] == (newest(world, created.body["claim_id"]) or {})["suggestions"]
    of_normal = claimbus("suggest", "N-1", "--insurer", world.insurer_id, "--connection-file", file)
    assert "nothing is suggested, since it is normal" in of_normal.stdout
    unknown = claimbus("suggest", "no such claim", "--connection-file", file)
    assert unknown.returncode == 1
    assert "knows no claim no such claim" in unknown.stderr


def test_a_rebuild_makes_again_what_is_known_while_all_goes_on(stack: Stack, world: World, file: Path) -> None:
    claim = world.create().body["claim_id"]
    first = world.register("N-1")
    wait_for(world, claim, [first])
    asyncio.run(_forget(stack.connection.databases["suggestions"], [first, claim]))
    rebuilt = as_json(claimbus("rebuild", "suggestions", "--json", "--connection-file", file))
    assert rebuilt["claims"] >= 2
    again = as_json(claimbus("suggest", claim, "--json", "--connection-file", file))
    assert [suggestion["claim_id"] for suggestion in again["suggestions"]] == [first]
    week_before = (datetime.now(UTC).date() - timedelta(days=8)).isoformat()
    second = world.register("N-2", incident=incident_of_yesterday(date=week_before))
    wait_for(world, claim, [first, second])


def test_claims_that_the_service_has_never_met_come_in_when_they_are_published_again(
    stack: Stack, world: World
) -> None:
    normal = world.register("N-1")
    claim = world.create().body["claim_id"]
    wait_for(world, claim, [normal])
    asyncio.run(_forget(stack.connection.databases["suggestions"], [normal, claim]))
    world.partner.ask(NewRequest("amend-claim", {"claim_id": claim, "policy_number": "P-1"}))
    world.insurer.received.clear()
    with Company(world.connection, OPERATOR) as operator:
        for each in (claim, normal):
            (outcome,) = operator.ask(NewRequest("republish-claim", {"claim_id": each, "reader": "suggestions"}))
            assert outcome.accepted, outcome.body
    wait_for(world, claim, [normal])  # none were there to suggest when the claim came in, and then this one


async def _forget(url: str, claims: list[str]) -> None:
    engine = engine_for(DatabaseSettings(database_url=SecretStr(url)))
    async with transaction(engine) as connection:
        for table, column in (("claims", "id"), ("blocks", "claim_id"), ("matches", "temporary_id")):
            await connection.exec_driver_sql(f"delete from {table} where {column} = any($1::uuid[])", (claims,))
    await engine.dispose()
