"""`claimbus trace`: the way of requests and claims through the topics and tables of a stack."""

import os
import secrets
import signal
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import OFFSET_END, TopicPartition
from confluent_kafka.admin import AdminClient

from operations.bus import Delivered, NewRequest
from operations.connection import Connection
from operations.stack import Stack
from operations.trace.command import Unknown, look
from operations.trace.topics import Missing, Topics, Wanted
from shared.contract.topics import EVENTS, REQUESTS
from shared.messaging.partitions import partition_of
from tests.builders.requests import new_request
from tests.world import World, as_json, claimbus, link, report


@pytest.fixture
def file(connection: Connection, tmp_path: Path) -> Path:
    """A connection file, as `claimbus up` writes it."""
    file = tmp_path / "connection.json"
    connection.save(file)
    return file


def topics_of(way: Sequence[dict[str, Any]]) -> Counter[str]:
    return Counter(sight["place"].partition("/")[0] for sight in way if sight["missing"] is None)


def appended(sight: dict[str, Any]) -> tuple[str, int, int]:
    topic, partition, offset = sight["place"].split("/")
    return topic, int(partition), int(offset)


def ask(world: World, request: NewRequest) -> Delivered:
    (outcome,) = world.partner.ask(request)
    world.settle()
    return outcome


def test_a_request_is_followed_from_its_topic_to_the_companies_that_have_got_what_came_of_it(
    world: World, file: Path
) -> None:
    traceparent = f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
    request = world.creation()
    traced = NewRequest(
        request.name, request.body, id=request.id, extra_headers=(("traceparent", traceparent.encode()),)
    )
    outcome = ask(world, traced)
    found = as_json(claimbus("trace", traced.id, "--json", "--connection-file", file))
    (about,) = found["requests"]
    assert (about["company"], about["id"], about["claim_id"]) == (
        world.partner_id,
        traced.id,
        outcome.body["claim_id"],
    )
    assert about["decision"]["rule"] == "always_permitted"
    assert found["missing"] == 0
    assert found["received_by"] == [world.insurer_id, world.partner_id]
    assert topics_of(found["way"]) == {
        REQUESTS.of(world.partner_id): 1,
        "claim-commands": 1,
        "claims": 1,
        "claim-events": 1,
        "request-outcomes": 1,
        EVENTS.of(world.partner_id): 2,
        EVENTS.of(world.insurer_id): 1,
        "portal": 1,
        "reporting": 1,
        "suggestions": 1,
    }
    received = [sight for sight in found["way"] if sight["place"].startswith(EVENTS.of(world.partner_id))]
    assert {sight["at_ms"] for sight in received} == {message.appended_at_ms for message in world.partner.received}
    assert found["traceparent"] == traceparent
    for of_trace in (traceparent, traceparent.split("-")[1]):
        assert as_json(claimbus("trace", of_trace, "--json", "--connection-file", file))["requests"] == [about]
    table = claimbus("trace", traced.id, "--connection-file", file).stdout
    assert f"received by: {world.insurer_id}, {world.partner_id}" in table
    assert "checked: passed on (rule always_permitted)" in table
    assert f"decided: request-accepted (rule always_permitted); version 1 of {outcome.body['claim_id']}" in table


def test_a_refusal_is_told_with_its_code_and_goes_to_who_asked_alone(world: World) -> None:
    outcome = ask(world, world.creation(office=world.other_office))
    found = look(world.connection, f"{world.partner_id}/{outcome.body['request_id']}").document()
    assert found["requests"][0]["code"] == outcome.body["code"]
    assert found["received_by"] == [world.partner_id]
    assert f"decided: request-refused, {outcome.body['code']}" in " ".join(sight["what"] for sight in found["way"])


def test_a_claim_is_followed_by_its_id_and_its_number_with_the_steps_of_its_link(world: World) -> None:
    claim = world.create(tasks=[{"kind": "first_aid"}])
    target = world.register(f"SK-{secrets.token_hex(4)}")
    assert ask(world, report(claim, "Pumpet")).accepted
    (linked,) = world.insurer.ask(link(claim, target))
    assert linked.accepted
    world.event(world.insurer, "claim-linked", claim.body["claim_id"])
    world.settle()
    found = look(world.connection, claim.body["claim_id"]).document()
    assert [request["request_type"] for request in found["requests"] if request["company"] != "claimbus"] == [
        "claimbus.create-temporary-claim.v1",
        "claimbus.report-task.v1",
        "claimbus.link-claim.v1",
    ]
    steps = [request["id"].rpartition("/")[2] for request in found["requests"] if request["company"] == "claimbus"]
    assert steps == ["import-content", "finish-link"]
    assert found["missing"] == 0
    assert topics_of(found["way"])["link-requests"] == 1
    assert topics_of(found["way"])["claim-events"] == 5  # created, reported, link started, imported, linked
    assert len({appended(sight) for sight in found["way"] if sight["at_ms"] is not None}) == sum(
        sight["at_ms"] is not None for sight in found["way"]
    )
    by_number = look(world.connection, claim.body["claim_number"].lower()).document()
    assert by_number["way"] == found["way"]
    by_step = look(world.connection, found["requests"][-1]["id"]).document()
    assert [request["id"] for request in by_step["requests"]] == [found["requests"][-1]["id"]]


def test_a_request_about_the_directory_is_followed_to_the_directory(world: World) -> None:
    (outcome,) = world.insurer.ask(NewRequest("set-portal-settings", {"time_zone": "Europe/Oslo"}))
    world.settle()
    found = look(world.connection, outcome.body["request_id"]).document()
    assert topics_of(found["way"]) == {
        REQUESTS.of(world.insurer_id): 1,
        "directory": 1,
        "request-outcomes": 1,
        EVENTS.of(world.insurer_id): 1,
    }
    assert (found["requests"][0]["outcome"], found["missing"]) == ("request-accepted", 0)


def test_what_a_topic_no_longer_keeps_is_said_to_be_older(world: World) -> None:
    outcome = ask(world, world.creation())
    cut = EVENTS.of(world.partner_id)
    ends = [TopicPartition(cut, number, OFFSET_END) for number in range(EVENTS.partitions)]
    admin = AdminClient(world.connection.client())
    for done in admin.delete_records(ends).values():
        done.result()
    found = look(world.connection, outcome.body["request_id"]).document()
    assert {sight["place"]: sight["missing"] for sight in found["way"] if sight["missing"]} == {cut: Missing.NOT_KEPT}
    assert found["missing"] == 2
    assert found["received_by"] == [world.insurer_id]


def test_no_more_of_a_partition_is_read_than_was_allowed(world: World) -> None:
    claim = world.create(tasks=[{"kind": "first_aid"}])
    assert ask(world, report(claim, "Pumpet")).accepted
    topic, id = EVENTS.of(world.partner_id), claim.body["claim_id"]
    wanted = [Wanted(topic, f"{id}/{version}", 0, key=id) for version in (2, 1, 3)]
    with Topics(world.connection, at_most=1) as one, Topics(world.connection, at_most=100) as all_:
        found, everything = one.find(wanted), all_.find(wanted)
    places = [(partition_of(id.encode(), EVENTS.partitions), f"{id}/{version}") for version in (2, 1)]
    assert [
        (record.partition, dict(record.headers)["ce_id"].decode())
        for each in wanted[:2]
        if not isinstance(record := everything[each], Missing)
    ] == places
    assert everything[wanted[2]] is Missing.NOT_THERE
    assert Missing.TOO_FAR in (found[wanted[0]], found[wanted[2]])
    with Topics(world.connection, at_most=100) as topics:
        nowhere = Wanted("events.nobody", "x", 0, key="x")
        assert topics.find([nowhere]) == {nowhere: Missing.NO_TOPIC}


def test_what_is_not_known_is_an_error(world: World, file: Path) -> None:
    unknown = claimbus("trace", "no-such-request", "--within", "0", "--connection-file", file)
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "nothing is known of no-such-request" in unknown.stderr
    assert claimbus("trace", "--connection-file", file).returncode == 2
    without = file.with_name("without-database.json")
    world.connection.model_copy(update={"databases": {}, "companies_file": None}).save(without)
    told = claimbus("trace", "anything", "--connection-file", without)
    assert (told.returncode, told.stdout) == (1, "")
    assert "databases.claims" in told.stderr


def test_a_request_that_is_not_decided_yet_is_found_on_its_topic(stack: Stack, world: World) -> None:
    (permissions,) = stack.of("permissions")
    request = new_request("cancel-claim")
    with pytest.raises(Unknown):
        look(world.connection, request.id)
    assert permissions.pid is not None
    os.kill(permissions.pid, signal.SIGSTOP)
    try:
        world.insurer.send([request])
        found = look(world.connection, f"{world.insurer_id}/{request.id}").document()
    finally:
        os.kill(permissions.pid, signal.SIGCONT)
    assert [sight["what"] for sight in found["way"]] == [f"cancel-claim {request.id}", "has not read it yet"]
    assert found["received_by"] == []
    world.settle()
    after = look(world.connection, request.id).document()
    assert after["requests"][0]["code"] == "unknown_claim"
    assert after["received_by"] == [world.insurer_id]
