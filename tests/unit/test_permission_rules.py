"""Who may ask for what, at the moment of the request (domain rules 1–8, 21 and 22)."""

import itertools
import json
import zoneinfo
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import from_json

from services.permissions import directory_rules
from services.permissions.claim_rules import check
from services.permissions.directory_rules import settle
from services.permissions.received import ReceivedRequest, is_settled_here
from services.portal.words import CREATION
from shared.contract.codes import Code
from shared.contract.commands import CheckedRequest, read_checked_request
from shared.contract.directory_events import (
    CompanyRegistered,
    DirectoryEvent,
    OfficePermissionSet,
    OfficeRegistered,
    PortalSettingsSet,
    UserRegistered,
)
from shared.contract.envelope import read_envelope
from shared.contract.fields import CreationPermission
from shared.contract.outcomes import Decision
from shared.domain import directory as domain_directory
from shared.domain.companies import OfficePermission
from shared.domain.creation import decide_creation, rights_in_force
from shared.domain.directory import LATEST, Directory
from shared.domain.portal_settings import DEFAULT_SETTINGS
from shared.domain.refusal import Refused
from tests.builders.content import INCIDENT, POLICYHOLDER
from tests.builders.directory import (
    REGISTERED,
    applied,
    code_of,
    fields_of,
    permitted,
    registered,
    settled_request,
    takes_effect,
)
from tests.builders.moments import oslo
from tests.builders.requests import (
    BODIES,
    CLAIM,
    FJORD,
    FJORD_OSLO,
    NORD,
    NORD_TROMSO,
    NORDLYS,
    TASK,
    VEST,
    VEST_BERGEN,
    VEST_VOSS,
    Json,
    asks,
    asks_with_bytes,
    creation,
)
from tests.properties import no_deadline, utc_moments

pytestmark = pytest.mark.promise(
    "Who may ask for what: permissions, the enhanced function, companies' own offices and users.", about="requests"
)

TUESDAY_NOON = oslo("2026-11-24 12:00")
TUESDAY_EVENING = oslo("2026-11-24 17:12")
MICROSECOND = timedelta(microseconds=1)
OPERATOR, UNREGISTERED = "operator", "sor-takst"
DIRECTORY_REQUESTS = {
    "set-office-permission",
    "set-portal-settings",
    "register-company",
    "register-office",
    "register-user",
    "remove-company",
    "remove-office",
    "remove-user",
}
CLAIM_REQUESTS = set(BODIES) - DIRECTORY_REQUESTS

SENT_BY = {
    "create-temporary-claim": {VEST},
    "assign-task": {VEST, FJORD},
    "report-task": {VEST, FJORD},
    "register-claim": {FJORD},
    "convert-to-normal": {FJORD},
    "amend-claim": {VEST, FJORD},
    "cancel-claim": {FJORD},
    "redact-claim": {OPERATOR, FJORD},
    "republish-claim": {OPERATOR},
    "link-claim": {FJORD},
    "unlink-claim": {FJORD},
    "approve-budget": {FJORD},
    "set-office-permission": {FJORD},
    "set-portal-settings": {FJORD},
    "register-company": {OPERATOR},
    "register-office": {OPERATOR, VEST},
    "register-user": {OPERATOR, VEST},
    "remove-company": {OPERATOR},
    "remove-office": {OPERATOR, VEST},
    "remove-user": {OPERATOR, VEST},
}
"""The contract's table of requests: who of these sends each. (An insurer registers only what is its own.)"""


def checked(directory: Directory, company: str, name: str, body: object = None, **more: Any) -> CheckedRequest:
    return check(directory, asks(company, name, body, **{"at": TUESDAY_EVENING, **more}))


def decided(directory: Directory, insurer: str, office: str, at: datetime) -> tuple[str | None, Decision]:
    """Decide a creation; return the refusal's code, or None, and the decision."""
    try:
        return None, decide_creation(directory, insurer, office, at)
    except Refused as refused:
        refusal = refused
    assert refusal.decision is not None
    return refusal.code.value, refusal.decision


# Permission to create (rules 1 to 6)


def test_an_office_that_was_given_nothing_may_never_create() -> None:
    answer = checked(registered(), VEST, "create-temporary-claim")
    assert code_of(answer) == "never_permitted"


@pytest.mark.parametrize(
    ("permission", "at", "code"),
    [
        ("never", TUESDAY_NOON, "never_permitted"),
        ("never", TUESDAY_EVENING, "never_permitted"),
        ("outside_office_hours", TUESDAY_NOON, "inside_office_hours"),
        ("outside_office_hours", TUESDAY_EVENING, None),
        ("always", TUESDAY_NOON, None),
        ("always", TUESDAY_EVENING, None),
    ],
)
def test_a_creation_is_decided_by_the_permission_and_the_office_hours(
    permission: str, at: datetime, code: str | None
) -> None:
    answer = checked(permitted(permission), VEST, "create-temporary-claim", at=at)
    assert code_of(answer) == code
    assert (answer.request is None) is (code is not None)


@pytest.mark.parametrize(
    ("local", "code"),
    [
        ("2026-11-24 07:59:59.999999", None),
        ("2026-11-24 08:00", "inside_office_hours"),
        ("2026-11-24 15:59:59.999999", "inside_office_hours"),
        ("2026-11-24 16:00", None),
    ],
)
def test_office_hours_are_kept_to_the_microsecond(local: str, code: str | None) -> None:
    answer = checked(permitted("outside_office_hours"), VEST, "create-temporary-claim", at=oslo(local))
    assert code_of(answer) == code


def test_a_permission_is_for_one_insurer_only() -> None:
    answer = checked(permitted(), VEST, "create-temporary-claim", creation(insurer=NORDLYS))
    assert code_of(answer) == "never_permitted"


def test_a_permission_is_for_one_office_only() -> None:
    answer = checked(permitted(), VEST, "create-temporary-claim", creation(office=VEST_VOSS))
    assert code_of(answer) == "never_permitted"


def test_a_permission_can_be_taken_back() -> None:
    directory = permitted()
    takes_effect(directory, FJORD, "set-office-permission", {"office": VEST_BERGEN, "creation": "never"})
    assert code_of(checked(directory, VEST, "create-temporary-claim")) == "never_permitted"


def test_the_settings_that_count_are_those_in_force_at_the_moment_of_the_request() -> None:
    directory = permitted("outside_office_hours")
    changed_at = oslo("2026-11-24 12:00")
    takes_effect(
        directory, FJORD, "set-office-permission", {"office": VEST_BERGEN, "creation": "always"}, at=changed_at
    )
    before = checked(directory, VEST, "create-temporary-claim", at=changed_at - MICROSECOND)
    after = checked(directory, VEST, "create-temporary-claim", at=changed_at)
    assert (code_of(before), code_of(after)) == ("inside_office_hours", None)


def test_office_hours_that_change_later_do_not_change_an_answer() -> None:
    directory = permitted("outside_office_hours")
    request = asks(VEST, "create-temporary-claim", at=TUESDAY_EVENING)
    answered = check(directory, request)
    hours = {"opens": "00:00", "closes": "24:00"}
    takes_effect(
        directory, FJORD, "set-portal-settings", {"office_hours": {"tue": hours}}, at=TUESDAY_EVENING + MICROSECOND
    )
    assert check(directory, request) == answered
    assert code_of(checked(directory, VEST, "create-temporary-claim", at=TUESDAY_EVENING + MICROSECOND)) == (
        "inside_office_hours"
    )


def test_a_partner_cannot_choose_its_own_clock() -> None:
    directory = permitted("outside_office_hours")
    own_clock = [("ce_time", b"2026-11-24T03:00:00Z")]
    answer = checked(directory, VEST, "create-temporary-claim", at=TUESDAY_NOON, headers=own_clock)
    assert code_of(answer) == "inside_office_hours"
    assert answer.requested_at == TUESDAY_NOON


def test_an_office_that_is_not_registered_yet_cannot_create() -> None:
    answer = checked(permitted(), VEST, "create-temporary-claim", at=REGISTERED - MICROSECOND)
    assert code_of(answer) == "sender_not_allowed"
    assert code_of(checked(permitted(), VEST, "create-temporary-claim", at=REGISTERED)) is None


def test_a_message_that_claims_another_companys_office_is_refused() -> None:
    directory = permitted()
    answer = checked(directory, NORD, "create-temporary-claim")
    assert code_of(answer) == "not_your_office"
    assert fields_of(answer) == ["office"]
    assert answer.decision is None


def test_who_asks_is_decided_by_the_topic_and_not_by_the_message() -> None:
    pretending = [("ce_source", VEST.encode()), ("ce_actor", VEST.encode()), ("ce_subject", VEST.encode())]
    body = {**creation(), "company": VEST}
    answer = checked(permitted(), NORD, "create-temporary-claim", body, headers=pretending)
    assert answer.company == NORD
    assert code_of(answer) == "not_your_office"


def test_an_office_that_nobody_registered_is_unknown() -> None:
    answer = checked(permitted(), VEST, "create-temporary-claim", creation(office="vest-stavanger"))
    assert (code_of(answer), fields_of(answer)) == ("unknown_office", ["office"])


@pytest.mark.parametrize("insurer", ["havet-forsikring", NORD, VEST, OPERATOR])
def test_an_insurer_that_is_none_is_unknown(insurer: str) -> None:
    answer = checked(permitted(), VEST, "create-temporary-claim", creation(insurer=insurer))
    assert (code_of(answer), fields_of(answer)) == ("unknown_insurer", ["insurer"])


def test_the_answer_says_which_rule_decided_with_the_local_time_and_the_setting_in_force() -> None:
    answer = checked(permitted("outside_office_hours"), VEST, "create-temporary-claim")
    assert answer.decision is not None
    assert json.loads(answer.decision.json_bytes()) == {
        "rule": "after_closing",
        "creation_permission": "outside_office_hours",
        "local_time": "2026-11-24T17:12:00.000+01:00[Europe/Oslo]",
        "inside_office_hours": False,
        "office_hours": {"opens": "08:00", "closes": "16:00"},
        "explanation": json.loads(answer.decision.explanation.json_bytes()),
    }
    assert answer.decision.explanation.en == (
        "Tuesday 24 November 2026 17:12 Europe/Oslo, office hours 08:00–16:00, permission outside_office_hours"
    )


def test_the_norwegian_explanation_keeps_the_zones_name() -> None:
    _, decision = decided(permitted("outside_office_hours"), FJORD, VEST_BERGEN, TUESDAY_EVENING)
    assert decision.explanation.nb == (
        "Tirsdag 24. november 2026 17:12 Europe/Oslo, kontortid 08:00–16:00, tillatelse: utenfor normal arbeidstid"
    )


@pytest.mark.parametrize("permission", CreationPermission)
def test_the_norwegian_explanation_says_the_permission_as_the_insurer_chose_it(permission: CreationPermission) -> None:
    _, decision = decided(permitted(permission), FJORD, VEST_BERGEN, oslo("2026-11-24 12:00"))
    assert decision.explanation.nb.endswith(f", tillatelse: {CREATION[permission].lower()}")
    assert decision.explanation.en.endswith(f", permission {permission}")


def test_the_norwegian_explanation_keeps_the_holidays_name() -> None:
    _, decision = decided(permitted("outside_office_hours"), FJORD, VEST_BERGEN, oslo("2026-12-25 12:00"))
    assert "helligdag (Første juledag)" in decision.explanation.nb
    assert "public holiday (Første juledag)" in decision.explanation.en
    assert decision.holiday == "Første juledag"


@pytest.mark.parametrize(
    ("permission", "local", "rule"),
    [
        ("never", "2026-11-24 17:12", "never_permitted"),
        ("always", "2026-11-24 12:00", "always_permitted"),
        ("outside_office_hours", "2026-11-24 07:00", "before_opening"),
        ("outside_office_hours", "2026-11-24 12:00", "inside_office_hours"),
        ("outside_office_hours", "2026-11-24 17:12", "after_closing"),
        ("outside_office_hours", "2026-11-28 12:00", "closed_weekday"),
        ("outside_office_hours", "2026-12-25 12:00", "public_holiday"),
        ("outside_office_hours", "2026-12-29 12:00", "closed_day"),
        ("outside_office_hours", "2026-12-30 12:00", "special_closed_day"),
    ],
)
def test_every_rule_that_can_decide_is_named(permission: str, local: str, rule: str) -> None:
    directory = permitted(permission)
    days = {"closed_days": ["2026-12-29"], "special_hours": {"2026-12-30": None}}
    takes_effect(directory, FJORD, "set-portal-settings", days)
    _, decision = decided(directory, FJORD, VEST_BERGEN, oslo(local))
    assert decision.rule.value == rule
    assert decision.creation_permission.value == permission


def test_a_refused_creation_carries_the_decision_too() -> None:
    for permission, code in (("never", "never_permitted"), ("outside_office_hours", "inside_office_hours")):
        answer = checked(permitted(permission), VEST, "create-temporary-claim", at=TUESDAY_NOON)
        assert code_of(answer) == code
        assert answer.decision is not None
        assert (answer.decision.rule.value, answer.decision.inside_office_hours) == (code, True)


def test_a_creation_refused_for_a_missing_right_carries_the_decision_that_came_before() -> None:
    answer = checked(permitted(), VEST, "create-temporary-claim", creation(claim_number="V-1"))
    assert code_of(answer) == "may_not_define_claim_number"
    assert answer.decision is not None
    assert answer.decision.rule.value == "always_permitted"


@settings(no_deadline, max_examples=150)
@given(
    st.sampled_from(("never", "outside_office_hours", "always")),
    st.sampled_from(sorted(zoneinfo.available_timezones() - {"localtime", "Factory"})),
    utc_moments(2027, 2060),
)
def test_at_any_moment_never_refuses_always_permits_and_the_third_permits_outside(
    permission: str, zone: str, at: datetime
) -> None:
    directory = permitted(permission)
    takes_effect(directory, FJORD, "set-portal-settings", {"time_zone": zone, "closed_days": ["2030-01-01"]})
    code, decision = decided(directory, FJORD, VEST_BERGEN, at)
    inside = decision.inside_office_hours
    assert (
        code
        == {
            "never": "never_permitted",
            "always": None,
            "outside_office_hours": "inside_office_hours" if inside else None,
        }[permission]
    )
    local = datetime.fromisoformat(decision.local_time.split("[")[0])
    assert timedelta() <= at - local < timedelta(milliseconds=1)
    assert decision.local_time.endswith(f"[{zone}]")


@settings(no_deadline, max_examples=100)
@given(
    st.lists(st.tuples(st.integers(0, 50), st.sampled_from(("never", "outside_office_hours", "always"))), max_size=8),
    st.integers(0, 50),
)
def test_the_permission_that_counts_is_the_last_one_appended_by_the_moment_of_the_request(
    changes: list[tuple[int, str]], minute: int
) -> None:
    directory = registered()
    for after, permission in sorted(changes, key=lambda change: change[0]):
        takes_effect(
            directory,
            FJORD,
            "set-office-permission",
            {"office": VEST_BERGEN, "creation": permission},
            at=TUESDAY_NOON + timedelta(minutes=after),
        )
    in_force = "never"
    for after, permission in sorted(changes, key=lambda change: change[0]):
        if after <= minute:
            in_force = permission
    _, decision = decided(directory, FJORD, VEST_BERGEN, TUESDAY_NOON + timedelta(minutes=minute))
    assert decision.creation_permission.value == in_force


# The enhanced function (rule 7)


def test_rights_are_dormant_while_the_enhanced_function_is_off_and_wake_when_it_is_on_again() -> None:
    directory = permitted(may_define_claim_number=True, may_assign_to_others=True)
    off, on = TUESDAY_NOON, TUESDAY_EVENING
    takes_effect(directory, FJORD, "set-portal-settings", {"enhanced_function": False}, at=off)
    takes_effect(directory, FJORD, "set-portal-settings", {"enhanced_function": True}, at=on)
    for at, held in ((off - MICROSECOND, True), (off, False), (on - MICROSECOND, False), (on, True)):
        rights = rights_in_force(directory, FJORD, VEST_BERGEN, at)
        assert (rights.may_define_claim_number, rights.may_assign_to_others) == (held, held)
        assert rights.creation.value == "always"
        answer = checked(directory, VEST, "create-temporary-claim", creation(claim_number="V-1"), at=at)
        assert code_of(answer) == (None if held else "may_not_define_claim_number")


def test_an_office_without_the_right_may_not_define_the_claim_number() -> None:
    directory = permitted(may_assign_to_others=True)
    answer = checked(directory, VEST, "create-temporary-claim", creation(claim_number="V-1"))
    assert (code_of(answer), fields_of(answer)) == ("may_not_define_claim_number", ["claim_number"])


def test_an_office_with_the_right_may_define_the_claim_number() -> None:
    directory = permitted(may_define_claim_number=True)
    answer = checked(directory, VEST, "create-temporary-claim", creation(claim_number="V-1"))
    assert code_of(answer) is None


@pytest.mark.parametrize(
    ("assignment", "field"),
    [
        ({"assigned_office": NORD_TROMSO}, "assigned_office"),
        ({"tasks": [{"kind": "first_aid"}, {"kind": "inspection", "office": NORD_TROMSO}]}, "tasks.1.office"),
    ],
)
def test_an_office_without_the_right_may_not_assign_to_another_partners_office(assignment: Json, field: str) -> None:
    directory = permitted(may_define_claim_number=True)
    answer = checked(directory, VEST, "create-temporary-claim", creation(**assignment))
    assert (code_of(answer), fields_of(answer)) == ("may_not_assign_to_others", [field])
    assert answer.request is None  # nothing of it takes effect


def test_an_office_with_the_right_may_assign_to_another_partners_office() -> None:
    directory = permitted(may_assign_to_others=True)
    body = creation(assigned_office=NORD_TROMSO, tasks=[{"kind": "first_aid", "office": VEST_VOSS}])
    answer = checked(directory, VEST, "create-temporary-claim", body)
    assert code_of(answer) is None
    assert answer.facts.companies_of_offices == {VEST_BERGEN: VEST, NORD_TROMSO: NORD, VEST_VOSS: VEST}


def test_assigning_to_an_office_of_ones_own_needs_no_right() -> None:
    body = creation(assigned_office=VEST_VOSS, tasks=[{"kind": "inspection", "office": VEST_BERGEN}])
    assert code_of(checked(permitted(), VEST, "create-temporary-claim", body)) is None


def test_a_right_from_one_insurer_is_none_for_another() -> None:
    directory = permitted(may_define_claim_number=True, may_assign_to_others=True)
    takes_effect(directory, NORDLYS, "set-portal-settings", {"enhanced_function": True})
    takes_effect(directory, NORDLYS, "set-office-permission", {"office": VEST_BERGEN, "creation": "always"})
    for change, code in (
        ({"claim_number": "V-1"}, "may_not_define_claim_number"),
        ({"assigned_office": NORD_TROMSO}, "may_not_assign_to_others"),
    ):
        body = creation(insurer=NORDLYS, **change)
        assert code_of(checked(directory, VEST, "create-temporary-claim", body)) == code


@pytest.mark.parametrize("office", ["nord-alta", FJORD_OSLO])
def test_a_claim_can_be_assigned_only_to_a_registered_partners_office(office: str) -> None:
    directory = permitted(may_assign_to_others=True)
    answer = checked(directory, VEST, "create-temporary-claim", creation(assigned_office=office))
    assert (code_of(answer), fields_of(answer)) == ("unknown_office", ["assigned_office"])


@pytest.mark.parametrize("right", ["may_assign_to_others", "may_define_claim_number"])
def test_asking_to_grant_a_right_while_the_enhanced_function_is_off_is_refused(right: str) -> None:
    directory = registered()
    body = {"office": VEST_BERGEN, "creation": "always", right: True}
    assert code_of(applied(directory, FJORD, "set-office-permission", body, at=TUESDAY_NOON)) == "enhanced_function_off"
    assert directory.permission(FJORD, VEST_BERGEN, TUESDAY_EVENING).creation.value == "never"  # nothing took effect


def test_another_insurers_enhanced_function_does_not_help() -> None:
    directory = registered()
    takes_effect(directory, NORDLYS, "set-portal-settings", {"enhanced_function": True})
    body = {"office": VEST_BERGEN, "creation": "always", "may_assign_to_others": True}
    assert code_of(applied(directory, FJORD, "set-office-permission", body, at=TUESDAY_NOON)) == "enhanced_function_off"


def test_the_enhanced_function_switched_off_takes_the_granting_with_it() -> None:
    directory = permitted(may_assign_to_others=True)
    takes_effect(directory, FJORD, "set-portal-settings", {"enhanced_function": False})
    body = {"office": VEST_BERGEN, "creation": "always", "may_assign_to_others": True}
    assert code_of(applied(directory, FJORD, "set-office-permission", body, at=TUESDAY_NOON)) == "enhanced_function_off"


def test_a_right_can_be_taken_away_while_the_enhanced_function_is_off() -> None:
    directory = permitted(may_assign_to_others=True, may_define_claim_number=True)
    takes_effect(directory, FJORD, "set-portal-settings", {"enhanced_function": False})
    body = {"office": VEST_BERGEN, "creation": "always", "may_assign_to_others": False}
    takes_effect(directory, FJORD, "set-office-permission", body)
    takes_effect(directory, FJORD, "set-portal-settings", {"enhanced_function": True})
    rights = rights_in_force(directory, FJORD, VEST_BERGEN, TUESDAY_NOON)
    assert (rights.may_assign_to_others, rights.may_define_claim_number) == (False, True)


def test_a_right_that_is_left_out_stays() -> None:
    directory = permitted(may_assign_to_others=True)
    takes_effect(directory, FJORD, "set-office-permission", {"office": VEST_BERGEN, "creation": "never"})
    assert rights_in_force(directory, FJORD, VEST_BERGEN, TUESDAY_NOON).may_assign_to_others


steps = st.one_of(
    st.booleans().map(lambda on: ("set-portal-settings", {"enhanced_function": on})),
    st.fixed_dictionaries(
        {"office": st.just(VEST_BERGEN), "creation": st.sampled_from(("never", "always"))},
        optional={"may_assign_to_others": st.booleans(), "may_define_claim_number": st.booleans()},
    ).map(lambda body: ("set-office-permission", body)),
)


@settings(no_deadline, max_examples=150)
@given(st.lists(steps, max_size=12))
def test_a_right_is_held_just_while_it_is_given_and_the_function_is_on(requests: list[tuple[str, Json]]) -> None:
    directory, on, given_rights = registered(), False, {"may_assign_to_others": False, "may_define_claim_number": False}
    for name, body in requests:
        answer = applied(directory, FJORD, name, body, at=REGISTERED)
        grants = [right for right in given_rights if body.get(right)]
        if grants and not on:
            assert code_of(answer) == "enhanced_function_off"
            continue
        assert code_of(answer) is None
        on = body.get("enhanced_function", on)
        given_rights = {right: body.get(right, held) for right, held in given_rights.items()}
        held = rights_in_force(directory, FJORD, VEST_BERGEN, REGISTERED)
        assert held.may_assign_to_others is (on and given_rights["may_assign_to_others"])
        assert held.may_define_claim_number is (on and given_rights["may_define_claim_number"])


# What a creation must say (rule 8)


@pytest.mark.parametrize(
    "path",
    [
        "insurer",
        "office",
        "incident",
        "incident.date",
        "incident.cause",
        "incident.address",
        "incident.address.street",
        "incident.address.postal_code",
        "incident.address.city",
        "policyholder",
        "policyholder.name",
        "policyholder.phone",
    ],
)
def test_what_is_marked_with_a_star_in_the_form_is_mandatory(path: str) -> None:
    body = json.loads(json.dumps(creation()))
    *parents, last = path.split(".")
    part = body
    for parent in parents:
        part = part[parent]
    for missing in ("left out", "null"):
        if missing == "null":
            part[last] = None
        else:
            del part[last]
        answer = checked(permitted(), VEST, "create-temporary-claim", body)
        assert code_of(answer) == "invalid_request"
        assert fields_of(answer) == [path]


def test_everything_else_is_optional_and_is_passed_on_as_it_was_sent() -> None:
    directory = permitted(may_define_claim_number=True, may_assign_to_others=True)
    body = creation(
        claim_number="V-1",
        policy_number="P-1",
        partner_reference="Ø-1",
        assigned_office=NORD_TROMSO,
        tasks=[{"kind": "inspection", "office": VEST_VOSS}, {"kind": "first_aid"}],
        incident={
            **INCIDENT,
            "description": "Vann på badet.\nÅpent vindu.",
            "address": {**INCIDENT["address"], "country": "SE"},
        },
        policyholder={**POLICYHOLDER, "email": "ase@example.no"},
    )
    answer = checked(directory, VEST, "create-temporary-claim", body)
    assert code_of(answer) is None
    assert answer.request is not None
    assert from_json(answer.request.json_bytes()) == body


def test_an_unknown_field_is_ignored() -> None:
    answer = checked(permitted(), VEST, "create-temporary-claim", creation(colour="blue"))
    assert code_of(answer) is None
    assert b"colour" not in answer.json_bytes()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("insurer", "Fjord Forsikring"),
        ("insurer", 7),
        ("office", ""),
        ("office", "-bergen"),
        ("office", "b" * 64),
        ("claim_number", "\x00"),
        ("claim_number", "n" * 101),
        ("tasks", [{"kind": "painting"}]),
        ("tasks", [{"kind": "first_aid"}] * 101),
        ("policyholder", {**POLICYHOLDER, "phone": "91234567"}),
        ("policyholder", {**POLICYHOLDER, "phone": "+0791234567"}),
        ("policyholder", {**POLICYHOLDER, "email": "nobody"}),
        ("policyholder", {**POLICYHOLDER, "name": "   "}),
        ("policyholder", {**POLICYHOLDER, "name": "Åse\x00Dahl"}),
        ("incident", {**INCIDENT, "date": "24.11.2026"}),
        ("incident", {**INCIDENT, "date": "2026-02-30"}),
        ("incident", {**INCIDENT, "date": 1795478400}),
        ("incident", {**INCIDENT, "cause": "meteor"}),
        ("incident", {**INCIDENT, "description": "\x00"}),
    ],
)
def test_a_field_that_is_not_well_formed_is_named(field: str, value: object) -> None:
    answer = checked(permitted(), VEST, "create-temporary-claim", creation(**{field: value}))
    assert code_of(answer) == "invalid_request"
    assert [named.split(".")[0] for named in fields_of(answer)] == [field]


# What claims is told


def test_a_checked_request_says_who_asked_for_what_when_and_with_which_id() -> None:
    actor = [("ce_actor", b"Ola Vik, vakt")]
    request = asks(VEST, "create-temporary-claim", at=TUESDAY_EVENING, id="R:1._-z", headers=actor)
    answer = check(permitted(), request)
    assert (answer.company, answer.request_id, answer.actor) == (VEST, "R:1._-z", "Ola Vik, vakt")
    assert (answer.request_type, answer.requested_at) == ("claimbus.create-temporary-claim.v1", TUESDAY_EVENING)
    assert answer.claim_id == uuid5(UUID("6b7a4c0e-2f0f-5d0b-9a53-6f3f5d5f0c11"), f"{VEST}/R:1._-z")


def test_a_refused_creation_is_kept_under_the_id_that_its_claim_would_have_had() -> None:
    request = asks(VEST, "create-temporary-claim", {"insurer": 7}, at=TUESDAY_EVENING, id="r-1")
    expected = uuid5(UUID("6b7a4c0e-2f0f-5d0b-9a53-6f3f5d5f0c11"), f"{VEST}/r-1")
    assert check(permitted(), request).claim_id == expected


@pytest.mark.parametrize("name", sorted(name for name in CLAIM_REQUESTS if "claim_id" in BODIES[name]))
def test_a_request_about_a_claim_goes_to_that_claim(name: str) -> None:
    sender = min(SENT_BY[name])
    assert str(checked(registered(), sender, name).claim_id) == CLAIM


def test_a_claim_gets_the_time_zone_that_the_insurer_had_at_the_moment() -> None:
    directory = permitted()
    takes_effect(directory, FJORD, "set-portal-settings", {"time_zone": "Asia/Tokyo"}, at=TUESDAY_EVENING)
    before = checked(directory, VEST, "create-temporary-claim", at=TUESDAY_NOON)
    after = checked(directory, VEST, "create-temporary-claim", at=TUESDAY_EVENING)
    assert before.facts.time_zones == {FJORD: "Europe/Oslo"}
    assert after.facts.time_zones == {FJORD: "Asia/Tokyo"}
    registers = checked(directory, FJORD, "register-claim", at=TUESDAY_EVENING)
    assert registers.facts.time_zones == {FJORD: "Asia/Tokyo"}


def test_claims_is_told_where_an_inspection_needs_a_budget() -> None:
    directory = permitted()
    assert checked(directory, VEST, "create-temporary-claim").facts.insurers_that_need_budget == []
    takes_effect(directory, FJORD, "set-portal-settings", {"inspection_needs_budget": True})
    assert checked(directory, VEST, "create-temporary-claim").facts.insurers_that_need_budget == [FJORD]
    inspection = {"claim_id": CLAIM, "kind": "inspection"}
    assert checked(directory, VEST, "assign-task", inspection).facts.insurers_that_need_budget == [FJORD]
    first_aid = {"claim_id": CLAIM, "kind": "first_aid"}
    assert checked(directory, VEST, "assign-task", first_aid).facts.insurers_that_need_budget == []


def test_claims_is_told_for_whom_a_partner_may_assign_a_task_to_another_partners_office() -> None:
    directory = permitted(may_assign_to_others=True)
    to_nord = {"claim_id": CLAIM, "kind": "first_aid", "office": NORD_TROMSO}
    answer = checked(directory, VEST, "assign-task", to_nord)
    assert code_of(answer) is None
    assert answer.facts.companies_of_offices == {NORD_TROMSO: NORD}
    assert [(right.insurer, right.office) for right in answer.facts.may_assign_to_others] == [(FJORD, VEST_BERGEN)]
    takes_effect(directory, FJORD, "set-portal-settings", {"enhanced_function": False})
    assert checked(directory, VEST, "assign-task", to_nord).facts.may_assign_to_others == []
    to_vest = {"claim_id": CLAIM, "kind": "first_aid", "office": VEST_BERGEN}
    assert checked(directory, NORD, "assign-task", to_vest).facts.may_assign_to_others == []


@pytest.mark.parametrize("office", ["nord-alta", FJORD_OSLO])
def test_a_task_can_be_assigned_only_to_a_registered_partners_office(office: str) -> None:
    answer = checked(registered(), VEST, "assign-task", {"claim_id": CLAIM, "kind": "first_aid", "office": office})
    assert (code_of(answer), fields_of(answer)) == ("unknown_office", ["office"])


@pytest.mark.parametrize("name", ["register-claim", "convert-to-normal"])
@pytest.mark.parametrize("handler", ["nobody", "liv-berg"])
def test_a_claims_handler_is_a_user_of_the_insurer_that_asks(name: str, handler: str) -> None:
    answer = checked(registered(), FJORD, name, {**BODIES[name], "handler": handler})
    assert (code_of(answer), fields_of(answer)) == ("unknown_user", ["handler"])
    assert code_of(checked(registered(), FJORD, name)) is None


# Who may send what


@pytest.mark.parametrize("company", [VEST, FJORD, OPERATOR, UNREGISTERED])
@pytest.mark.parametrize("name", sorted(BODIES))
def test_each_request_is_taken_from_those_who_may_send_it_and_from_nobody_else(name: str, company: str) -> None:
    directory = permitted()
    answer: CheckedRequest | DirectoryEvent
    if name == "remove-user":
        takes_effect(directory, VEST, "register-user", BODIES["register-user"], at=REGISTERED)
    if name in DIRECTORY_REQUESTS:
        answer = applied(directory, company, name, at=TUESDAY_EVENING)
    else:
        answer = checked(directory, company, name)
    assert code_of(answer) == (None if company in SENT_BY[name] else "sender_not_allowed")


def test_the_contracts_requests_are_all_of_them() -> None:
    about_directory = {name for name in BODIES if asks(VEST, name, at=TUESDAY_EVENING).is_about_directory}
    assert about_directory == DIRECTORY_REQUESTS
    assert not asks_with_bytes(VEST, "claimbus.unheard-of.v1", b"{}", at=TUESDAY_EVENING).is_about_directory


# The directory and settings (rules 1, 2 and 7)


def test_the_operator_registers_companies_offices_and_users() -> None:
    directory = Directory()
    company = applied(directory, OPERATOR, "register-company", at=TUESDAY_NOON)
    assert isinstance(company, CompanyRegistered)
    office = applied(
        directory, OPERATOR, "register-office", {"id": "sor-1", "company": "sor-takst", "name": "1"}, at=TUESDAY_NOON
    )
    assert isinstance(office, OfficeRegistered)
    body = {"id": "u-1", "company": "sor-takst", "name": "U", "office": "sor-1", "authorisation_level": 4}
    assert isinstance(applied(directory, OPERATOR, "register-user", body, at=TUESDAY_NOON), UserRegistered)
    user = directory.user("u-1", TUESDAY_NOON)
    assert user is not None
    assert (user.company, user.office, user.authorisation_level) == ("sor-takst", "sor-1", 4)


@pytest.mark.parametrize("id_", ["operator", "claimbus", "kafka", "permissions", "claims", "linking", "portal"])
def test_a_company_cannot_take_the_name_of_a_service(id_: str) -> None:
    body = {"id": id_, "name": "X", "kind": "partner"}
    answer = applied(registered(), OPERATOR, "register-company", body, at=TUESDAY_NOON)
    assert (code_of(answer), fields_of(answer)) == ("invalid_request", ["id"])


@pytest.mark.parametrize(("id_", "kind"), [("sor-takst", "operator"), (VEST, "insurer"), (FJORD, "partner")])
def test_a_company_is_an_insurer_or_a_partner_and_stays_what_it_is(id_: str, kind: str) -> None:
    body = {"id": id_, "name": "X", "kind": kind}
    answer = applied(registered(), OPERATOR, "register-company", body, at=TUESDAY_NOON)
    assert (code_of(answer), fields_of(answer)) == ("invalid_request", ["kind"])


def test_a_company_can_get_another_name() -> None:
    directory = registered()
    body = {"id": VEST, "name": "Vest Skadesenter", "kind": "partner"}
    takes_effect(directory, OPERATOR, "register-company", body, at=TUESDAY_NOON)
    company = directory.company(VEST, TUESDAY_NOON)
    assert company is not None
    assert company.name == "Vest Skadesenter"


@pytest.mark.parametrize(("name", "id_"), [("register-office", "ny"), ("register-user", "ny-bruker")])
def test_a_company_registers_only_what_is_its_own(name: str, id_: str) -> None:
    own = {**BODIES[name], "id": id_}
    assert code_of(applied(registered(), VEST, name, own, at=TUESDAY_NOON)) is None
    for sender in (NORD, FJORD):
        answer = applied(registered(), sender, name, own, at=TUESDAY_NOON)
        assert (code_of(answer), fields_of(answer)) == ("sender_not_allowed", ["company"])


def test_a_company_cannot_take_another_companys_office_over() -> None:
    body = {"id": VEST_BERGEN, "company": NORD, "name": "Nord i Bergen"}
    for sender in (NORD, OPERATOR):
        answer = applied(registered(), sender, "register-office", body, at=TUESDAY_NOON)
        assert (code_of(answer), fields_of(answer)) == ("not_your_office", ["id"])


def test_a_company_cannot_take_another_companys_user_over() -> None:
    body = {"id": "kari-holm", "company": VEST, "name": "Kari Holm", "authorisation_level": 2}
    answer = applied(registered(), VEST, "register-user", body, at=TUESDAY_NOON)
    assert (code_of(answer), fields_of(answer)) == ("invalid_request", ["id"])


def test_a_user_who_was_removed_is_known_no_more_from_then_on() -> None:
    directory = registered()
    user = {"id": "kari-holm", "company": FJORD}
    takes_effect(directory, FJORD, "remove-user", user, at=TUESDAY_NOON)
    assert directory.user("kari-holm", TUESDAY_NOON) is None
    assert directory.user("kari-holm", TUESDAY_NOON - MICROSECOND) is not None
    assert "kari-holm" not in {user.id for user in directory.users(TUESDAY_NOON)}
    again = applied(directory, FJORD, "remove-user", user, at=TUESDAY_EVENING)
    assert (code_of(again), fields_of(again)) == ("unknown_user", ["id"])
    of_another = {"id": "kari-holm", "company": VEST, "name": "Kari Holm", "authorisation_level": 2}
    takes_effect(directory, VEST, "register-user", of_another, at=TUESDAY_EVENING)
    assert [user.company for user in directory.users(TUESDAY_EVENING) if user.id == "kari-holm"] == [VEST]


def test_an_office_that_was_removed_may_create_nothing_wherever_it_is_registered_next() -> None:
    directory = registered()
    takes_effect(
        directory, FJORD, "set-office-permission", {"office": VEST_BERGEN, "creation": "always"}, at=REGISTERED
    )
    takes_effect(directory, VEST, "remove-office", {"id": VEST_BERGEN, "company": VEST}, at=TUESDAY_NOON)
    assert decided(directory, FJORD, VEST_BERGEN, TUESDAY_NOON - MICROSECOND)[0] is None
    assert code_of(checked(directory, VEST, "create-temporary-claim")) == "unknown_office"
    body = {"id": VEST_BERGEN, "company": NORD, "name": "Nord i Bergen"}
    takes_effect(directory, NORD, "register-office", body, at=TUESDAY_NOON)
    assert decided(directory, FJORD, VEST_BERGEN, TUESDAY_EVENING)[0] == "never_permitted"
    assert [office.id for office in directory.offices_of(VEST, TUESDAY_EVENING)] == [VEST_VOSS]
    assert VEST_BERGEN in {office.id for office in directory.offices_of(VEST, TUESDAY_NOON - MICROSECOND)}
    assert VEST_BERGEN in {office.id for office in directory.offices_of(NORD, TUESDAY_EVENING)}


def test_an_office_is_removed_after_its_users() -> None:
    directory = registered()
    takes_effect(directory, VEST, "register-user", BODIES["register-user"] | {"office": VEST_BERGEN}, at=REGISTERED)
    answer = applied(directory, VEST, "remove-office", BODIES["remove-office"], at=TUESDAY_NOON)
    assert (code_of(answer), fields_of(answer)) == ("invalid_request", ["id"])
    takes_effect(directory, VEST, "remove-user", BODIES["remove-user"], at=TUESDAY_NOON)
    takes_effect(directory, VEST, "remove-office", BODIES["remove-office"], at=TUESDAY_NOON)


def test_a_company_that_was_removed_may_ask_for_nothing_and_nothing_of_it_is_left() -> None:
    directory = registered()
    takes_effect(
        directory, FJORD, "set-office-permission", {"office": VEST_BERGEN, "creation": "always"}, at=REGISTERED
    )
    takes_effect(directory, VEST, "register-user", BODIES["register-user"], at=REGISTERED)
    takes_effect(directory, OPERATOR, "remove-company", {"id": VEST}, at=TUESDAY_NOON)
    assert code_of(checked(directory, VEST, "create-temporary-claim")) == "sender_not_allowed"
    assert directory.office(VEST_BERGEN, TUESDAY_NOON) is None
    assert directory.user("ola-vik", TUESDAY_NOON) is None
    assert (directory.count_offices(VEST), directory.count_users(VEST)) == (0, 0)
    assert directory.permissions_of(FJORD, TUESDAY_NOON)[VEST_BERGEN] == OfficePermission()
    again = applied(directory, OPERATOR, "remove-company", {"id": VEST}, at=TUESDAY_EVENING)
    assert (code_of(again), fields_of(again)) == ("invalid_request", ["id"])


def test_an_insurer_that_was_removed_and_comes_again_has_given_and_set_nothing() -> None:
    directory = registered()
    takes_effect(
        directory, FJORD, "set-office-permission", {"office": VEST_BERGEN, "creation": "always"}, at=REGISTERED
    )
    takes_effect(directory, FJORD, "set-portal-settings", {"unlink_days": 7}, at=REGISTERED)
    takes_effect(directory, OPERATOR, "remove-company", {"id": FJORD}, at=TUESDAY_NOON)
    assert code_of(checked(directory, VEST, "create-temporary-claim")) == "unknown_insurer"
    body = {"id": FJORD, "name": "Fjord", "kind": "insurer"}
    takes_effect(directory, OPERATOR, "register-company", body, at=TUESDAY_NOON)
    assert code_of(checked(directory, VEST, "create-temporary-claim")) == "never_permitted"
    assert directory.settings(FJORD, TUESDAY_EVENING) == DEFAULT_SETTINGS


@pytest.mark.parametrize("name", ["remove-office", "remove-user"])
def test_a_company_removes_only_what_is_its_own(name: str) -> None:
    directory = registered()
    takes_effect(directory, VEST, "register-user", BODIES["register-user"], at=REGISTERED)
    for sender in (NORD, FJORD):
        answer = applied(directory, sender, name, BODIES[name], at=TUESDAY_NOON)
        assert (code_of(answer), fields_of(answer)) == ("sender_not_allowed", ["company"])
        answer = applied(directory, sender, name, BODIES[name] | {"company": sender}, at=TUESDAY_NOON)
        assert code_of(answer) == {"remove-office": "unknown_office", "remove-user": "unknown_user"}[name]


@pytest.mark.parametrize("company", [UNREGISTERED, OPERATOR])
@pytest.mark.parametrize("name", ["register-office", "register-user"])
def test_nothing_is_registered_for_a_company_that_is_none(name: str, company: str) -> None:
    answer = applied(registered(), OPERATOR, name, {**BODIES[name], "company": company}, at=TUESDAY_NOON)
    assert (code_of(answer), fields_of(answer)) == ("invalid_request", ["company"])


@pytest.mark.parametrize(("company", "highest"), [(FJORD, 6), (VEST, 4)])
def test_authorisation_levels_are_1_to_6_for_an_insurers_users_and_1_to_4_for_a_partners(
    company: str, highest: int
) -> None:
    for level in range(-1, 9):
        body = {"id": "ny-bruker", "company": company, "name": "Ny", "authorisation_level": level}
        answer = applied(registered(), company, "register-user", body, at=TUESDAY_NOON)
        assert code_of(answer) == (None if 1 <= level <= highest else "invalid_request")


@pytest.mark.parametrize(("office", "code"), [("vest-stavanger", "unknown_office"), (NORD_TROMSO, "not_your_office")])
def test_a_users_office_is_one_of_its_company(office: str, code: str) -> None:
    body = {**BODIES["register-user"], "office": office}
    answer = applied(registered(), VEST, "register-user", body, at=TUESDAY_NOON)
    assert (code_of(answer), fields_of(answer)) == (code, ["office"])


@pytest.mark.parametrize("office", ["vest-stavanger", FJORD_OSLO])
def test_an_insurer_gives_permissions_only_to_registered_partners_offices(office: str) -> None:
    body = {"office": office, "creation": "always"}
    answer = applied(registered(), FJORD, "set-office-permission", body, at=TUESDAY_NOON)
    assert (code_of(answer), fields_of(answer)) == ("unknown_office", ["office"])


@pytest.mark.parametrize("name", ["register-office", "register-user"])
def test_a_company_registers_so_many_offices_and_users_and_only_the_operator_more(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory_rules, "MOST_OFFICES", 5)
    monkeypatch.setattr(directory_rules, "MOST_USERS", 5)
    directory = registered()
    answers = {n: applied(directory, VEST, name, BODIES[name] | {"id": f"n-{n}"}, at=TUESDAY_NOON) for n in range(6)}
    refused = {n: answer for n, answer in answers.items() if code_of(answer) == "company_full"}
    assert list(refused) == ([3, 4, 5] if name == "register-office" else [5])  # Vest has two offices, and no user
    assert {code_of(answer) for answer in answers.values()} == {None, "company_full"}
    assert fields_of(refused[5]) == ["id"]
    takes_effect(directory, VEST, name, BODIES[name] | {"id": "n-0", "name": "Another name"})
    takes_effect(directory, OPERATOR, name, BODIES[name] | {"id": "n-5"})


def test_a_company_changes_so_much_within_a_day_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(domain_directory, "MOST_CHANGES", 3)
    directory = registered()

    def asked(n: int, at: datetime, company: str = FJORD) -> ReceivedRequest:
        return asks(company, "set-portal-settings", {"unlink_days": n + 1}, at=at, id=f"n-{n}")

    requests = [asked(n, TUESDAY_NOON + timedelta(hours=n)) for n in range(5)]
    settled = list(directory_rules.settle_in_order(directory, requests))
    assert [received.envelope.id for _, received in settled] == ["n-0", "n-1", "n-2"]
    for event, received in settled:
        directory.apply(event, received.at)
    for received in requests[:3]:  # what was settled is answered as it was
        assert directory.settled(FJORD, received.envelope.id) is not None
    for received in requests[3:]:
        assert not is_settled_here(directory, FJORD, received.envelope.type, received.at)
        assert code_of(check(directory, received)) == "too_many_changes"
    for company, at in ((NORDLYS, requests[4].at), (FJORD, TUESDAY_NOON + timedelta(days=1))):
        assert is_settled_here(directory, company, requests[4].envelope.type, at)
    assert not is_settled_here(directory, FJORD, requests[4].envelope.type, TUESDAY_NOON + timedelta(hours=23))


def test_the_operator_registers_as_much_as_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(domain_directory, "MOST_CHANGES", 3)
    assert is_settled_here(registered(), OPERATOR, "claimbus.register-office.v1", REGISTERED)


def test_what_is_settled_ahead_leaves_the_directory_as_it_is() -> None:
    directory = permitted("never")
    before = [directory.settings(FJORD, TUESDAY_NOON), directory.permission(FJORD, VEST_BERGEN, TUESDAY_NOON)]
    requests = [
        asks(FJORD, "set-portal-settings", {"enhanced_function": True}, at=TUESDAY_NOON),
        asks(FJORD, "set-office-permission", {"office": VEST_BERGEN, "creation": "always"}, at=TUESDAY_NOON),
        asks(VEST, "register-office", {"id": "ny", "company": VEST, "name": "Ny"}, at=TUESDAY_NOON),
        asks(VEST, "register-user", BODIES["register-user"] | {"office": "ny"}, at=TUESDAY_NOON),
    ]
    settled = [event for event, _ in directory_rules.settle_in_order(directory, requests)]
    assert [code_of(event) for event in settled] == [None] * 4
    assert before == [directory.settings(FJORD, LATEST), directory.permission(FJORD, VEST_BERGEN, LATEST)]
    assert (directory.office("ny", LATEST), directory.count_offices(VEST)) == (None, 2)
    assert not [request for request in requests if directory.settled(request.company, request.envelope.id)]


def test_a_companys_requests_about_the_directory_may_follow_each_other_without_waiting() -> None:
    """They are judged against the directory as it is now, even where it learnt of something after they were sent."""
    directory = registered()
    appended, settled_at = TUESDAY_NOON, TUESDAY_EVENING
    switch = asks(FJORD, "set-portal-settings", {"enhanced_function": True}, at=appended)
    grant = asks(
        FJORD,
        "set-office-permission",
        {"office": VEST_BERGEN, "creation": "always", "may_assign_to_others": True},
        at=appended,
    )
    for request in (switch, grant):
        event = settle(directory, request)
        assert code_of(event) is None
        assert event.requested_at == appended
        directory.apply(event, settled_at)
    assert not rights_in_force(directory, FJORD, VEST_BERGEN, settled_at - MICROSECOND).may_assign_to_others
    assert rights_in_force(directory, FJORD, VEST_BERGEN, settled_at).may_assign_to_others


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"country": "XX"}, "country"),
        ({"country": "NOR"}, "country"),
        ({"subdivision": "99"}, "subdivision"),
        ({"subdivision": ""}, "body"),
        ({"country": "DE", "subdivision": "by"}, "subdivision"),
        ({"time_zone": "Europe/Bergen"}, "time_zone"),
        ({"time_zone": ""}, "body"),
        ({"time_zone": "../Europe/Oslo"}, "time_zone"),
        ({"office_hours": {"mon": {"opens": "16:00", "closes": "08:00"}}}, "office_hours"),
        ({"office_hours": {"mon": {"opens": "08:00", "closes": "08:00"}}}, "office_hours"),
        ({"office_hours": {"mon": {"opens": "08:00", "closes": "24:01"}}}, "office_hours"),
        ({"office_hours": {"mon": {"opens": "24:00", "closes": "24:00"}}}, "office_hours"),
        ({"office_hours": {"mon": {"opens": "8:00", "closes": "16:00"}}}, "office_hours"),
        ({"office_hours": {"mon": {"opens": "08:00"}}}, "office_hours"),
        ({"office_hours": {"man": None}}, "office_hours"),
        ({"closed_days": ["2026-02-29"]}, "closed_days"),
        ({"special_hours": {"christmas": None}}, "special_hours"),
        ({"report_period": "daily"}, "report_period"),
        ({"enhanced_function": "on"}, "enhanced_function"),
        ({}, "body"),
        ({"time_zone": None, "closed_days": None}, "body"),
        ({"colour": "blue"}, "body"),
    ],
)
def test_settings_that_cannot_be_are_refused_with_the_field(body: Json, field: str) -> None:
    answer = applied(registered(), FJORD, "set-portal-settings", body, at=TUESDAY_NOON)
    assert code_of(answer) == "invalid_request"
    assert {named.split(".")[0] for named in fields_of(answer)} == {field}


def test_an_unknown_country_is_the_field_that_is_wrong_also_where_a_subdivision_is_given() -> None:
    answer = applied(registered(), FJORD, "set-portal-settings", {"country": "XX", "subdivision": "A"}, at=TUESDAY_NOON)
    assert (code_of(answer), fields_of(answer)) == ("invalid_request", ["country"])


@pytest.mark.parametrize("zone", ["right/Europe/Oslo", "posix/Europe/Oslo", "posixrules", "localtime"])
def test_a_file_beside_the_time_zones_is_no_time_zone(zone: str) -> None:
    """Another machine may not have it, and `right/` counts leap seconds."""
    answer = applied(registered(), FJORD, "set-portal-settings", {"time_zone": zone}, at=TUESDAY_NOON)
    assert (code_of(answer), fields_of(answer)) == ("invalid_request", ["time_zone"])


@settings(no_deadline, max_examples=150)
@given(st.one_of(st.text(), st.sampled_from(("Europe", ".", "/etc/passwd", "zone.tab", "tzdata.zi", "a" * 5000))))
def test_no_text_can_be_a_time_zone_and_break_the_office_hours(zone: str) -> None:
    directory = permitted("outside_office_hours")
    answer = applied(directory, FJORD, "set-portal-settings", {"time_zone": zone}, at=TUESDAY_NOON)
    assert code_of(answer) in {None, "invalid_request"}
    assert decided(directory, FJORD, VEST_BERGEN, TUESDAY_EVENING)


def test_settings_that_went_over_the_bus_change_the_same_as_before() -> None:
    directory = registered()
    takes_effect(directory, FJORD, "set-portal-settings", {"country": "DE", "subdivision": "BY"})
    body: Json = {
        "subdivision": None,
        "office_hours": {"mon": None, "sat": {"opens": "10:00", "closes": "24:00"}},
        "special_hours": {"2026-12-24": {"opens": "08:00", "closes": "12:00"}, "2026-12-31": None},
        "closed_days": [],
    }
    event = settle(directory, asks(FJORD, "set-portal-settings", body, at=TUESDAY_NOON))
    assert isinstance(event, PortalSettingsSet)
    read_again = PortalSettingsSet.model_validate_json(event.json_bytes())
    before = directory.settings(FJORD, TUESDAY_NOON)
    assert before.changed_by(read_again.settings) == before.changed_by(event.settings)
    after = before.changed_by(read_again.settings)
    assert (after.country, after.subdivision) == ("DE", None)
    assert after.special_hours[date(2026, 12, 31)] is None


def test_a_permission_that_went_over_the_bus_is_the_same_as_before() -> None:
    event = settle(registered(), asks(FJORD, "set-office-permission", at=TUESDAY_NOON))
    assert isinstance(event, OfficePermissionSet)
    assert OfficePermissionSet.model_validate_json(event.json_bytes()) == event


# Every request gets an answer, and the same one (rules 21 and 22)


@pytest.mark.parametrize("request_type", ["claimbus.unheard-of.v1", "claimbus.create-temporary-claim.v2", "x"])
def test_an_unknown_type_is_answered(request_type: str) -> None:
    answer = check(permitted(), asks_with_bytes(VEST, request_type, b"{}", at=TUESDAY_EVENING))
    assert code_of(answer) == "unknown_type"
    assert answer.request_type == request_type


@pytest.mark.parametrize("value", [None, b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 5000, b'{"insurer": "a"'])
@pytest.mark.parametrize("name", sorted(BODIES))
def test_a_body_that_cannot_be_understood_is_answered(name: str, value: bytes | None) -> None:
    request = asks_with_bytes(FJORD, f"claimbus.{name}.v1", value, at=TUESDAY_EVENING)
    answer = settle(registered(), request) if name in DIRECTORY_REQUESTS else check(registered(), request)
    assert code_of(answer) == "invalid_request"
    assert fields_of(answer)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, None),
        ({"policyholder": None}, "invalid_request"),
        ({"office": NORD_TROMSO}, "not_your_office"),
        ({"office": VEST_VOSS}, "never_permitted"),
    ],
)
def test_a_creation_request_says_which_insurer_it_counts_for_also_when_it_is_refused(
    changes: Json, code: str | None
) -> None:
    answer = check(permitted(), asks(VEST, "create-temporary-claim", creation(**changes), at=TUESDAY_EVENING))
    assert (code_of(answer), answer.insurer) == (code, FJORD)


@pytest.mark.parametrize("named", [VEST, "nobody", 7, ["x"], None])
def test_a_creation_request_that_names_no_insurer_counts_for_none(named: object) -> None:
    answer = check(permitted(), asks(VEST, "create-temporary-claim", creation(insurer=named), at=TUESDAY_EVENING))
    assert code_of(answer) is not None
    assert answer.insurer is None


def test_a_body_of_256_kib_is_taken_and_one_byte_more_is_not() -> None:
    body = json.dumps(creation()).encode()
    for size, code in ((256 * 1024, None), (256 * 1024 + 1, "message_too_large")):
        value = body + b" " * (size - len(body))
        request = asks_with_bytes(VEST, "claimbus.create-temporary-claim.v1", value, at=TUESDAY_EVENING)
        assert code_of(check(permitted(), request)) == code


def test_settings_that_are_too_large_are_answered_too() -> None:
    value = json.dumps({"time_zone": "Europe/Oslo", "x": "x" * 256 * 1024}).encode()
    request = asks_with_bytes(FJORD, "claimbus.set-portal-settings.v1", value, at=TUESDAY_EVENING)
    assert code_of(settle(registered(), request)) == "message_too_large"


@pytest.mark.parametrize("name", ["create-temporary-claim", "register-company"])
def test_problems_of_the_envelope_are_answered_with_their_fields(name: str) -> None:
    headers = [
        ("ce_id", b"r-1"),
        ("ce_specversion", b"0.3"),
        ("ce_type", f"claimbus.{name}.v1".encode()),
        ("ce_subject", b"\xff"),
        ("content-type", b"text/plain"),
    ]
    request = ReceivedRequest("operator", TUESDAY_EVENING, read_envelope(headers, json.dumps(BODIES[name]).encode()))
    answer = settle(registered(), request) if name in DIRECTORY_REQUESTS else check(registered(), request)
    assert code_of(answer) == "invalid_request"
    assert sorted(fields_of(answer)) == ["ce_source", "ce_specversion", "ce_subject", "content-type"]


@pytest.mark.parametrize("name", sorted(BODIES))
def test_the_same_request_is_answered_the_same(name: str) -> None:
    for sender, decide in itertools.product((VEST, FJORD, OPERATOR), (check, settle)):
        if (decide is settle) is (name in DIRECTORY_REQUESTS):
            request = asks(sender, name, at=TUESDAY_EVENING)
            assert decide(permitted(), request).json_bytes() == decide(permitted(), request).json_bytes()


def test_a_request_about_the_directory_sent_again_with_another_body_has_no_second_effect() -> None:
    directory = registered()
    first = applied(
        directory, FJORD, "set-portal-settings", {"time_zone": "Asia/Tokyo"}, at=TUESDAY_NOON, id="settings-1"
    )
    applied(
        directory, FJORD, "set-portal-settings", {"time_zone": "Europe/London"}, at=TUESDAY_EVENING, id="settings-1"
    )
    assert directory.settings(FJORD, TUESDAY_EVENING).time_zone == "Asia/Tokyo"
    assert directory.settled(FJORD, "settings-1") == settled_request(first, TUESDAY_NOON)


def test_a_refused_request_about_the_directory_is_remembered_although_it_would_be_accepted_now() -> None:
    directory = registered()
    grant = {"office": VEST_BERGEN, "creation": "always", "may_assign_to_others": True}
    refused = applied(directory, FJORD, "set-office-permission", grant, at=TUESDAY_NOON, id="grant-1")
    takes_effect(directory, FJORD, "set-portal-settings", {"enhanced_function": True}, at=TUESDAY_NOON)
    applied(directory, FJORD, "set-office-permission", grant, at=TUESDAY_EVENING, id="grant-1")
    assert directory.settled(FJORD, "grant-1") == settled_request(refused, TUESDAY_NOON)
    assert code_of(refused) == "enhanced_function_off"
    assert not directory.permission(FJORD, VEST_BERGEN, TUESDAY_EVENING).may_assign_to_others


# Nothing that a company sends breaks what is behind it (rule 22)

NUL = "\x00"


@pytest.mark.parametrize("name", sorted(CLAIM_REQUESTS))
@pytest.mark.parametrize("field", ["claim_id", "task_id", "insurer", "claim_number", "target_claim_id", "incident"])
def test_no_refusal_of_a_request_about_a_claim_repeats_the_character_that_the_database_cannot_keep(
    name: str, field: str
) -> None:
    sender = min(SENT_BY[name])
    answer = checked(permitted(), sender, name, {**BODIES[name], field: f"{NUL}bc"})
    assert b"\\u0000" not in answer.json_bytes()


@pytest.mark.parametrize(
    "body",
    [
        {"time_zone": NUL},
        {"country": NUL},
        {"subdivision": NUL},
        {"special_hours": {NUL: None}},
        {"office_hours": {NUL: None}},
        {"closed_days": [NUL]},
        {"report_period": NUL},
    ],
    ids=lambda body: next(iter(body)),
)
def test_no_refusal_of_settings_repeats_the_character_that_the_database_cannot_keep(body: Json) -> None:
    answer = applied(registered(), FJORD, "set-portal-settings", body, at=TUESDAY_NOON)
    assert code_of(answer) == "invalid_request"
    assert b"\\u0000" not in answer.json_bytes()


def test_no_refusal_repeats_an_unprintable_header_name() -> None:
    answer = checked(permitted(), VEST, "create-temporary-claim", headers=[("ce_\x00subject", b"\xff")])
    assert b"\\u0000" not in answer.json_bytes()


printable = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)
anything = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        printable,
        st.sampled_from(
            (FJORD, VEST_BERGEN, NORD_TROMSO, CLAIM, TASK, "always", "first_aid", "2026-11-24", "+4791234567")
        ),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(printable, inner, max_size=3)),
    max_leaves=6,
)


@settings(no_deadline, max_examples=300)
@given(st.data())
def test_whatever_a_company_sends_it_gets_one_well_formed_answer(data: st.DataObject) -> None:
    directory = permitted(may_assign_to_others=True)
    name = data.draw(st.sampled_from(sorted(BODIES)))
    sender = data.draw(st.sampled_from((VEST, NORD, FJORD, OPERATOR, UNREGISTERED)))
    body = dict(BODIES[name])
    optional = {"office", "assigned_office", "tasks", "media", "special_hours", "office_hours", "subdivision", "email"}
    for field in data.draw(st.lists(st.sampled_from(sorted(set(body) | optional)), max_size=2)):
        body[field] = data.draw(anything)
    request = asks(sender, name, body, at=TUESDAY_EVENING)
    if request.is_about_directory:
        event = settle(directory, request)
        read_again = type(event).model_validate_json(event.json_bytes())
        assert (read_again.company, read_again.request_id) == (sender, request.envelope.id)
        directory.apply(event, TUESDAY_EVENING)
        assert directory.settled(sender, request.envelope.id) == settled_request(event, TUESDAY_EVENING)
        if directory.office(VEST_BERGEN, LATEST) is not None:  # else it has just been removed
            assert decided(directory, FJORD, VEST_BERGEN, TUESDAY_EVENING)  # no setting breaks what comes after it
    else:
        answer = check(directory, request)
        assert read_checked_request(answer.json_bytes()).json_bytes() == answer.json_bytes()
        assert (answer.refusal is None) is (answer.request is not None)


@settings(no_deadline, max_examples=100)
@given(st.binary(max_size=60), st.sampled_from(sorted(BODIES)))
def test_whatever_bytes_a_company_sends_it_gets_an_answer(value: bytes, name: str) -> None:
    request = asks_with_bytes(FJORD, f"claimbus.{name}.v1", value, at=TUESDAY_EVENING)
    answer = settle(registered(), request) if name in DIRECTORY_REQUESTS else check(registered(), request)
    assert code_of(answer) is not None


# The sentences


@pytest.mark.parametrize("code", list(Code))
def test_every_code_has_a_sentence_in_norwegian_and_in_english(code: Code) -> None:
    message = code.message
    for sentence in (message.nb, message.en):
        assert sentence[0].isupper()
        assert sentence.endswith(".")
        assert code.value not in sentence
    assert message.nb != message.en


def test_the_codes_are_the_contracts() -> None:
    contract = """
        invalid_request unknown_type message_too_large not_your_office unknown_insurer unknown_office unknown_user
        never_permitted inside_office_hours enhanced_function_off may_not_assign_to_others may_not_define_claim_number
        sender_not_allowed unknown_claim unknown_task claim_number_taken not_temporary already_cancelled being_linked
        target_not_linkable budget_missing media_missing media_mismatch media_not_allowed too_many_media
        incident_in_future
    """
    ours = ["claim_full", "not_linked", "too_late_to_unlink", "still_temporary", "claim_redacted"]
    ours += ["settings_not_understood", "company_full", "too_many_changes"]
    assert [code.value for code in Code] == [*contract.split(), *ours]


def test_no_two_codes_say_the_same() -> None:
    assert len({code.message.nb for code in Code}) == len({code.message.en for code in Code}) == len(Code)
