"""A partner's creation request on its own topic: checked, created, answered, and seen by those who may."""

import json
import uuid
from collections.abc import Iterator

import pytest
from confluent_kafka.admin import AdminClient

from operations.bus import Company, NewRequest
from operations.dead_letters import DeadLetters
from operations.demo.story import country_without_holiday
from operations.stack import Instance, Stack
from operations.trace.command import look
from operations.trace.topics import Missing
from shared.contract import ids
from shared.contract.topics import OPERATOR
from tests.locks import nobody_writes
from tests.world import World, metric, report, wait_until

CONVERSIONS = 20
TAKEN = 'claimbus_outcomes_total{code="claim_number_taken"}'


def test_an_always_permitted_office_creates_a_claim_that_the_insurer_sees_at_once(world: World) -> None:
    request = world.creation(partner_reference="P-1", tasks=[{"kind": "first_aid"}])
    (outcome,) = world.partner.ask(request)
    claim = str(ids.claim_id(world.partner_id, request.id))
    assert outcome.accepted
    assert outcome.body["claim_id"] == claim
    assert outcome.body["task_ids"] == [str(ids.created_task_id(uuid.UUID(claim), 1))]
    assert outcome.body["claim_number"].startswith("Midlertidig ")
    assert outcome.body["decision"]["rule"] == "always_permitted"
    assert outcome.headers["ce_causationid"] == request.id
    for company in (world.insurer, world.partner):
        created = world.event(company, "temporary-claim-created", claim)
        assert created.id == f"{claim}/1"
        assert created.body["claim_number"] == outcome.body["claim_number"]
        assert created.body["partner_reference"] == "P-1"
        assert "audience" not in created.body


def test_a_company_outside_the_audience_hears_nothing_of_a_claim_and_cannot_learn_that_it_exists(world: World) -> None:
    claim = world.create().body["claim_id"]
    assignment = NewRequest("assign-task", {"claim_id": claim, "kind": "first_aid", "office": world.other_office})
    unknown = NewRequest("assign-task", {"claim_id": str(uuid.uuid4()), "kind": "first_aid"})
    about_it, about_nothing = world.other.ask(assignment, unknown)
    assert about_it.body["code"] == about_nothing.body["code"] == "unknown_claim"
    world.settle()
    assert [m.type for m in world.insurer.received if not m.is_outcome] == ["temporary-claim-created"]
    assert all(message.is_outcome for message in world.other.received)


def test_an_office_that_was_never_permitted_is_refused_with_the_rule_in_both_languages(world: World) -> None:
    (outcome,) = world.other.ask(world.creation(office=world.other_office))
    assert outcome.body["code"] == "never_permitted"
    assert outcome.body["decision"]["creation_permission"] == "never"
    assert "ikke tillatelse" in outcome.body["message"]["nb"]
    assert "no permission" in outcome.body["message"]["en"]


def test_office_hours_decide_for_an_office_that_may_create_outside_them(world: World) -> None:
    every_day = {
        day: {"opens": "00:00", "closes": "24:00"} for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    }
    world.set_portal(office_hours=every_day, country=country_without_holiday())
    (inside,) = world.partner.ask(world.creation(office=world.second_office))
    world.set_portal(office_hours=dict.fromkeys(every_day))
    (outside,) = world.partner.ask(world.creation(office=world.second_office))
    assert inside.body["code"] == "inside_office_hours"
    assert inside.body["decision"]["office_hours"] == {"opens": "00:00", "closes": "24:00"}
    assert outside.accepted
    assert outside.body["decision"]["rule"] == "closed_weekday"


def test_a_right_of_the_enhanced_function_is_dormant_while_it_is_off(world: World) -> None:
    grant = NewRequest(
        "set-office-permission", {"office": world.office, "creation": "always", "may_assign_to_others": True}
    )
    (refused,) = world.insurer.ask(grant)
    assert refused.body["code"] == "enhanced_function_off"
    world.set_portal(enhanced_function=True)
    world.permit(world.office, "always", may_assign_to_others=True)
    tasks = [{"kind": "inspection", "office": world.other_office}]
    granted = world.create(tasks=tasks)
    world.event(world.other, "temporary-claim-created", granted.body["claim_id"])
    world.set_portal(enhanced_function=False)
    (dormant,) = world.partner.ask(world.creation(tasks=tasks))
    assert dormant.body["code"] == "may_not_assign_to_others"


@pytest.mark.promise(
    "A request sent again, even with another body, gets the first outcome and makes no second claim.",
    about="requests",
)
def test_a_request_sent_again_even_with_another_body_gets_the_first_outcome_and_no_second_claim(world: World) -> None:
    request = world.creation()
    (first,) = world.partner.ask(request)
    for again in (request, world.creation(id=request.id, office=world.second_office), _other_claim(request)):
        (outcome,) = world.partner.ask(again)
        assert outcome.body == first.body
        assert outcome.id == first.id
    world.settle()
    created = {m.id for m in world.partner.received if not m.is_outcome}
    assert created == {f"{first.body['claim_id']}/1"}


def test_a_settings_request_sent_again_gets_the_first_outcome(world: World) -> None:
    once = NewRequest("set-portal-settings", {"report_period": "monthly"})
    (first,) = world.insurer.ask(once)
    (again,) = world.insurer.ask(NewRequest(once.name, {"report_period": "yearly"}, id=once.id))
    assert first.accepted
    assert again.body == first.body


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"insurer": ', "body"),
        (b"\xff\xfe", "body"),
        (b"", "body"),
        (b'{"insurer": "x\\u0000y"}', "insurer"),
        (b"[]", "body"),
    ],
)
def test_a_body_that_cannot_be_read_is_refused_with_the_reason(world: World, body: bytes, field: str) -> None:
    (outcome,) = world.partner.ask(NewRequest("create-temporary-claim", body))
    assert outcome.body["code"] == "invalid_request"
    assert field in [detail["field"] for detail in outcome.body["details"]]


def test_a_body_over_the_limit_is_refused_and_one_at_the_limit_is_not(world: World) -> None:
    def sized(size: int) -> NewRequest:
        request = world.creation()
        assert isinstance(request.body, dict)
        return NewRequest(request.name, json.dumps(request.body).encode().ljust(size), id=request.id)

    at_limit, over = world.partner.ask(sized(256 * 1024), sized(256 * 1024 + 1))
    assert at_limit.accepted
    assert over.body["code"] == "message_too_large"


def test_an_unknown_type_is_refused(world: World) -> None:
    (outcome,) = world.partner.ask(NewRequest("make-coffee", {}))
    assert outcome.body["code"] == "unknown_type"
    assert outcome.body["request_type"] == "claimbus.make-coffee.v1"


def test_a_header_that_is_not_utf8_harms_nobody_but_its_own_message(world: World) -> None:
    good, bad, later = world.creation(), world.creation(), world.creation()
    poisoned = NewRequest(bad.name, bad.body, id=bad.id, extra_headers=(("ce_subject", b"\xff\xfe"),))
    outcomes = world.partner.ask(good, poisoned, later)
    assert [outcome.accepted for outcome in outcomes] == [True, False, True]
    assert outcomes[1].body["details"] == [{"field": "ce_subject", "problem": "is not UTF-8"}]


def test_a_claim_goes_through_its_life_with_versions_without_gaps(world: World) -> None:
    created = world.create(tasks=[{"kind": "first_aid"}])
    claim = created.body["claim_id"]
    steps = [
        (world.partner, report(created, "Tømt.")),
        (world.partner, NewRequest("amend-claim", {"claim_id": claim, "policy_number": "P-77"})),
        (
            world.insurer,
            NewRequest("assign-task", {"claim_id": claim, "kind": "inspection", "office": world.other_office}),
        ),
        (
            world.insurer,
            world.conversion(claim, "N-1"),
        ),
        (world.insurer, NewRequest("cancel-claim", {"claim_id": claim, "reason": "Feil"})),
    ]
    for company, request in steps:
        (outcome,) = company.ask(request)
        assert outcome.accepted, outcome.body
    world.event(world.insurer, "claim-cancelled", claim)
    events = [m for m in world.insurer.received if not m.is_outcome and m.body["claim_id"] == claim]
    assert [event.body["version"] for event in events] == [1, 2, 3, 4, 5, 6]
    assert [event.type for event in events] == [
        "temporary-claim-created",
        "task-reported",
        "claim-amended",
        "task-assigned",
        "claim-converted",
        "claim-cancelled",
    ]
    joined = world.event(world.other, "task-assigned", claim)
    assert joined.body["policyholder"]["name"] == "Anne Berg"
    (refused,) = world.partner.ask(NewRequest("amend-claim", {"claim_id": claim, "policy_number": "P-78"}))
    assert refused.body["code"] == "already_cancelled"


def test_a_claim_number_is_unique_for_the_insurer_across_partitions(
    world: World, two_of_claims: tuple[Instance, Instance]
) -> None:
    claims = world.partner.ask(*(world.creation() for _ in range(CONVERSIONS)))
    conversions = [world.conversion(claim.body["claim_id"], "N-9") for claim in claims]
    before = [metric(instance, TAKEN) for instance in two_of_claims]
    with nobody_writes(world.connection, "claims", "claim_numbers") as waiting:
        world.insurer.send(conversions)
        # Each instance has one transaction at a time: both have found the number free, and are about to take it.
        wait_until(lambda: len(waiting()) == 2, what="both instances to write the number")
    outcomes = world.insurer.ask(*conversions)  # sent again: the first outcome of each
    assert sum(outcome.accepted for outcome in outcomes) == 1
    assert {outcome.body.get("code") for outcome in outcomes} == {None, "claim_number_taken"}
    assert all(metric(instance, TAKEN) > n for instance, n in zip(two_of_claims, before, strict=True)), (
        "both had to refuse it"
    )
    world.settle()
    (converted,) = {message.id for message in world.insurer.received if message.type == "claim-converted"}
    assert converted.removesuffix("/2") == next(o.body["claim_id"] for o in outcomes if o.accepted)


@pytest.fixture
def two_of_claims(stack: Stack, world: World) -> Iterator[tuple[Instance, Instance]]:
    """Two instances of claims, each of which has partitions."""
    (first,) = stack.of("claims")
    second = stack.add("claims")
    admin = AdminClient(world.connection.client())

    def both_have_partitions() -> bool:
        (group,) = admin.describe_consumer_groups(["claims"]).values()
        shares = [len(member.assignment.topic_partitions) for member in group.result(30).members]
        return len(shares) == 2 and all(shares)

    try:
        wait_until(both_have_partitions, what="both to have partitions")
        yield first, second
    finally:
        stack.remove(second)


def test_a_claim_is_sent_again_to_the_one_company_that_the_operator_names(world: World) -> None:
    claim = world.create().body["claim_id"]
    world.event(world.insurer, "temporary-claim-created", claim)
    with Company(world.connection, OPERATOR) as operator:
        (outcome,) = operator.ask(NewRequest("republish-claim", {"claim_id": claim, "reader": world.insurer_id}))
    assert outcome.accepted
    world.insurer.wait_until(lambda messages: len([m for m in messages if m.id == f"{claim}/1"]) == 2)
    again = [m for m in world.insurer.received if m.id == f"{claim}/1"][1]
    assert again.headers["ce_republishedfor"] == world.insurer_id
    world.settle()
    assert [m.id for m in world.partner.received if not m.is_outcome] == [f"{claim}/1"]


def _other_claim(request: NewRequest) -> NewRequest:
    """The same request id about another claim, which another partition of claim-commands decides."""
    return NewRequest("cancel-claim", {"claim_id": str(uuid.uuid4())}, id=request.id)


def test_a_company_that_was_never_provisioned_costs_nobody_else_an_event(world: World) -> None:
    ghost = f"ghost-of-{world.insurer_id}"
    with Company(world.connection, OPERATOR) as operator:
        registered = operator.ask(
            NewRequest("register-company", {"id": ghost, "name": "Ghost", "kind": "partner"}),
            NewRequest("register-office", {"id": ghost, "company": ghost, "name": "Nowhere"}),
        )
    assert all(outcome.accepted for outcome in registered)
    claim = world.create().body["claim_id"]
    (outcome,) = world.insurer.ask(NewRequest("assign-task", {"claim_id": claim, "kind": "first_aid", "office": ghost}))
    assert outcome.accepted
    for company in (world.insurer, world.partner):
        world.event(company, "task-assigned", claim)
    reason = f"there is no topic events.{ghost}"
    letters = DeadLetters(world.connection)
    wait_until(lambda: reason in [letter.reason for letter in letters.open()], what="the ghost's copy to be put aside")
    followed = look(world.connection, outcome.body["request_id"]).document()["way"]
    assert [sight["place"] for sight in followed if sight["missing"] == Missing.NO_TOPIC] == [f"events.{ghost}"]
    assert [sight["what"] for sight in followed if sight["place"].startswith("dead-letters/")] == [
        f"{sight['place']} was put aside by delivery: {reason}"
        for sight in followed
        if sight["place"].startswith("claim-events/")
    ]
