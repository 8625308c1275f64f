"""Forms that show what is so and change it: only what the person changed is sent, others' changes are asked about."""

from datetime import date
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.portal.claim_view import ClaimView, apply
from services.portal.editing import SHOWN, ChangedMeanwhile, Unchanged, changed, pack, unpack
from services.portal.forms import WrongForm
from services.portal.pages.administration import OfficeRow, hours, own_days, permission, switches
from services.portal.pages.administration import _values as values_of_company
from services.portal.pages.handling import correction, written
from shared.contract.fields import CompanyKind, CreationPermission, Hours, Weekday
from shared.contract.requests import SetPortalSettings
from shared.domain.companies import Company, Office, OfficePermission
from shared.domain.portal_settings import PortalSettings
from tests.builders.events import created

FIELDS = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(["", "1", "2", "3"]), max_size=6)
CHRISTMAS_EVE, BRIDGE_DAY = date(2026, 12, 24), date(2027, 5, 7)
SETTINGS = PortalSettings(
    closed_days=frozenset({BRIDGE_DAY}), special_hours={CHRISTMAS_EVE: Hours(opens="08:00", closes="12:00")}
)


def a_claim(**changes: Any) -> ClaimView:
    """A temporary claim, with changes of parts of it."""
    view = apply(None, created(uuid4()))
    incident = view.incident.model_copy(update={"description": "Vann i kjelleren.\nParketten er våt."})
    return view.model_copy(update={"incident": incident, "policy_number": "P-1", **changes})


def form_of(claim: ClaimView, **typed: str) -> dict[str, str]:
    """What the form of a claim is sent with when some of its fields were changed; a dot is written __."""
    before = written(claim)
    return before | {SHOWN: pack(before)} | {name.replace("__", "."): text for name, text in typed.items()}


def renamed(claim: ClaimView, name: str) -> ClaimView:
    """The claim after somebody else has corrected the name."""
    return claim.model_copy(update={"policyholder": claim.policyholder.model_copy(update={"name": name})})


@given(shown=FIELDS, typed=FIELDS, now=FIELDS)
def test_nothing_is_sent_but_what_the_person_changed_and_nothing_without_asking(
    shown: dict[str, str], typed: dict[str, str], now: dict[str, str]
) -> None:
    names = shown.keys() | now.keys() | typed.keys()
    of = {n: (shown.get(n, ""), typed.get(n, ""), now.get(n, "")) for n in names}
    wanted = {n: t for n, (s, t, present) in of.items() if t not in (s, present)}
    others = {n: (s, present) for n, (s, t, present) in of.items() if s != present}
    form = typed | {SHOWN: pack(shown)}
    if not wanted:
        with pytest.raises(Unchanged):
            changed(form, now, added=typed)
    elif not others:
        assert changed(form, now, added=typed) == wanted
    else:
        with pytest.raises(ChangedMeanwhile) as raised:
            changed(form, now, added=typed)
        assert {each.field: (each.before, each.now, each.typed) for each in raised.value.changes} == {
            n: (*both, wanted.get(n)) for n, both in others.items()
        }
        assert changed(raised.value.values, now, added=typed) == wanted  # saved once more, after it was asked


def test_with_the_phone_alone_changed_neither_the_description_nor_the_other_s_name_is_sent_back() -> None:
    claim = a_claim()
    request = correction(claim, form_of(claim, policyholder__phone="41 23 45 67"))
    assert request.model_fields_set == {"claim_id", "policyholder"}
    assert request.policyholder is not None
    assert request.policyholder == claim.policyholder.model_copy(update={"phone": "+4741234567"})


def test_a_change_in_between_is_asked_about_and_kept_when_the_form_is_saved_once_more() -> None:
    before = a_claim()
    now = renamed(before, "Anne Bergum")
    form = form_of(before, policyholder__phone="41234567")
    with pytest.raises(ChangedMeanwhile) as raised:
        correction(now, form)
    (change,) = raised.value.changes
    assert (change.field, change.before, change.now) == ("policyholder.name", "Anne Berg", "Anne Bergum")
    assert change.typed is None
    request = correction(now, form | raised.value.values)
    assert request.policyholder is not None
    assert (request.policyholder.name, request.policyholder.phone) == ("Anne Bergum", "+4741234567")


def test_who_has_changed_the_same_field_is_told_what_it_is_now_and_keeps_what_was_typed() -> None:
    before = a_claim()
    form = form_of(before, policyholder__name="Anna Berg")
    with pytest.raises(ChangedMeanwhile) as raised:
        correction(renamed(before, "Anne Bergum"), form)
    assert [(change.now, change.typed) for change in raised.value.changes] == [("Anne Bergum", "Anna Berg")]
    assert raised.value.values["policyholder.name"] == "Anna Berg"


def test_what_somebody_else_has_corrected_in_the_same_way_is_not_sent_again() -> None:
    before = a_claim()
    with pytest.raises(Unchanged):
        correction(renamed(before, "Anne Bergum"), form_of(before, policyholder__name="Anne Bergum"))


@pytest.mark.parametrize("phone", ["+4791234567", "912 34 567", "0047 91234567", " 91234567 "])
def test_the_same_phone_written_in_another_way_is_no_change(phone: str) -> None:
    claim = a_claim()
    with pytest.raises(Unchanged):
        correction(claim, form_of(claim, policyholder__phone=phone))


@pytest.mark.parametrize(
    "description",
    [
        "Vann i kjelleren.\r\nParketten er våt.",
        "Vann i kjelleren.\rParketten er våt.",
        "  Vann i kjelleren.\nParketten er våt.\n\n",
        "Vann i kjelleren.\nParketten er va\u030at.",
    ],
)
def test_the_same_text_as_browsers_and_keyboards_write_it_is_no_change(description: str) -> None:
    claim = a_claim()
    with pytest.raises(Unchanged):
        correction(claim, form_of(claim, incident__description=description))


def test_an_optional_field_of_a_part_is_emptied_and_one_that_is_a_part_of_its_own_cannot_be() -> None:
    claim = a_claim()
    request = correction(claim, form_of(claim, incident__description=""))
    assert request.incident is not None
    assert "description" not in request.incident.model_fields_set
    with pytest.raises(WrongForm) as wrong:
        correction(claim, form_of(claim, policy_number="", policyholder__name="Anna Berg"))
    assert set(wrong.value.problems) == {"policy_number"}
    with pytest.raises(WrongForm) as wrong:
        correction(claim, form_of(claim, policyholder__name=""))
    assert set(wrong.value.problems) == {"policyholder.name"}


@pytest.mark.parametrize("packed", ["", "x", "AAAA", pack({}) + "!", "å", "eNpLTEoGAAJNASc="])
def test_a_form_that_does_not_say_what_it_showed_is_compared_with_what_is_so(packed: str) -> None:
    claim = a_claim()
    with pytest.raises(Unchanged):
        correction(claim, written(claim) | {SHOWN: packed})


@given(values=st.dictionaries(st.text(), st.text()))
def test_what_a_form_showed_comes_back_byte_for_byte(values: dict[str, str]) -> None:
    assert unpack(pack(values)) == values


def office(**held: Any) -> OfficeRow:
    """An office that may create outside office hours."""
    permission = OfficePermission(CreationPermission.OUTSIDE_OFFICE_HOURS, **held)
    return OfficeRow(Company("vest", "Vest", CompanyKind.PARTNER), Office("bergen", "vest", "Bergen"), permission)


def test_an_office_s_rights_are_sent_only_where_they_were_changed() -> None:
    row = office(may_assign_to_others=True)
    shown = {"creation": "outside_office_hours", "may_assign_to_others": "1", "may_define_claim_number": ""}
    form = {"creation": "outside_office_hours", "may_assign_to_others": "1", "rights": "1", SHOWN: pack(shown)}
    with pytest.raises(Unchanged):
        permission(row, form)
    request = permission(row, form | {"may_define_claim_number": "1"})
    assert request.model_fields_set == {"office", "creation", "may_define_claim_number"}
    unticked = {name: text for name, text in form.items() if name != "may_assign_to_others"}
    assert permission(row, unticked).may_assign_to_others is False
    with pytest.raises(ChangedMeanwhile):
        permission(office(may_assign_to_others=True, may_define_claim_number=True), form | {"creation": "never"})


def company_form(settings: PortalSettings = SETTINGS, **typed: str) -> dict[str, str]:
    """What a form of *Selskap* is sent with."""
    return values_of_company(settings) | {name.replace("__", "."): text for name, text in typed.items()}


@pytest.mark.parametrize("form", [hours, own_days, switches])
def test_settings_that_were_left_alone_are_not_sent(form: Any) -> None:
    with pytest.raises(Unchanged):
        form(SETTINGS, company_form())


def test_only_the_weekdays_and_settings_that_were_changed_are_sent() -> None:
    request = hours(SETTINGS, company_form(office_hours__mon__opens="9", office_hours__tue__opens="8.00"))
    assert request.model_fields_set == {"office_hours"}
    assert request.office_hours == {Weekday.MON: Hours(opens="09:00", closes="16:00")}
    closed = hours(SETTINGS, company_form(office_hours__fri__opens="", office_hours__fri__closes=""))
    assert closed.office_hours == {Weekday.FRI: None}
    assert hours(SETTINGS, company_form(country="SE")).model_fields_set == {"country"}
    assert switches(SETTINGS, company_form(enhanced_function="1")).model_fields_set == {"enhanced_function"}
    somewhere = SETTINGS.changed_by(SetPortalSettings(subdivision="46"))
    assert hours(somewhere, company_form(somewhere, subdivision="")).model_fields_set == {"subdivision"}


def test_days_that_others_have_added_stay_when_one_is_taken_away() -> None:
    form = company_form(days__0__date="")
    assert own_days(SETTINGS, form).model_fields_set == {"special_hours"}
    now = SETTINGS.changed_by(SetPortalSettings(closed_days=[BRIDGE_DAY, date(2027, 5, 14)]))
    with pytest.raises(ChangedMeanwhile) as raised:
        own_days(now, form)
    assert [(c.field, c.before, c.now) for c in raised.value.changes] == [("days.2027-05-14", "", "closed")]
    request = own_days(now, form | raised.value.values)
    assert request.model_fields_set == {"special_hours"}
    assert request.special_hours == {}


def test_a_day_that_changes_its_kind_is_in_one_of_the_two_lists() -> None:
    request = own_days(SETTINGS, company_form(days__0__opens="", days__0__closes=""))
    assert request.closed_days == sorted([CHRISTMAS_EVE, BRIDGE_DAY])
    assert request.special_hours == {}


def test_hours_without_a_day_are_told_and_not_thrown_away() -> None:
    with pytest.raises(WrongForm):
        own_days(SETTINGS, company_form(days__2__opens="8", days__2__closes="12"))
