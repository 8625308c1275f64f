"""What may happen to a claim (domain rules 7–11, 14 and 21)."""

from datetime import UTC, datetime
from typing import Any

import pytest

from services.claims.batch import declared_needs
from services.claims.claim import State, apply
from services.claims.decisions import NOTHING_MORE, Accepted
from services.claims.rules import decide, needs_of
from shared.contract import ids
from shared.contract.codes import Code
from shared.contract.events import (
    BudgetApproved,
    ClaimAmended,
    ClaimCancelled,
    ClaimConverted,
    ClaimRegistered,
    TaskAssigned,
    TaskReported,
    TemporaryClaimCreated,
)
from shared.contract.fields import TaskKind
from shared.contract.topics import OPERATOR, ReadModel
from tests.builders.commands import (
    GLAZIER,
    GLAZIER_OFFICE,
    INSURER,
    NO_CLAIM,
    NO_TASK,
    OTHER_INSURER,
    PLUMBER,
    PLUMBER_OFFICE,
    PLUMBER_SECOND_OFFICE,
    SURVEYOR,
    SURVEYOR_OFFICE,
    VALID_REQUESTS,
    Desk,
    Json,
    about,
    accepted,
    code_of,
    creation,
    decision,
    facts,
    refused,
    registration,
    valid_body,
)
from tests.builders.content import FIRST_AID, INCIDENT, INSPECTION, MEDIA, POLICYHOLDER
from tests.builders.moments import TUESDAY_EVENING

pytestmark = pytest.mark.promise("What a claim can go through, and what is refused.", about="claims")

DAY_AFTER: Json = INCIDENT | {"date": "2026-11-25"}
TWO_DAYS_AFTER: Json = INCIDENT | {"date": "2026-11-26"}
HALF_PAST_MIDNIGHT_IN_OSLO = datetime(2026, 11, 24, 23, 30, tzinfo=UTC)


@pytest.fixture
def desk() -> Desk:
    return Desk()


# Creation (rules 8 to 11)


def test_a_temporary_claim_is_available_to_its_creator_and_the_insurer_and_nobody_else(desk: Desk) -> None:
    assert desk.create().audience == sorted([PLUMBER, INSURER])


def test_a_temporary_claim_is_available_to_the_office_that_it_is_assigned_to(desk: Desk) -> None:
    assert desk.create(assigned_office=SURVEYOR_OFFICE).audience == sorted([PLUMBER, INSURER, SURVEYOR])


def test_a_temporary_claim_is_available_to_each_office_that_has_a_task_of_it(desk: Desk) -> None:
    claim = desk.create(tasks=[FIRST_AID | {"office": SURVEYOR_OFFICE}, INSPECTION | {"office": GLAZIER_OFFICE}])
    assert claim.audience == sorted([PLUMBER, INSURER, SURVEYOR, GLAZIER])


def test_the_event_of_a_creation_goes_to_those_who_may_see_the_claim(desk: Desk) -> None:
    command = creation(assigned_office=SURVEYOR_OFFICE, tasks=[FIRST_AID | {"office": GLAZIER_OFFICE}])
    (event,) = desk.decide(command).events
    assert event.audience == sorted([PLUMBER, INSURER, SURVEYOR, GLAZIER])


def test_a_creation_tells_everything_of_the_claim_and_its_tasks(desk: Desk) -> None:
    command = creation(
        actor="Ola Rør",
        policy_number="P-77",
        partner_reference="R-12",
        assigned_office=SURVEYOR_OFFICE,
        tasks=[FIRST_AID | {"office": PLUMBER_SECOND_OFFICE}],
    )
    (event,) = desk.decide(command).events
    assert isinstance(event, TemporaryClaimCreated)
    body = event.model_dump(mode="json", exclude={"claim_number", "audience", "tasks"}, exclude_none=True)
    assert body == {
        "claim_id": str(ids.claim_id(PLUMBER, "creation")),
        "version": 1,
        "insurer": INSURER,
        "at": "2026-11-24T16:12:00.000Z",
        "actor": {"company": PLUMBER, "name": "Ola Rør"},
        "company": PLUMBER,
        "office": PLUMBER_OFFICE,
        "incident": INCIDENT,
        "policyholder": POLICYHOLDER,
        "policy_number": "P-77",
        "partner_reference": "R-12",
        "assigned_office": SURVEYOR_OFFICE,
        "assigned_company": SURVEYOR,
        "inside_office_hours": False,
        "time_zone": "Europe/Oslo",
    }
    (task,) = event.tasks
    assert (task.kind, task.office, task.company) == (TaskKind.FIRST_AID, PLUMBER_SECOND_OFFICE, PLUMBER)


def test_the_claim_is_what_its_creation_says(desk: Desk) -> None:
    claim = desk.create(policy_number="P-77", partner_reference="R-12", assigned_office=SURVEYOR_OFFICE)
    assert claim.state is State.TEMPORARY
    assert claim.incident.model_dump(mode="json", exclude_none=True) == INCIDENT
    assert claim.policyholder.model_dump(mode="json", exclude_none=True) == POLICYHOLDER
    assert (claim.policy_number, claim.partner_reference) == ("P-77", "R-12")
    assert (claim.company, claim.office) == (PLUMBER, PLUMBER_OFFICE)
    assert (claim.assigned_company, claim.assigned_office) == (SURVEYOR, SURVEYOR_OFFICE)
    assert claim.handler is None


def test_the_outcome_of_a_creation_tells_the_claim_its_number_its_tasks_and_the_decision(desk: Desk) -> None:
    outcome = accepted(desk.decide(creation(tasks=[FIRST_AID, INSPECTION])))
    claim_id = ids.claim_id(PLUMBER, "creation")
    assert outcome.claim_id == claim_id
    assert outcome.claim_number == desk.batch.claims[claim_id].claim_number
    assert outcome.task_ids == [ids.created_task_id(claim_id, 1), ids.created_task_id(claim_id, 2)]
    assert outcome.decision == decision()
    assert outcome.requested_at == TUESDAY_EVENING


@pytest.mark.parametrize("inside", [True, False])
def test_a_creation_tells_whether_it_was_asked_for_inside_office_hours(desk: Desk, inside: bool) -> None:
    (event,) = desk.decide(creation(inside=inside)).events
    assert isinstance(event, TemporaryClaimCreated)
    assert event.inside_office_hours is inside


def test_a_task_without_an_office_is_the_creating_offices(desk: Desk) -> None:
    (task,) = desk.create(tasks=[FIRST_AID]).tasks
    assert (task.office, task.company) == (PLUMBER_OFFICE, PLUMBER)


def test_a_task_without_an_office_is_the_assigned_offices_where_the_claim_has_one(desk: Desk) -> None:
    (task,) = desk.create(assigned_office=SURVEYOR_OFFICE, tasks=[FIRST_AID]).tasks
    assert (task.office, task.company) == (SURVEYOR_OFFICE, SURVEYOR)


def test_an_incident_after_the_requests_own_date_is_refused(desk: Desk) -> None:
    outcome = refused(desk.decide(creation(incident=DAY_AFTER)))
    assert outcome.code is Code.INCIDENT_IN_FUTURE
    assert [detail.field for detail in outcome.details or []] == ["incident.date"]
    assert desk.batch.claims == {}


def test_the_requests_own_date_is_the_insurers_local_date(desk: Desk) -> None:
    desk.create("in-oslo", at=HALF_PAST_MIDNIGHT_IN_OSLO, incident=DAY_AFTER)
    late = creation(
        "in-new-york", at=HALF_PAST_MIDNIGHT_IN_OSLO, incident=DAY_AFTER, facts=facts(zone="America/New_York")
    )
    assert code_of(desk.decide(late)) is Code.INCIDENT_IN_FUTURE


def test_a_claim_number_that_a_partner_defines_twice_for_an_insurer_is_taken(desk: Desk) -> None:
    desk.create("first", claim_number="77")
    outcome = refused(desk.decide(creation("second", claim_number="77")))
    assert outcome.code is Code.CLAIM_NUMBER_TAKEN
    assert [detail.field for detail in outcome.details or []] == ["claim_number"]


def test_two_insurers_may_have_the_same_claim_number(desk: Desk) -> None:
    ours = desk.create("first", claim_number="77")
    theirs = desk.create("second", claim_number="77", insurer=OTHER_INSURER)
    assert ours.claim_number == theirs.claim_number


def test_the_longest_claim_number_that_a_partner_may_define_can_be_used_and_converted(desk: Desk) -> None:
    claim = desk.create(claim_number="7" * 100)
    assert claim.claim_number == "Midlertidig " + "7" * 100
    assert accepted(desk.ask(claim, "assign-task", PLUMBER, kind="first_aid"))
    assert accepted(desk.ask(claim, "convert-to-normal", INSURER, claim_number="8" * 100, handler="kari"))


def test_a_claim_is_never_made_over_one_that_exists(desk: Desk) -> None:
    claim = desk.create()
    command = creation()
    assert command.request is not None
    with pytest.raises(ValueError, match="exists"):
        decide(claim, command.checked, command.request, desk.batch.records_for(command))


# First-aid and inspection tasks (rule 11)


@pytest.mark.parametrize(
    ("kind", "insurer_demands", "needed"),
    [
        ("first_aid", False, False),
        ("first_aid", True, False),
        ("inspection", False, False),
        ("inspection", True, True),
    ],
)
def test_only_an_inspection_needs_a_budget_and_only_where_the_insurer_says_so(
    desk: Desk, kind: str, insurer_demands: bool, needed: bool
) -> None:
    requirements = facts(needs_budget=insurer_demands)
    claim = desk.create(facts=requirements, tasks=[{"kind": kind}])
    desk.ask(claim, "assign-task", PLUMBER, kind=kind, facts=requirements)
    assert [task.needs_budget for task in desk.now(claim).tasks] == [needed, needed]


def test_another_insurers_demand_for_budgets_does_not_count(desk: Desk) -> None:
    claim = desk.create(facts=facts(needs_budget=True), tasks=[INSPECTION], insurer=OTHER_INSURER)
    assert not claim.tasks[0].needs_budget


def test_an_inspection_that_needs_a_budget_cannot_be_reported_on_before_it_is_approved(desk: Desk) -> None:
    claim = desk.create(facts=facts(needs_budget=True), tasks=[INSPECTION])
    task = str(claim.tasks[0].task_id)
    assert code_of(desk.ask(claim, "report-task", PLUMBER, task_id=task, text="Sett")) is Code.BUDGET_MISSING
    assert desk.now(claim).tasks[0].reports == 0

    (approved,) = desk.ask(claim, "approve-budget", INSURER, task_id=task, amount="12000.50", currency="NOK").events
    assert isinstance(approved, BudgetApproved)
    assert (approved.amount, approved.currency) == ("12000.50", "NOK")
    assert accepted(desk.ask(claim, "report-task", PLUMBER, task_id=task, text="Sett"))


def test_an_approved_budget_is_of_one_task_only(desk: Desk) -> None:
    claim = desk.create(facts=facts(needs_budget=True), tasks=[INSPECTION, INSPECTION])
    first, second = (str(task.task_id) for task in claim.tasks)
    desk.ask(claim, "approve-budget", INSURER, task_id=first, amount="1", currency="NOK")
    assert code_of(desk.ask(claim, "report-task", PLUMBER, task_id=second, text="Sett")) is Code.BUDGET_MISSING


def test_a_first_aid_task_can_be_reported_on_at_once_also_where_inspections_need_a_budget(desk: Desk) -> None:
    claim = desk.create(facts=facts(needs_budget=True), tasks=[FIRST_AID])
    assert accepted(desk.ask(claim, "report-task", PLUMBER, task_id=str(claim.tasks[0].task_id), text="Pumpet"))


# Assigning a task (rules 7 and 11)


def test_a_partner_assigns_a_task_to_its_own_office_on_the_claim_unless_it_says_another(desk: Desk) -> None:
    claim = desk.create()
    decided = desk.ask(claim, "assign-task", PLUMBER, kind="first_aid")
    (task,) = desk.now(claim).tasks
    assert (task.office, task.company) == (PLUMBER_OFFICE, PLUMBER)
    assert accepted(decided).task_ids == [task.task_id]
    assert task.task_id == ids.assigned_task_id(PLUMBER, decided.command.cause)


def test_the_default_office_of_a_company_that_got_a_task_is_the_office_of_that_task(desk: Desk) -> None:
    claim = desk.create(tasks=[FIRST_AID | {"office": SURVEYOR_OFFICE}])
    assert accepted(desk.ask(claim, "assign-task", SURVEYOR, kind="inspection"))
    assert desk.now(claim).tasks[1].office == SURVEYOR_OFFICE


def test_a_partner_may_assign_a_task_to_another_office_of_its_own(desk: Desk) -> None:
    claim = desk.create()
    assert accepted(desk.ask(claim, "assign-task", PLUMBER, kind="first_aid", office=PLUMBER_SECOND_OFFICE))
    assert desk.now(claim).tasks[0].office == PLUMBER_SECOND_OFFICE


def test_a_partner_without_the_right_may_not_assign_a_task_to_another_partner(desk: Desk) -> None:
    claim = desk.create()
    outcome = refused(desk.ask(claim, "assign-task", PLUMBER, kind="first_aid", office=SURVEYOR_OFFICE))
    assert outcome.code is Code.MAY_NOT_ASSIGN_TO_OTHERS
    assert [detail.field for detail in outcome.details or []] == ["office"]
    assert desk.now(claim) == claim


@pytest.mark.parametrize(
    ("right", "counts"),
    [
        ((INSURER, PLUMBER_OFFICE), True),
        ((OTHER_INSURER, PLUMBER_OFFICE), False),
        ((INSURER, PLUMBER_SECOND_OFFICE), False),
    ],
    ids=["for this insurer, this office", "for another insurer", "of an office that is not on the claim"],
)
def test_the_right_to_assign_to_others_is_one_offices_for_one_insurer(
    desk: Desk, right: tuple[str, str], counts: bool
) -> None:
    claim = desk.create()
    decided = desk.ask(
        claim, "assign-task", PLUMBER, kind="first_aid", office=SURVEYOR_OFFICE, facts=facts(rights=[right])
    )
    if counts:
        assert accepted(decided)
    else:
        assert code_of(decided) is Code.MAY_NOT_ASSIGN_TO_OTHERS


def test_the_insurer_may_assign_a_task_to_any_partners_office(desk: Desk) -> None:
    claim = desk.create()
    assert accepted(desk.ask(claim, "assign-task", INSURER, kind="inspection", office=SURVEYOR_OFFICE))


def test_an_insurer_has_no_office_on_the_claim_and_must_give_one(desk: Desk) -> None:
    outcome = refused(desk.ask(desk.create(), "assign-task", INSURER, kind="inspection"))
    assert outcome.code is Code.INVALID_REQUEST
    assert [detail.field for detail in outcome.details or []] == ["office"]


def test_a_company_that_gets_a_task_may_see_the_claim_from_then_on(desk: Desk) -> None:
    claim = desk.create()
    assert code_of(desk.ask(claim, "assign-task", SURVEYOR, kind="inspection")) is Code.UNKNOWN_CLAIM
    (event,) = desk.ask(claim, "assign-task", INSURER, kind="inspection", office=SURVEYOR_OFFICE).events
    assert event.audience == desk.now(claim).audience == sorted([PLUMBER, INSURER, SURVEYOR])
    assert accepted(desk.ask(claim, "assign-task", SURVEYOR, kind="inspection"))


def test_an_assignment_tells_the_office_what_it_needs_to_know_of_the_claim(desk: Desk) -> None:
    claim = desk.create()
    (event,) = desk.ask(claim, "assign-task", INSURER, kind="inspection", office=SURVEYOR_OFFICE).events
    assert isinstance(event, TaskAssigned)
    assert event.claim_number == claim.claim_number
    assert event.incident == claim.incident
    assert event.policyholder == claim.policyholder
    assert event.task.office == SURVEYOR_OFFICE


def test_tasks_can_be_assigned_after_a_claim_was_converted(desk: Desk) -> None:
    claim = desk.create()
    desk.ask(claim, "convert-to-normal", INSURER, claim_number="SK-1", handler="kari")
    assert accepted(desk.ask(claim, "assign-task", PLUMBER, kind="first_aid"))


# Reporting on a task


def test_a_report_tells_its_text_and_whether_the_task_is_finished(desk: Desk) -> None:
    claim = desk.create(tasks=[FIRST_AID])
    task = claim.tasks[0].task_id
    decided = desk.ask(claim, "report-task", PLUMBER, task_id=str(task), text="Pumpet", finished=True, actor="Ola")
    (event,) = decided.events
    assert isinstance(event, TaskReported)
    assert event.task_id == task
    assert (event.report.text, event.report.finished, event.actor.name) == ("Pumpet", True, "Ola")
    assert event.report.report_id == ids.report_id(PLUMBER, decided.command.cause)
    assert desk.now(claim).tasks[0].finished


def test_a_finished_task_can_be_reported_on_again_and_stays_finished(desk: Desk) -> None:
    claim = desk.create(tasks=[FIRST_AID])
    task = str(claim.tasks[0].task_id)
    desk.ask(claim, "report-task", PLUMBER, task_id=task, finished=True)
    desk.ask(claim, "report-task", PLUMBER, task_id=task, text="Noe mer")
    assert desk.now(claim).tasks[0].reports == 2
    assert desk.now(claim).tasks[0].finished


def test_a_report_counts_for_its_own_task_only(desk: Desk) -> None:
    claim = desk.create(tasks=[FIRST_AID, FIRST_AID])
    desk.ask(claim, "report-task", PLUMBER, task_id=str(claim.tasks[1].task_id), finished=True)
    assert [(task.reports, task.finished) for task in desk.now(claim).tasks] == [(0, False), (1, True)]


@pytest.mark.parametrize("sender", [PLUMBER, INSURER])
def test_only_the_company_of_the_task_may_report_on_it(desk: Desk, sender: str) -> None:
    claim = desk.create(tasks=[FIRST_AID | {"office": SURVEYOR_OFFICE}])
    decided = desk.ask(claim, "report-task", sender, task_id=str(claim.tasks[0].task_id), text="Sett")
    assert code_of(decided) is Code.SENDER_NOT_ALLOWED


@pytest.mark.parametrize("name", ["report-task", "approve-budget"])
def test_a_task_that_the_claim_does_not_have_is_unknown(desk: Desk, name: str) -> None:
    claim = desk.create(tasks=[FIRST_AID])
    sender, body = VALID_REQUESTS[name]
    assert code_of(desk.ask(claim, name, sender, task_id=str(NO_TASK), **body)) is Code.UNKNOWN_TASK


def test_a_task_of_another_claim_is_unknown(desk: Desk) -> None:
    claim, other = desk.create("first"), desk.create("second", tasks=[FIRST_AID])
    decided = desk.ask(claim, "report-task", PLUMBER, task_id=str(other.tasks[0].task_id), text="Sett")
    assert code_of(decided) is Code.UNKNOWN_TASK


def test_a_report_of_a_file_that_was_never_uploaded_is_refused_as_a_whole(desk: Desk) -> None:
    claim = desk.create(tasks=[FIRST_AID])
    decided = desk.ask(claim, "report-task", PLUMBER, task_id=str(claim.tasks[0].task_id), text="Pumpet", media=[MEDIA])
    assert code_of(decided) is Code.MEDIA_MISSING
    assert desk.now(claim) == claim


# Registering a normal claim


def test_a_registered_claim_is_normal_and_available_to_its_insurer_alone(desk: Desk) -> None:
    decided = desk.decide(registration("SK-1", policy_number="P-9"))
    (event,) = decided.events
    assert isinstance(event, ClaimRegistered)
    assert event.audience == [INSURER]
    assert accepted(decided).claim_number == "SK-1"
    claim = desk.batch.claims[event.claim_id]
    assert claim.id == ids.claim_id(INSURER, "registration")
    assert (claim.state, claim.claim_number, claim.handler) == (State.NORMAL, "SK-1", "kari")
    assert (claim.insurer, claim.company, claim.policy_number) == (INSURER, None, "P-9")
    assert claim.audience == [INSURER]


def test_a_claim_cannot_be_registered_under_a_number_that_is_taken(desk: Desk) -> None:
    desk.register("SK-1", "first")
    assert code_of(desk.decide(registration("SK-1", "second"))) is Code.CLAIM_NUMBER_TAKEN


def test_another_insurers_number_is_not_taken(desk: Desk) -> None:
    desk.register("SK-1", "first")
    assert accepted(desk.decide(registration("SK-1", "first", company=OTHER_INSURER)))


@pytest.mark.parametrize("number", ["Midlertidig 77", "MIDLERTIDIG 77", "77 (midlertidig)"])
def test_an_insurers_own_number_cannot_be_taken_for_a_temporary_one(desk: Desk, number: str) -> None:
    registered = refused(desk.decide(registration(number)))
    converted = refused(desk.ask(desk.create(), "convert-to-normal", INSURER, claim_number=number, handler="kari"))
    for outcome in (registered, converted):
        assert outcome.code is Code.INVALID_REQUEST
        assert [detail.field for detail in outcome.details or []] == ["claim_number"]


def test_a_claim_cannot_be_registered_for_an_incident_in_the_future(desk: Desk) -> None:
    assert code_of(desk.decide(registration("SK-1", incident=DAY_AFTER))) is Code.INCIDENT_IN_FUTURE


# Normal (rule 14)


def test_a_converted_claim_is_normal_with_a_claim_number_and_a_claims_handler(desk: Desk) -> None:
    claim = desk.create(tasks=[FIRST_AID])
    decided = desk.ask(claim, "convert-to-normal", INSURER, claim_number="SK-1", handler="kari")
    (event,) = decided.events
    assert isinstance(event, ClaimConverted)
    assert (event.claim_number, event.previous_claim_number, event.handler) == ("SK-1", claim.claim_number, "kari")
    assert accepted(decided).claim_number == "SK-1"
    now = desk.now(claim)
    assert (now.state, now.claim_number, now.handler) == (State.NORMAL, "SK-1", "kari")
    assert (now.tasks, now.audience, now.incident) == (claim.tasks, claim.audience, claim.incident)


def test_a_claim_that_was_converted_or_registered_is_not_temporary(desk: Desk) -> None:
    converted, registered = desk.create(), desk.register("SK-1")
    desk.ask(converted, "convert-to-normal", INSURER, claim_number="SK-2", handler="kari")
    for claim in (converted, registered):
        decided = desk.ask(claim, "convert-to-normal", INSURER, claim_number="SK-3", handler="kari")
        assert code_of(decided) is Code.NOT_TEMPORARY


def test_a_claim_cannot_be_converted_to_a_number_that_is_taken(desk: Desk) -> None:
    desk.register("SK-1")
    claim = desk.create()
    decided = desk.ask(claim, "convert-to-normal", INSURER, claim_number="SK-1", handler="kari")
    assert code_of(decided) is Code.CLAIM_NUMBER_TAKEN
    assert desk.now(claim).state is State.TEMPORARY


def test_the_number_that_a_claim_had_while_it_was_temporary_is_not_used_again(desk: Desk) -> None:
    claim = desk.create(claim_number="77")
    desk.ask(claim, "convert-to-normal", INSURER, claim_number="SK-1", handler="kari")
    assert code_of(desk.decide(creation("another", claim_number="77"))) is Code.CLAIM_NUMBER_TAKEN


def test_the_number_of_a_cancelled_claim_is_not_used_again(desk: Desk) -> None:
    claim = desk.register("SK-1")
    desk.ask(claim, "cancel-claim", INSURER)
    assert code_of(desk.decide(registration("SK-1", "another"))) is Code.CLAIM_NUMBER_TAKEN


# Amending (rule 14)


@pytest.mark.parametrize("sender", [PLUMBER, INSURER])
def test_the_creating_company_and_the_insurer_may_amend_a_temporary_claim(desk: Desk, sender: str) -> None:
    claim = desk.create(policy_number="P-1", partner_reference="R-1")
    (event,) = desk.ask(claim, "amend-claim", sender, policy_number="P-2").events
    assert isinstance(event, ClaimAmended)
    assert event.actor.company == sender
    assert event.before.model_dump(exclude_unset=True) == {"policy_number": "P-1"}
    assert event.after.model_dump(exclude_unset=True) == {"policy_number": "P-2"}
    assert desk.now(claim) == claim.model_copy(update={"version": 2, "policy_number": "P-2"})


def test_a_part_that_is_amended_is_replaced_as_a_whole_and_what_is_left_out_stays(desk: Desk) -> None:
    claim = desk.create(policyholder=POLICYHOLDER | {"email": "ase@example.com"})
    desk.ask(claim, "amend-claim", PLUMBER, policyholder={"name": "Åse Dal", "phone": "+4791234567"})
    now = desk.now(claim)
    assert (now.policyholder.name, now.policyholder.email) == ("Åse Dal", None)
    assert now.incident == claim.incident


def test_every_part_of_what_was_written_can_be_amended_at_once(desk: Desk) -> None:
    claim = desk.create()
    parts: dict[str, Any] = {
        "incident": INCIDENT | {"cause": "storm"},
        "policyholder": POLICYHOLDER | {"name": "Per Dahl"},
        "policy_number": "P-2",
        "partner_reference": "R-2",
    }
    desk.ask(claim, "amend-claim", PLUMBER, **parts)
    now = desk.now(claim).model_dump(mode="json", include=set(parts), exclude_none=True)
    assert now == parts


def test_the_creating_company_may_not_amend_a_claim_that_is_no_longer_temporary_but_the_insurer_may(
    desk: Desk,
) -> None:
    claim = desk.create()
    desk.ask(claim, "convert-to-normal", INSURER, claim_number="SK-1", handler="kari")
    assert code_of(desk.ask(claim, "amend-claim", PLUMBER, policy_number="P-2")) is Code.NOT_TEMPORARY
    assert accepted(desk.ask(claim, "amend-claim", INSURER, policy_number="P-2"))


@pytest.mark.parametrize("converted", [False, True])
def test_a_company_that_only_has_a_task_may_not_amend_the_claim(desk: Desk, converted: bool) -> None:
    claim = desk.create(assigned_office=GLAZIER_OFFICE, tasks=[FIRST_AID | {"office": SURVEYOR_OFFICE}])
    if converted:
        desk.ask(claim, "convert-to-normal", INSURER, claim_number="SK-1", handler="kari")
    for sender in (SURVEYOR, GLAZIER):
        assert code_of(desk.ask(claim, "amend-claim", sender, policy_number="P-2")) is Code.SENDER_NOT_ALLOWED


def test_an_incident_cannot_be_amended_into_the_future(desk: Desk) -> None:
    claim = desk.create()
    assert code_of(desk.ask(claim, "amend-claim", PLUMBER, incident=DAY_AFTER)) is Code.INCIDENT_IN_FUTURE


def test_the_date_that_an_amendment_is_measured_against_is_the_insurers_at_that_moment(desk: Desk) -> None:
    claim = desk.create()
    at = HALF_PAST_MIDNIGHT_IN_OSLO
    assert code_of(desk.ask(claim, "amend-claim", PLUMBER, at=at, incident=TWO_DAYS_AFTER)) is Code.INCIDENT_IN_FUTURE
    assert accepted(desk.ask(claim, "amend-claim", PLUMBER, at=at, incident=DAY_AFTER))


# Cancelling (rule 14)


def test_the_insurer_cancels_a_claim_with_a_reason(desk: Desk) -> None:
    claim = desk.create()
    (event,) = desk.ask(claim, "cancel-claim", INSURER, reason="Falsk melding").events
    assert isinstance(event, ClaimCancelled)
    assert event.reason == "Falsk melding"
    assert event.audience == claim.audience
    assert desk.now(claim) == claim.model_copy(update={"version": 2, "state": State.CANCELLED})


def test_the_insurer_can_cancel_a_normal_claim_too(desk: Desk) -> None:
    assert accepted(desk.ask(desk.register("SK-1"), "cancel-claim", INSURER))


@pytest.mark.parametrize("name", [name for name in VALID_REQUESTS if name != "republish-claim"])
def test_nothing_more_happens_to_a_cancelled_claim(desk: Desk, name: str) -> None:
    claim = desk.create(tasks=[FIRST_AID])
    desk.ask(claim, "cancel-claim", INSURER)
    cancelled = desk.now(claim)
    sender, _ = VALID_REQUESTS[name]
    assert code_of(desk.ask(claim, name, sender, **valid_body(name, claim))) is Code.ALREADY_CANCELLED
    assert desk.now(claim) == cancelled


# Publishing again


@pytest.mark.parametrize("reader", [*ReadModel, INSURER, PLUMBER, SURVEYOR])
def test_a_claim_is_published_again_for_our_own_readers_and_those_who_may_see_it(desk: Desk, reader: str) -> None:
    claim = desk.create(tasks=[FIRST_AID | {"office": SURVEYOR_OFFICE}])
    decided = desk.ask(claim, "republish-claim", OPERATOR, reader=reader)
    assert accepted(decided).claim_id == claim.id
    assert decided.republish_for == reader
    assert decided.events == ()
    assert desk.now(claim) == claim


@pytest.mark.parametrize("reader", [GLAZIER, OTHER_INSURER, "nobody", "claims"])
def test_a_claim_is_not_published_again_for_who_may_not_see_it(desk: Desk, reader: str) -> None:
    outcome = refused(desk.ask(desk.create(), "republish-claim", OPERATOR, reader=reader))
    assert outcome.code is Code.INVALID_REQUEST
    assert [detail.field for detail in outcome.details or []] == ["reader"]


def test_a_cancelled_claim_can_be_published_again(desk: Desk) -> None:
    claim = desk.create()
    desk.ask(claim, "cancel-claim", INSURER)
    assert accepted(desk.ask(claim, "republish-claim", OPERATOR, reader="reporting"))


# Who may not see a claim (rule 10)


@pytest.mark.parametrize("name", VALID_REQUESTS)
def test_a_request_about_a_claim_that_does_not_exist_is_about_an_unknown_claim(desk: Desk, name: str) -> None:
    sender, _ = VALID_REQUESTS[name]
    body = valid_body(name, desk.create(tasks=[FIRST_AID]))
    assert code_of(desk.ask(NO_CLAIM, name, sender, **body)) is Code.UNKNOWN_CLAIM


@pytest.mark.parametrize("cancelled", [False, True])
@pytest.mark.parametrize("name", [name for name in VALID_REQUESTS if name != "republish-claim"])
def test_who_may_not_see_a_claim_gets_the_same_answer_as_if_it_did_not_exist(
    desk: Desk, name: str, cancelled: bool
) -> None:
    claim = desk.create(tasks=[FIRST_AID])
    if cancelled:
        desk.ask(claim, "cancel-claim", INSURER)
    sender = OTHER_INSURER if VALID_REQUESTS[name][0] == INSURER else GLAZIER
    body = valid_body(name, claim)
    hidden = refused(desk.ask(claim, name, sender, **body))
    missing = refused(desk.ask(NO_CLAIM, name, sender, **body))
    assert hidden.code is Code.UNKNOWN_CLAIM
    assert hidden.model_dump(exclude={"request_id"}) == missing.model_dump(exclude={"request_id"})


# Every request (rule 21), and what deciding one needs


def test_a_refusal_has_a_code_and_a_sentence_in_norwegian_and_english(desk: Desk) -> None:
    outcome = refused(desk.ask(NO_CLAIM, "cancel-claim", INSURER))
    assert outcome.code is Code.UNKNOWN_CLAIM
    assert outcome.message.nb.startswith("Saken finnes ikke")
    assert outcome.message.en.startswith("The claim does not exist")


def test_each_event_has_the_claims_next_version_and_the_moment_of_its_request(desk: Desk) -> None:
    claim = desk.create()
    later = datetime(2026, 11, 25, 7, 0, tzinfo=UTC)
    (assigned,) = desk.ask(claim, "assign-task", PLUMBER, kind="first_aid").events
    (amended,) = desk.ask(claim, "amend-claim", PLUMBER, at=later, policy_number="P-1").events
    assert (assigned.version, amended.version) == (2, 3)
    assert (assigned.at, amended.at) == (TUESDAY_EVENING, later)
    assert desk.now(claim).version == 3


def test_every_number_that_a_request_may_give_is_among_its_needs(desk: Desk) -> None:
    claim = desk.create("first")
    commands = [
        creation("second"),
        creation("third", claim_number="77"),
        registration("SK-1"),
        about(claim, "convert-to-normal", INSURER, "conversion", claim_number="SK-2", handler="kari"),
    ]
    for command in commands:
        assert command.request is not None
        desk.batch.needs |= declared_needs([command])
        records = desk.batch.records_for(command)
        before = desk.batch.claims.get(command.checked.claim_id)
        while isinstance(decision := decide(before, command.checked, command.request, records), Accepted):
            assert decision.claim_number is not None
            desk.batch.numbers[INSURER, decision.claim_number] = claim.id
        assert decision.code is Code.CLAIM_NUMBER_TAKEN


def test_other_requests_need_no_number(desk: Desk) -> None:
    command = about(desk.create(), "cancel-claim", INSURER, "cancellation")
    assert command.request is not None
    assert needs_of(command.checked, command.request) == NOTHING_MORE


# A claim and its events


def test_an_event_that_does_not_follow_on_the_claims_version_cannot_be_applied(desk: Desk) -> None:
    claim = desk.create()
    (event,) = desk.ask(claim, "cancel-claim", INSURER).events
    for wrong in (desk.now(claim), claim.model_copy(update={"version": 0}), None):
        with pytest.raises(ValueError, match="does not follow"):
            apply(wrong, event)


def test_the_claims_local_date_is_the_insurers(desk: Desk) -> None:
    assert desk.create().local_date(HALF_PAST_MIDNIGHT_IN_OSLO).isoformat() == "2026-11-25"
