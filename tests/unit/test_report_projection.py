"""What each event changes in what reports are counted from."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.reporting.projection import Changes, Ending, Gap, UndoneLink
from shared.contract.events import CLAIM_EVENTS, ClaimConverted, ClaimEvent, ClaimLinked, ClaimUnlinked, TaskReported
from tests.unit.test_contract_published import SENT

EVENTS: dict[str, Any] = {message.type(): message for message in SENT if message.type() in CLAIM_EVENTS}
CREATED = EVENTS["claimbus.temporary-claim-created.v1"]
CLAIM: UUID = CREATED.claim_id


def then(event_type: type[ClaimEvent], version: int, **changes: Any) -> Any:
    """Make an event of the claim, `version` hours after the first."""
    at = CREATED.at + timedelta(hours=version)
    return EVENTS[event_type.type()].model_copy(update={"claim_id": CLAIM, "version": version, "at": at, **changes})


def after(*events: ClaimEvent, incomplete: bool = False) -> Changes:
    changes = Changes({}, incomplete=incomplete)
    changes.apply(events)
    return changes


def test_a_created_claim_waits_and_its_tasks_are_assigned() -> None:
    changes = after(CREATED)
    claim = changes.claims[CLAIM]
    assert (claim.temporary, claim.office, claim.cause) == (True, CREATED.office, CREATED.incident.cause)
    assert [task.task_id for task in changes.tasks] == [task.task_id for task in CREATED.tasks]


@pytest.mark.parametrize("event_type", CLAIM_EVENTS.values(), ids=lambda event: event.NAME)
def test_whatever_happens_is_the_claims_next_version(event_type: type[ClaimEvent]) -> None:
    if event_type.NAME in ("temporary-claim-created", "claim-registered"):
        assert after(EVENTS[event_type.type()]).claims[CLAIM].version == 1
    else:
        assert after(CREATED, then(event_type, 2)).claims[CLAIM].version == 2


def test_a_link_that_was_undone_is_kept_and_the_claim_waits_again() -> None:
    linked, unlinked = then(ClaimLinked, 2), then(ClaimUnlinked, 3)
    changes = after(CREATED, linked, unlinked)
    assert changes.claims[CLAIM].temporary
    assert changes.undone_links == [UndoneLink(CLAIM, 3, CREATED.insurer, linked.at, unlinked.at)]


def test_how_a_claim_ended_stays_whatever_happens_to_it_as_a_normal_claim() -> None:
    converted = then(ClaimConverted, 2)
    cancelled = EVENTS["claimbus.claim-cancelled.v1"].model_copy(update={"claim_id": CLAIM, "version": 3})
    claim = after(CREATED, converted, cancelled).claims[CLAIM]
    assert (claim.ended_as, claim.ended_at) == (Ending.CONVERTED, converted.at)


def test_a_task_counts_as_reported_when_it_is_first_reported_on_while_the_claim_is_temporary() -> None:
    first = then(TaskReported, 2)
    assert after(CREATED, first, then(TaskReported, 3)).reported == {first.task_id: first.at}
    assert after(CREATED, then(ClaimConverted, 2), then(TaskReported, 3)).reported == {}


def test_a_claim_that_was_registered_as_a_normal_one_is_in_no_report() -> None:
    registered = EVENTS["claimbus.claim-registered.v1"]
    assigned = then(CLAIM_EVENTS["claimbus.task-assigned.v1"], 2)
    changes = after(registered, assigned, then(CLAIM_EVENTS["claimbus.claim-cancelled.v1"], 3))
    assert not changes.claims[CLAIM].temporary
    assert (changes.claims[CLAIM].ended_as, changes.tasks) == (None, [])


def test_a_gap_is_not_passed() -> None:
    with pytest.raises(Gap, match="event 3 after 1"):
        after(CREATED, then(ClaimConverted, 3))
    with pytest.raises(Gap, match="event 2 after none"):
        after(then(ClaimConverted, 2))


def test_while_claims_can_be_missing_the_later_events_of_one_not_met_are_passed_over_and_a_gap_still_is_not() -> None:
    assert after(then(ClaimConverted, 2), incomplete=True).claims == {}
    with pytest.raises(Gap):
        after(CREATED, then(ClaimConverted, 3), incomplete=True)


HISTORY = [CREATED, then(TaskReported, 2), then(ClaimLinked, 3), then(ClaimUnlinked, 4), then(ClaimConverted, 5)]


@given(st.lists(st.integers(1, 5)))
def test_repeats_change_nothing(again: list[int]) -> None:
    repeated: list[ClaimEvent] = []
    for event in HISTORY:
        repeated += [event, *(HISTORY[n - 1] for n in again if n <= event.version)]
    assert after(*repeated) == after(*HISTORY)
