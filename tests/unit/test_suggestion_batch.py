"""What suggestions makes of a batch of events: each applied once, in order, and none missing unnoticed."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.suggestions.batch import READER, Batch, Gap, read_event
from services.suggestions.claim import Claim, State
from services.suggestions.particulars import blocks_of, of_nobody
from shared.contract.envelope import Undecodable
from shared.contract.events import CLAIM_EVENTS, ClaimEvent
from shared.contract.redaction import redacted
from tests.builders.commands import INSURER, NO_CLAIM
from tests.builders.content import content
from tests.builders.events import ClaimHistory, record
from tests.builders.moments import TUESDAY_EVENING

CHANGING = {
    f"claimbus.{name}.v1"
    for name in (
        "temporary-claim-created",
        "claim-registered",
        "claim-converted",
        "claim-amended",
        "claim-cancelled",
        "claim-linked",
        "claim-redacted",
        "claim-unlinked",
    )
}


def batch_of(*events: ClaimEvent, before: dict[UUID, Claim] | None = None) -> Batch:
    batch = Batch(before=before or {})
    batch.apply([caused for event in events if (caused := read_event(record(event)))])
    return batch


def claim_after(*events: ClaimEvent) -> Claim:
    return batch_of(*events).changed[events[0].claim_id]


def test_a_claim_is_temporary_until_it_is_converted_cancelled_or_linked_and_again_when_unlinked() -> None:
    claim = ClaimHistory()
    created = claim.created()
    assert claim_after(created).state is State.TEMPORARY
    linked = claim.linked(NO_CLAIM)
    assert claim_after(created, linked).state is State.CANCELLED
    assert claim_after(created, linked, claim.unlinked(NO_CLAIM)).state is State.TEMPORARY
    claim = ClaimHistory()
    created, converted = claim.created(), claim.converted()
    assert claim_after(created, converted).state is State.NORMAL
    assert claim_after(created, converted).claim_number == converted.claim_number
    assert claim_after(created, converted, claim.cancelled()).state is State.CANCELLED


def test_what_is_amended_is_replaced_and_what_is_left_out_stays() -> None:
    claim = ClaimHistory()
    created = claim.created(content(policy_number="8123456"))
    other = content(name="Ola Dahl", phone="+4790000001", street="Storgata 5")
    after = claim_after(created, claim.amended(policyholder=other.policyholder)).particulars
    assert (after.name, after.phone) == (("ola", "dahl"), "+4790000001")
    assert (after.place.number, after.policy_number) == ("1", "8123456")
    moved = ClaimHistory()
    moved_claim = claim_after(moved.created(), moved.amended(incident=other.incident, policy_number="77"))
    assert (moved_claim.particulars.place.number, moved_claim.particulars.policy_number) == ("5", "77")
    assert moved_claim.particulars.name == ("anne", "berg")


def test_a_redacted_claim_is_nobodys_and_is_compared_with_nothing() -> None:
    claim = ClaimHistory()
    registered, amended = claim.registered(content(policy_number="8123456")), claim.amended(policy_number="77")
    before = claim_after(registered, amended)
    after = claim_after(registered, amended, claim.redacted())
    assert after.particulars == of_nobody(before.particulars.incident_date, before.particulars.cause)
    assert (bool(blocks_of(INSURER, before.particulars)), blocks_of(INSURER, after.particulars)) == (True, [])
    assert claim_after(redacted(registered)).particulars == after.particulars, "sent again, nor is it at first"


@pytest.mark.parametrize("name", sorted(set(CLAIM_EVENTS) - CHANGING | {"claimbus.claim-of-next-year.v1"}))
def test_an_event_that_changes_nothing_here_or_is_not_known_yet_still_counts(name: str) -> None:
    claim = ClaimHistory()
    first = batch_of(claim.created()).changed
    read = record(claim.cancelled())
    read.headers = [(header, name.encode() if header == "ce_type" else value) for header, value in read.headers]
    event = read_event(read)
    assert event is not None
    batch = Batch(before=first)
    batch.apply([event])
    assert batch.changed[claim.id].version == 2
    assert not batch.moved


@given(data=st.data())
def test_events_again_in_any_number_and_order_change_nothing(data: st.DataObject) -> None:
    claim = ClaimHistory()
    events = [claim.created(), claim.amended(policy_number="77"), claim.converted(), claim.cancelled()]
    again = data.draw(st.lists(st.sampled_from(events)))
    once, twice = batch_of(*events), batch_of(*events, *again)
    assert twice.changed == once.changed
    assert set(twice.repeated) == {(event.claim_id, event.version) for event in again}


def test_a_missing_event_is_noticed() -> None:
    claim = ClaimHistory()
    first, _, third = claim.created(), claim.amended(policy_number="77"), claim.converted()
    with pytest.raises(Gap, match="version 3 came after 1"):
        batch_of(first, third)


def test_a_claim_met_half_way_is_passed_over_until_it_is_published_again_from_the_first() -> None:
    claim = ClaimHistory()
    first, second, third = claim.created(), claim.amended(policy_number="77"), claim.converted()
    batch = batch_of(second)
    assert (batch.changed, batch.met_half_way) == ({}, {claim.id})
    history = batch_of(second, first, second, third)
    assert history.changed[claim.id].version == 3


def test_what_is_published_again_is_for_its_reader_alone() -> None:
    event = ClaimHistory().created()
    assert read_event(record(event, "reporting")) is None
    assert read_event(record(event, INSURER)) is None
    assert read_event(record(event, READER)) is not None


def test_a_change_of_the_version_alone_moves_nothing() -> None:
    claim = ClaimHistory()
    before = batch_of(claim.created()).changed
    same = content()
    batch = batch_of(claim.amended(policyholder=same.policyholder), before=before)
    assert batch.changed[claim.id].version == 2
    assert not batch.moved


def test_an_event_tells_which_request_led_to_it_and_when() -> None:
    event = read_event(record(ClaimHistory().created()))
    assert event is not None
    assert event.request_id.startswith("request of ")
    assert event.event.at == TUESDAY_EVENING


def test_an_event_without_its_parts_is_undecodable() -> None:
    broken = record(ClaimHistory().created())
    broken.value = b'{"claim_id": 1}'
    with pytest.raises(Undecodable, match="claim_id"):
        read_event(broken)
