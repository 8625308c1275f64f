"""What a company sends about settings, offices and users, whether it may or not, and what it costs the others."""

from collections import Counter
from datetime import timedelta
from typing import get_args

import pytest

from shared.contract.topics import DIRECTORY, REQUEST_OUTCOMES
from shared.domain import directory
from shared.messaging.memory import Step
from tests.builders.requests import FJORD, NORD, VEST, VEST_BERGEN, VEST_VOSS
from tests.memory.audited import audited
from tests.memory.road import Road

MANY = 1000
MOST = 50

pytestmark = pytest.mark.promise(
    "Settings requests of those who may not send them leave nothing in the directory, and are decided with the rest.",
    about="requests",
)


async def test_settings_of_a_company_that_may_not_ask_are_refused_each_and_never_in_the_directory(road: Road) -> None:
    kept = len(road.bus.records(DIRECTORY.name))
    for n in range(MANY):
        road.ask(VEST, "set-portal-settings", {"time_zone": "Asia/Tokyo"}, id=f"flood-{n}")
    await road.run()
    assert Counter(outcome["code"] for outcome in road.outcomes(VEST)) == {"sender_not_allowed": MANY}
    assert len(road.bus.records(DIRECTORY.name)) == kept


@pytest.mark.promise("What a company has the directory keep for ever is bounded by the day.", about="requests")
async def test_what_is_more_than_the_directory_takes_in_a_day_is_refused_each_and_leaves_nothing_there(
    road: Road, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory, "MOST_CHANGES", MOST)
    kept = len(road.bus.records(DIRECTORY.name))

    async def ask(*numbers: int) -> dict[str, str | None]:
        for n in numbers:
            road.ask(
                NORD,
                "register-user",
                {"id": f"user-{n}", "company": NORD, "name": "Ola", "authorisation_level": 1},
                id=f"flood-{n}",
            )
        await road.run()
        return {outcome["request_id"]: outcome.get("code") for outcome in road.outcomes(NORD)}

    first = await ask(*range(3 * MOST))
    assert Counter(first.values()) == {None: MOST, "too_many_changes": 2 * MOST}
    assert len(road.bus.records(DIRECTORY.name)) == kept + MOST
    assert await ask(*range(3 * MOST)) == first  # what comes again is answered as it was
    assert set(road.different(REQUEST_OUTCOMES.name).values()) == {1}
    assert (await audited(road)).kept == []
    road.bus.now += timedelta(days=1)
    assert (await ask(3 * MOST))[f"flood-{3 * MOST}"] is None
    await ask(3 * MOST - 1)  # refused yesterday, and sent again with its id
    assert [o.get("code") for o in road.outcomes(NORD) if o["request_id"] == f"flood-{3 * MOST - 1}"][-1] is None
    assert (await audited(road)).kept == []


async def test_a_refusal_of_who_may_not_ask_comes_again_as_it_was_also_of_another_body(road: Road) -> None:
    road.ask(VEST, "set-portal-settings", {"time_zone": 7}, id="once")
    await road.run()
    road.ask(VEST, "set-portal-settings", {"time_zone": "Asia/Tokyo"}, id="once")
    await road.run()
    first, again = road.outcomes(VEST)
    assert first == again
    assert (await audited(road)).kept == []


async def test_many_settings_are_put_into_the_directory_a_batch_at_a_time(road: Road) -> None:
    for n in range(MANY):
        body = {"id": f"user-{n}", "company": VEST, "name": "Ola", "authorisation_level": 1}
        road.ask(VEST, "register-user", body, id=f"request-{n}")
    with pytest.raises(AssertionError, match="nothing crashed"), road.bus.crash(after="decided", time=MANY // 10):
        await road.run("permissions")  # it would have, had it published so often
    road.bus.crash_after = None
    await road.run()
    assert Counter(outcome.get("code") for outcome in road.outcomes(VEST)) == {None: MANY}


@pytest.mark.parametrize("step", get_args(Step))
async def test_a_crash_after_any_step_costs_no_settings_their_one_outcome(road: Road, step: Step) -> None:
    requests = {f"request-{n}": f"user-{n}" for n in range(10)}
    for id, user in requests.items():
        body = {"id": user, "company": VEST, "name": "Ola", "authorisation_level": 1}
        road.ask(VEST, "register-user", body, id=id)
    with road.bus.crash(after=step):
        await road.run("permissions")
    await road.run()
    assert {outcome["request_id"]: outcome.get("code") for outcome in road.outcomes(VEST)} == dict.fromkeys(requests)
    assert set(road.different(REQUEST_OUTCOMES.name).values()) == {1}


async def test_settings_that_build_on_each_other_are_settled_in_one_batch(road: Road) -> None:
    rights = {"office": VEST_BERGEN, "creation": "always", "may_assign_to_others": True}
    road.ask(FJORD, "set-portal-settings", {"enhanced_function": True}, id="on")
    road.ask(FJORD, "set-office-permission", rights, id="granted")
    road.ask(FJORD, "set-portal-settings", {"enhanced_function": False}, id="off")
    road.ask(FJORD, "set-office-permission", {**rights, "office": VEST_VOSS}, id="refused")
    await road.run()
    codes = {outcome["request_id"]: outcome.get("code") for outcome in road.outcomes(FJORD)}
    expected = {"on": None, "granted": None, "off": None, "refused": "enhanced_function_off"}
    assert codes.items() >= expected.items()
