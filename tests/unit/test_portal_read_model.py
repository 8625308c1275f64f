"""What the portal makes of events: in order, each once, for those who may see them."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from services.portal.claim_view import ClaimView, State
from services.portal.listing import Day, Filter
from services.portal.pages.claim import can_be_unlinked
from services.portal.read_model import CausedEvent, Changes, PassedOver, read
from shared.contract.envelope import Undecodable, outgoing
from shared.contract.events import (
    ClaimLinked,
    ClaimUnlinked,
    ContentImported,
    ContentWithdrawn,
    ImportedReport,
    ImportedTask,
    LinkFailed,
    LinkStarted,
    UnlinkStarted,
)
from shared.contract.fields import Actor, LocalizedText
from shared.contract.topics import REQUEST_OUTCOMES
from shared.errors import Misconfigured
from shared.messaging.memory import MemoryRecord
from tests.builders.events import about, converted, created, task
from tests.builders.moments import TUESDAY_EVENING
from tests.builders.outcomes import accepted
from tests.builders.records import record_of
from tests.builders.requests import FJORD, VEST, VEST_BERGEN

TASK = task()


def after(*events: Any, before: dict[UUID, ClaimView] | None = None) -> Changes:
    """The changes after events."""
    changes = Changes(dict(before or {}))
    for event in events:
        changes.apply(CausedEvent(event, "request"))
    return changes


def outcome(request_id: str) -> MemoryRecord:
    """The outcome of a request, as claims publishes it."""
    topic, body = REQUEST_OUTCOMES.name, accepted(VEST, request_id)
    return record_of(outgoing(topic, request_id, body, id=f"{VEST}/{request_id}", source="claims", cause=request_id))


def test_of_outcomes_only_those_of_requests_made_here_are_read() -> None:
    of_a_page, of_a_system = outcome("portal:1"), outcome("storm:1")
    assert read(of_a_page) == accepted(VEST, "portal:1")
    assert read(of_a_system) == PassedOver()
    assert read(replace(of_a_system, value=b"not looked at")) == PassedOver()
    with pytest.raises(Undecodable):
        read(replace(of_a_page, value=b"looked at"))


def test_a_created_claim_waits_until_it_is_converted() -> None:
    id = uuid4()
    changes = after(created(id, tasks=[TASK]))
    assert changes.waiting() == {FJORD: 1}
    changes = after(converted(id), before=changes.views)
    assert changes.views[id].state is State.NORMAL
    assert changes.waiting() == {FJORD: -1}


def test_an_event_that_comes_again_changes_nothing() -> None:
    id = uuid4()
    before = after(created(id, tasks=[TASK]), converted(id)).views
    again = after(created(id, tasks=[TASK]), converted(id), before=before)
    assert again.changed == []
    assert again.applied == []


def test_a_gap_stops_the_service_and_says_what_to_do() -> None:
    id = uuid4()
    with pytest.raises(Misconfigured, match="rebuild portal"):
        after(created(id, tasks=[TASK]), converted(id, version=3))


def test_a_claim_that_is_met_half_way_is_passed_over() -> None:
    assert after(converted(uuid4())).changed == []


def test_a_link_comes_and_goes_with_its_tasks() -> None:
    source, target, link = uuid4(), uuid4(), uuid4()
    linked = about(source, 2) | {"link_id": link, "target_claim_id": target}
    events = [
        created(source, tasks=[TASK]),
        LinkStarted(**linked),
        ClaimLinked(**linked | {"version": 3}),
        UnlinkStarted(**linked | {"version": 4}),
    ]
    view = after(*events[:2]).views[source]
    assert view.is_being_linked
    view = after(*events).views[source]
    assert view.state is State.CANCELLED
    assert view.link is not None
    assert view.link.being_taken_back
    report = ImportedReport(
        report_id=uuid4(),
        source_report_id=uuid4(),
        text="Tørt nå.",
        finished=True,
        at=TUESDAY_EVENING,
        actor=Actor(company=VEST),
    )
    back = ImportedTask(**dict(TASK), source_task_id=uuid4(), reports=[report])
    view = after(*events, ClaimUnlinked(**linked | {"version": 5}, tasks=[back])).views[source]
    assert view.state is State.TEMPORARY
    assert view.tasks[0].finished


def test_a_link_can_be_taken_back_for_as_many_days_as_the_insurer_has_set() -> None:
    id = uuid4()
    linked = about(id, 2) | {"link_id": uuid4(), "target_claim_id": uuid4()}
    events = [created(id, tasks=[TASK]), LinkStarted(**linked), ClaimLinked(**linked | {"version": 3})]
    view = after(*events).views[id]
    assert can_be_unlinked(view, 30, TUESDAY_EVENING + timedelta(days=30))
    assert not can_be_unlinked(view, 30, TUESDAY_EVENING + timedelta(days=30, milliseconds=1))
    assert not can_be_unlinked(after(*events[:2]).views[id], 30, TUESDAY_EVENING)
    being_taken_back = after(*events, UnlinkStarted(**linked | {"version": 4})).views[id]
    assert not can_be_unlinked(being_taken_back, 30, TUESDAY_EVENING)


def test_a_link_that_failed_leaves_the_claim_temporary_with_the_reason() -> None:
    id = uuid4()
    linked = about(id, 2) | {"link_id": uuid4(), "target_claim_id": uuid4()}
    reason = LocalizedText(nb="Filen er borte.", en="The file is gone.")
    failed = LinkFailed(**linked | {"version": 3}, reason="media_missing", message=reason)
    view = after(created(id, tasks=[TASK]), LinkStarted(**linked), failed).views[id]
    assert view.state is State.TEMPORARY
    assert not view.is_being_linked
    assert view.link is not None
    assert view.link.failed == reason


def test_later_parts_of_a_link_add_reports_to_the_same_task_and_withdrawing_takes_it_away() -> None:
    id, source = uuid4(), uuid4()
    task = ImportedTask(**dict(TASK), source_task_id=uuid4())
    report = ImportedReport(
        report_id=uuid4(), source_report_id=uuid4(), text="Mer", at=TUESDAY_EVENING, actor=Actor(company=VEST)
    )
    linked: dict[str, Any] = {"link_id": uuid4(), "source_claim_id": source}
    first = ContentImported(**about(id, 2), **linked, part=1, tasks=[task])
    later = ContentImported(**about(id, 3), **linked, part=2, tasks=[task.model_copy(update={"reports": [report]})])
    view = after(created(id, tasks=[TASK]), first, later).views[id]
    assert [len(task.reports) for task in view.tasks] == [1]
    withdrawn = ContentWithdrawn(**about(id, 4), **linked, seen_from_now_on_by=[FJORD], task_ids=[TASK.task_id])
    assert after(created(id, tasks=[TASK]), first, later, withdrawn).views[id].tasks == ()


def test_each_company_sees_its_own_office_and_the_insurer_the_creating_one() -> None:
    view = after(created(uuid4(), tasks=[TASK])).views.popitem()[1]
    assert view.office_of(VEST) == VEST_BERGEN
    assert view.office_of(FJORD) == VEST_BERGEN


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("anne BERG", [["anne", "berg"]]),
        ("91234567", [["91234567"]]),
        ("912 34 567", [["34", "567", "912"], ["91234567"]]),
        ("2026-17", [["17", "2026"], ["202617"]]),
        ("F-2026/17", [["17", "2026", "f"]]),
        ("' | !x:*", [["x"]]),
        ("  ", []),
        ("+-", []),
    ],
)
def test_a_text_is_looked_for_by_its_words_and_a_number_as_one_too(text: str, found: list[list[str]]) -> None:
    assert Filter(text=text).readings == found


def test_a_list_begins_with_what_was_registered_last() -> None:
    assert (Filter().day, Filter().newest_first, Filter().state) == (Day.REGISTERED, True, None)
