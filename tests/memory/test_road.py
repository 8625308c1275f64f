"""A request over the whole way, with a crash between any two steps of any service."""

from datetime import timedelta
from typing import get_args

import pytest

from shared.contract import ids
from shared.contract.topics import CLAIM_COMMANDS, CLAIM_EVENTS, EVENTS, REQUEST_OUTCOMES, REQUESTS
from shared.messaging.memory import Step
from shared.runtime.settings import ServiceSettings
from tests.builders.requests import FJORD, NORD, VEST, VEST_BERGEN, creation
from tests.memory.road import READERS, SERVICES, Road

STEPS: tuple[Step, ...] = get_args(Step)


@pytest.mark.promise(
    "A crash between any two steps of any service costs no request its one outcome, and leaves no link half.",
    about="requests",
)
@pytest.mark.parametrize("service", ["permissions", "claims", "delivery"])
@pytest.mark.parametrize("step", STEPS)
async def test_a_crash_after_any_step_costs_no_request_its_one_outcome(road: Road, service: str, step: Step) -> None:
    requests = [f"request-{n}" for n in range(10)]
    for id in requests:
        road.ask(VEST, "create-temporary-claim", id=id)
    for each in SERVICES:
        if each == service:
            with road.bus.crash(after=step):
                await road.run(each)
        await road.run(each)
    assert {outcome["request_id"]: outcome["claim_id"] for outcome in road.outcomes(VEST)} == {
        id: str(ids.claim_id(VEST, id)) for id in requests
    }
    for topic in (CLAIM_COMMANDS.name, REQUEST_OUTCOMES.name, CLAIM_EVENTS.name, EVENTS.of(VEST), EVENTS.of(FJORD)):
        assert set(road.different(topic).values()) == {1}, topic
    assert not road.bus.records(EVENTS.of(NORD))


async def test_a_request_that_comes_again_with_another_body_gets_the_first_outcome(road: Road) -> None:
    road.ask(VEST, "create-temporary-claim", id="once")
    await road.run()
    road.ask(VEST, "create-temporary-claim", creation(office="another"), id="once")
    await road.run()
    first, again = road.outcomes(VEST)
    assert first == again


async def test_the_moment_of_a_request_is_its_append_however_late_it_is_read(road: Road) -> None:
    road.ask(VEST, "create-temporary-claim", id="before")
    road.bus.now += timedelta(minutes=1)
    road.ask(FJORD, "set-office-permission", {"office": VEST_BERGEN, "creation": "never"}, id="change")
    road.bus.now += timedelta(minutes=1)
    road.ask(VEST, "create-temporary-claim", id="after")
    await road.run()
    assert {outcome["request_id"]: outcome.get("code") for outcome in road.outcomes(VEST)} == {
        "before": None,
        "after": "never_permitted",
    }


async def test_a_company_without_a_topic_costs_nobody_else_theirs(road: Road) -> None:
    del road.bus.topics[EVENTS.of(FJORD)]
    road.ask(VEST, "create-temporary-claim", id="one")
    await road.run()
    assert [outcome["request_id"] for outcome in road.outcomes(VEST)] == ["one"]
    assert [letter["reason"] for letter in road.bus.bodies("dead-letters")] == [f"there is no topic {EVENTS.of(FJORD)}"]


async def test_the_rubbish_of_several_companies_costs_nobody_else_their_outcome(road: Road) -> None:
    for company in (NORD, FJORD):  # the same broken client, which writes every header in quotation marks
        for _ in range(ServiceSettings().dead_letter_window + 1):
            road.bus.append(REQUESTS.of(company), "a key", b"{}", [('"ce_id"', b'"one"')])
    road.ask(VEST, "create-temporary-claim", id="one")
    await road.run()
    assert [outcome["request_id"] for outcome in road.outcomes(VEST)] == ["one"]
    assert {letter["reason"] for letter in road.bus.bodies("dead-letters")} == {"it has no ce_id"}


@pytest.mark.parametrize("service", READERS)
@pytest.mark.parametrize("step", ["fetched", "decided", "committed"])
async def test_what_reads_along_comes_to_the_same_after_a_crash(road: Road, service: str, step: Step) -> None:
    for n in range(5):
        road.ask(VEST, "create-temporary-claim", id=f"request-{n}")
    road.ask(FJORD, "register-claim", id="registration")
    await road.run()
    with road.bus.crash(after=step):
        await road.run(service)
    await road.run(service)
    once = await road.kept(service)
    assert sum(once.values()) > 0
    road.bus.groups[service].committed.clear()  # all of it comes again
    await road.run(service)
    assert await road.kept(service) == once


@pytest.mark.promise(
    "A crash between any two steps of any service costs no request its one outcome, and leaves no link half.",
    about="requests",
)
@pytest.mark.parametrize("time", range(1, 6))
@pytest.mark.parametrize("step", [step for step in STEPS if step != "half published"])
async def test_a_link_ends_whole_whichever_step_of_it_is_followed_by_a_crash(road: Road, step: Step, time: int) -> None:
    source, target = ids.claim_id(VEST, "source"), ids.claim_id(FJORD, "target")
    road.ask(VEST, "create-temporary-claim", creation(tasks=[{"kind": "first_aid"}]), id="source")
    road.ask(FJORD, "register-claim", id="target")
    await road.run()
    report = {"claim_id": str(source), "task_id": str(ids.created_task_id(source, 1)), "text": "Tørket."}
    road.ask(VEST, "report-task", report, id="report")
    await road.run()
    road.ask(FJORD, "link-claim", {"claim_id": str(source), "target_claim_id": str(target)}, id="link")
    with road.bus.crash(after=step, time=time):
        await road.run()
    await road.run()
    assert [o for o in road.outcomes(FJORD) + road.outcomes(VEST) if "code" in o] == []
    assert set(road.different(CLAIM_EVENTS.name).values()) == {1}
    events = {(body["claim_id"], body["version"]): body for body in road.bus.bodies(CLAIM_EVENTS.name)}
    assert [body["source_claim_id"] for body in events.values() if "source_claim_id" in body] == [str(source)]
    assert [body["target_claim_id"] for body in events.values() if "target_claim_id" in body][-1:] == [str(target)]
    (imported,) = (body for body in events.values() if body["claim_id"] == str(target) and "tasks" in body)
    assert [made["text"] for task in imported["tasks"] for made in task["reports"]] == ["Tørket."]
    assert not road.bus.records("dead-letters")
