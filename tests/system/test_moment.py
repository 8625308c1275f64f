"""The moment of a request is its append time, and the settings that count are those in force then (domain rule 4)."""

import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from operations.bus import NewRequest
from operations.demo.story import country_without_holiday
from operations.stack import Stack
from tests.world import World, wait_until

pytestmark = pytest.mark.promise(
    "The moment of a request is the broker's, and the settings that count are those in force then, however "
    "late it is read.",
    about="requests",
)

OSLO = ZoneInfo("Europe/Oslo")


def test_a_closing_time_that_passes_while_permissions_is_stopped_still_divides_the_requests(
    stack: Stack, world: World
) -> None:
    closes = _next_minute(at_least_s=6)
    hours = {"opens": "00:00", "closes": "24:00" if closes.hour == closes.minute == 0 else f"{closes:%H:%M}"}
    days = {closes.date().isoformat(), datetime.now(OSLO).date().isoformat()}
    world.set_portal(special_hours=dict.fromkeys(days, hours), country=country_without_holiday())
    (permissions,) = stack.of("permissions")
    permissions.stop()
    before = [world.creation(office=world.second_office) for _ in range(20)]
    after = [world.creation(office=world.second_office) for _ in range(20)]
    world.partner.send(before)
    wait_until(lambda: datetime.now(OSLO) > closes + timedelta(milliseconds=50), what="closing time", timeout_s=90)
    world.partner.send(after)
    permissions.start()
    outcomes = world.partner.ask(*before, *after)  # sent again: the first sending is what counts (rule 21)
    assert {o.body.get("code") for o in outcomes[:20]} == {"inside_office_hours"}
    assert all(datetime.fromisoformat(o.body["requested_at"]) < closes for o in outcomes[:20])
    assert {o.body["decision"]["rule"] for o in outcomes[20:]} == {"after_closing"}
    assert all(o.accepted for o in outcomes[20:])
    assert all(datetime.fromisoformat(o.body["requested_at"]) >= closes for o in outcomes[20:])


def test_a_change_behind_a_backlog_counts_from_its_effective_at_on_and_not_before(stack: Stack, world: World) -> None:
    (permissions,) = stack.of("permissions")
    permissions.stop()
    waiting = [world.creation() for _ in range(30)]
    never = NewRequest("set-office-permission", {"office": world.office, "creation": "never"})
    world.partner.send(waiting[:15])
    world.insurer.send([never])
    world.partner.send(waiting[15:])
    permissions.start()
    late: list[NewRequest] = []

    def is_set(_: object) -> bool:
        late.append(world.creation())  # more requests all the while that the change is being settled
        world.partner.send(late[-1:])
        return any(m.is_outcome and m.body["request_id"] == never.id for m in world.insurer.received)

    world.insurer.wait_until(is_set, what="the outcome of the change")
    last = world.creation()
    world.partner.send([last])
    (settled,) = (m for m in world.insurer.received if m.is_outcome and m.body["request_id"] == never.id)
    effective_at = datetime.fromisoformat(settled.body["effective_at"])
    wanted = {request.id for request in (*waiting, *late, last)}
    outcomes = {}

    def all_arrived(messages: object) -> bool:
        outcomes.update({m.body["request_id"]: m for m in world.partner.received if m.is_outcome})
        return wanted <= set(outcomes)

    world.partner.wait_until(all_arrived, what="all outcomes")
    for request_id in wanted:
        outcome = outcomes[request_id]
        earlier = datetime.fromisoformat(outcome.body["requested_at"]) < effective_at
        assert outcome.accepted is earlier, (outcome.body, effective_at)
    assert all(outcomes[request.id].accepted for request in waiting)
    assert outcomes[last.id].body["code"] == "never_permitted"


def test_no_sender_can_choose_its_own_clock(world: World) -> None:
    began = time.time()
    claimed = datetime(2020, 1, 1, tzinfo=UTC).isoformat().encode()
    request = world.creation()
    dated = NewRequest(request.name, request.body, id=request.id, extra_headers=(("ce_time", claimed),))
    (outcome,) = world.partner.ask(dated)
    assert abs(datetime.fromisoformat(outcome.body["requested_at"]).timestamp() - began) < 60


def _next_minute(*, at_least_s: float) -> datetime:
    """The first full minute in Oslo that is far enough away to get everything ready for it."""
    earliest = datetime.now(OSLO) + timedelta(seconds=at_least_s)
    return earliest.replace(second=0, microsecond=0) + timedelta(minutes=1)
