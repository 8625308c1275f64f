"""A batch of commands: decided in order, each on what the ones before it have left, each request once (rule 21)."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.claims.batch import Batch
from services.claims.claim import State
from services.claims.commands import Command, read_command
from shared.contract import ids
from shared.contract.codes import Code
from shared.contract.commands import Refusal
from shared.contract.envelope import Undecodable
from shared.contract.outcomes import Detail, RequestRefused
from shared.messaging.memory import MemoryRecord
from tests.builders.commands import (
    INSURER,
    PLUMBER,
    SURVEYOR,
    Desk,
    about,
    accepted,
    code_of,
    command,
    creation,
    decide_in_order,
    decision,
    empty_batch,
    message,
    refused,
    registration,
)
from tests.builders.content import FIRST_AID

CLAIM = ids.claim_id(PLUMBER, "creation")
CREATION = creation(tasks=[FIRST_AID])
CONVERSION = about(CLAIM, "convert-to-normal", INSURER, "conversion", claim_number="SK-1", handler="kari")
CANCELLATION = about(CLAIM, "cancel-claim", INSURER, "cancellation")


def decided(*commands: Command, taken: tuple[str, str] | None = None) -> Batch:
    batch = empty_batch(numbers={taken: CLAIM} if taken else {})
    decide_in_order(batch, *commands)
    return batch


# In order


def test_each_request_of_a_batch_is_decided_on_what_the_ones_before_it_have_left() -> None:
    batch = decided(CREATION, CONVERSION, CANCELLATION)
    assert [accepted(d).type() for d in batch.decided.values()] == ["claimbus.request-accepted.v1"] * 3
    assert [event.version for d in batch.decided.values() for event in d.events] == [1, 2, 3]
    assert batch.claims[CLAIM].state is State.CANCELLED


def test_a_request_that_comes_before_the_claim_that_it_is_about_is_refused() -> None:
    batch = decided(CANCELLATION, CREATION)
    assert code_of(batch.decided[CANCELLATION.key]) is Code.UNKNOWN_CLAIM
    assert batch.claims[CLAIM].state is State.TEMPORARY


def test_the_first_of_two_requests_that_exclude_each_other_takes_effect() -> None:
    batch = decided(CREATION, CANCELLATION, CONVERSION)
    assert accepted(batch.decided[CANCELLATION.key])
    assert code_of(batch.decided[CONVERSION.key]) is Code.ALREADY_CANCELLED


def test_decisions_are_told_in_the_order_of_their_requests() -> None:
    commands = [CREATION, registration("SK-9", "z"), registration("SK-8", "a"), CANCELLATION]
    assert list(decided(*commands).decided) == [c.key for c in commands]


def test_only_the_claims_that_something_happened_to_are_changed() -> None:
    desk = Desk()
    claim, other = desk.create("first"), desk.create("second")
    batch = empty_batch(claims={claim.id: claim, other.id: other})
    decide_in_order(
        batch,
        about(claim, "cancel-claim", INSURER, "accepted"),
        about(other, "cancel-claim", PLUMBER + "-2", "refused"),
    )
    assert batch.changed == {claim.id: batch.claims[claim.id]}
    assert batch.claims[other.id] == other


# Each request once


def test_a_request_that_comes_twice_in_a_batch_has_one_outcome_and_one_effect() -> None:
    batch = decided(CREATION, CREATION)
    assert list(batch.decided) == [CREATION.key]
    assert batch.claims[CLAIM].version == 1


def test_a_request_that_comes_again_with_another_body_keeps_its_first_outcome() -> None:
    once = decided(CREATION).decided[CREATION.key]
    again = creation(policy_number="P-2", claim_number="77")
    batch = decided(CREATION, again)
    assert batch.decided == {CREATION.key: once}
    assert batch.claims[CLAIM].policy_number is None


def test_a_request_id_that_comes_again_with_another_type_keeps_its_first_outcome() -> None:
    twin = about(CLAIM, "cancel-claim", PLUMBER, "creation")
    batch = decided(CREATION, twin)
    assert accepted(batch.decided[CREATION.key]).request_type == "claimbus.create-temporary-claim.v1"
    assert batch.claims[CLAIM].state is State.TEMPORARY


def test_a_refused_request_that_comes_again_stays_refused_though_it_would_be_accepted_now() -> None:
    batch = decided(CANCELLATION, CREATION, CANCELLATION)
    assert code_of(batch.decided[CANCELLATION.key]) is Code.UNKNOWN_CLAIM
    assert batch.claims[CLAIM].state is State.TEMPORARY


def test_two_companies_may_use_the_same_request_id() -> None:
    batch = decided(creation("1"), registration("SK-1", "1"))
    assert list(batch.decided) == [(PLUMBER, "1"), (INSURER, "1")]
    assert len(batch.claims) == 2


@given(order=st.lists(st.sampled_from([CREATION, CONVERSION, CANCELLATION]), max_size=12))
@settings(deadline=None)
def test_repeating_requests_changes_nothing_however_often_and_wherever(order: list[Command]) -> None:
    first_of_each = list({c.key: c for c in order}.values())
    assert decided(*order) == decided(*first_of_each)


# Claim numbers


def test_a_number_that_a_request_of_the_batch_took_is_taken_for_those_after_it() -> None:
    batch = decided(CREATION, registration("SK-1"), CONVERSION)
    assert batch.decided[INSURER, "registration"].number_taken == (INSURER, "SK-1")
    assert code_of(batch.decided[CONVERSION.key]) is Code.CLAIM_NUMBER_TAKEN
    assert batch.claims[CLAIM].state is State.TEMPORARY


def test_a_number_that_was_taken_before_the_batch_is_taken() -> None:
    batch = decided(registration("SK-1"), taken=(INSURER, "SK-1"))
    assert code_of(batch.decided[INSURER, "registration"]) is Code.CLAIM_NUMBER_TAKEN


def test_a_refused_request_takes_no_number() -> None:
    batch = decided(CONVERSION, registration("SK-1"))
    assert code_of(batch.decided[CONVERSION.key]) is Code.UNKNOWN_CLAIM
    assert accepted(batch.decided[INSURER, "registration"])


def test_a_created_claim_takes_its_temporary_number() -> None:
    batch = decided(CREATION)
    assert batch.decided[CREATION.key].number_taken == (INSURER, batch.claims[CLAIM].claim_number)
    assert batch.holder_of(INSURER, batch.claims[CLAIM].claim_number) == CLAIM


def test_a_request_that_gives_no_number_takes_none() -> None:
    assert decided(CREATION, CANCELLATION).decided[CANCELLATION.key].number_taken is None


# What permissions refused


def test_what_permissions_refused_is_remembered_with_its_code_details_and_decision() -> None:
    refusal = Refusal(code=Code.INSIDE_OFFICE_HOURS, details=[Detail(field="office", problem="is too early")])
    batch = decided(
        command(
            "create-temporary-claim",
            None,
            company=PLUMBER,
            request_id="creation",
            refusal=refusal,
            decided=decision(inside=True),
        )
    )
    assert refused(batch.decided[PLUMBER, "creation"]) == RequestRefused(
        request_id="creation",
        company=PLUMBER,
        request_type="claimbus.create-temporary-claim.v1",
        requested_at=CREATION.checked.requested_at,
        code=Code.INSIDE_OFFICE_HOURS,
        message=Code.INSIDE_OFFICE_HOURS.message,
        details=refusal.details,
        decision=decision(inside=True),
    )
    assert batch.claims == batch.changed == {}


def test_a_refused_request_may_be_of_a_type_that_nobody_knows() -> None:
    unknown = command("order-pizza", None, company=PLUMBER, request_id="1", refusal=Refusal(code=Code.UNKNOWN_TYPE))
    outcome = refused(decided(unknown).decided[unknown.key])
    assert (outcome.code, outcome.request_type) == (Code.UNKNOWN_TYPE, "claimbus.order-pizza.v1")


def test_a_request_that_is_not_about_claims_is_of_an_unknown_type() -> None:
    settings_request = command("set-portal-settings", {"enhanced_function": True}, company=INSURER, request_id="1")
    assert code_of(decided(settings_request).decided[settings_request.key]) is Code.UNKNOWN_TYPE


# Reading a command


def test_a_command_is_read_as_it_was_written() -> None:
    read = read_command(message(CREATION.checked, trace=[("traceparent", b"00-a-b-01")]))
    assert read == Command(CREATION.checked, (("traceparent", b"00-a-b-01"),))
    assert read.key == (PLUMBER, "creation")


@pytest.mark.parametrize(
    "change",
    [
        lambda record: setattr(record, "value", None),
        lambda record: setattr(record, "value", b"not JSON"),
        lambda record: setattr(record, "value", b"[]"),
        lambda record: setattr(record, "value", b"{}"),
        lambda record: setattr(record, "value", b'{"company": "\xff"}'),
        lambda record: setattr(record, "headers", []),
        lambda record: setattr(record, "headers", [h for h in record.headers if h[0] != "ce_id"]),
        lambda record: setattr(record, "headers", [*record.headers, ("ce_id", b"\xff")]),
        lambda record: setattr(record, "headers", [*record.headers, ("ce_type", b"claimbus.finish-link.v1")]),
    ],
    ids=[
        "no value",
        "not JSON",
        "not an object",
        "an empty object",
        "not UTF-8",
        "no headers",
        "no id",
        "an id that is not UTF-8",
        "a type that claims does not read",
    ],
)
def test_what_is_not_a_command_is_undecodable(change: Callable[[MemoryRecord], None]) -> None:
    record = message(CREATION.checked)
    change(record)
    with pytest.raises(Undecodable):
        read_command(record)


def test_a_command_whose_header_is_null_is_undecodable() -> None:
    record = message(CREATION.checked)
    record.headers = [*record.headers, ("ce_id", None)]  # type: ignore[list-item]  # Kafka has null headers
    with pytest.raises(Undecodable):
        read_command(record)


def test_a_request_of_an_unknown_type_that_was_not_refused_is_undecodable() -> None:
    checked = CREATION.checked.model_copy(update={"request_type": "claimbus.order-pizza.v1"})
    with pytest.raises(Undecodable, match="unknown type"):
        read_command(message(checked))


def test_a_body_that_permissions_should_have_refused_is_undecodable_without_repeating_it() -> None:
    assert CREATION.request is not None
    judged_otherwise = CREATION.request.model_copy(update={"insurer": "NOT A SLUG"})
    checked = CREATION.checked.model_copy(update={"request": judged_otherwise})
    with pytest.raises(Undecodable) as problem:
        read_command(message(checked))
    assert "insurer" in str(problem.value)
    assert "NOT A SLUG" not in str(problem.value)


def test_a_command_without_a_body_that_was_not_refused_is_undecodable() -> None:
    checked = CREATION.checked.model_copy(update={"request": None})
    with pytest.raises(Undecodable):
        read_command(message(checked))


def test_a_refused_command_is_read_without_its_body() -> None:
    checked = CREATION.checked.model_copy(update={"refusal": Refusal(code=Code.NEVER_PERMITTED)})
    read = read_command(message(checked))
    assert isinstance(read, Command)
    assert read.request is None


def test_another_company_cannot_have_sent_the_request_of_a_command() -> None:
    assert creation("1", company=SURVEYOR).key != creation("1", company=PLUMBER).key
