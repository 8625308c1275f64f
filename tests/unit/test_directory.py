"""The directory as it was at any moment, built from its topic's messages in order (domain rules 1, 2 and 4)."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.contract.codes import Code
from shared.contract.directory_events import (
    CompanyRegistered,
    DirectoryEvent,
    OfficePermissionSet,
    OfficeRegistered,
    PortalSettingsSet,
    SettingsRequestRefused,
    UserRegistered,
)
from shared.contract.fields import CompanyKind, CreationPermission, Hours, ReportPeriod, Weekday
from shared.domain.companies import Company, Office, OfficePermission, User
from shared.domain.directory import BEGINNING, Directory
from shared.domain.history import History
from shared.domain.portal_settings import PortalSettings
from tests.builders.directory import REGISTERED, directory_event, registered, settings_of, settled_request
from tests.builders.requests import FJORD, FJORD_OSLO, NORD, NORD_TROMSO, NORDLYS, VEST, VEST_BERGEN, VEST_VOSS, Json
from tests.properties import no_deadline

MICROSECOND = timedelta(microseconds=1)
MINUTE = timedelta(minutes=1)
AT = datetime(2026, 11, 24, 12, tzinfo=UTC)


def settings_set(request_id: str, company: str = FJORD, **given_settings: object) -> DirectoryEvent:
    return directory_event(PortalSettingsSet, company, request_id, settings=given_settings)


def permission_set(request_id: str, company: str = FJORD, **permission: object) -> DirectoryEvent:
    return directory_event(OfficePermissionSet, company, request_id, permission={"office": VEST_BERGEN, **permission})


# A moment


def test_a_setting_is_in_force_from_its_moment_to_the_microsecond() -> None:
    directory = Directory()
    directory.apply(settings_set("1", time_zone="Asia/Tokyo"), AT)
    directory.apply(settings_set("2", time_zone="Europe/London"), AT + MINUTE)
    zones = {moment: directory.settings(FJORD, moment).time_zone for moment in (AT - MICROSECOND, AT, AT + MINUTE)}
    assert list(zones.values()) == ["Europe/Oslo", "Asia/Tokyo", "Europe/London"]
    assert directory.settings(FJORD, AT + MINUTE - MICROSECOND).time_zone == "Asia/Tokyo"


def test_of_two_settings_of_the_same_moment_the_later_message_counts() -> None:
    directory = Directory()
    directory.apply(settings_set("1", time_zone="Asia/Tokyo"), AT)
    directory.apply(settings_set("2", time_zone="Europe/London"), AT)
    assert directory.settings(FJORD, AT).time_zone == "Europe/London"


def test_a_company_an_office_and_a_user_are_known_from_their_moment_on() -> None:
    directory = registered()
    before = REGISTERED - MICROSECOND
    assert directory.company(FJORD, before) is None
    assert directory.office(VEST_BERGEN, before) is None
    assert directory.user("kari-holm", before) is None
    assert directory.company(FJORD, REGISTERED) == Company(FJORD, "Fjord Forsikring", CompanyKind.INSURER)
    assert directory.office(VEST_BERGEN, REGISTERED) == Office(VEST_BERGEN, VEST, "Bergen")
    assert directory.user("kari-holm", REGISTERED) == User("kari-holm", FJORD, "Kari Holm", None, None, 6)


def test_what_nobody_registered_is_not_known() -> None:
    directory = registered()
    for unknown in (directory.company, directory.office, directory.user):
        assert unknown("nobody", AT) is None


def test_a_name_that_was_changed_is_still_the_old_one_before() -> None:
    directory = registered()
    new_name = {"id": VEST_BERGEN, "company": VEST, "name": "Bergen sentrum"}
    directory.apply(directory_event(OfficeRegistered, VEST, "rename", registered=new_name), AT)
    names = [office.name for at in (AT - MICROSECOND, AT) if (office := directory.office(VEST_BERGEN, at))]
    assert names == ["Bergen", "Bergen sentrum"]


def test_the_operator_is_always_known() -> None:
    operator = Directory().company("operator", datetime(1970, 1, 1, tzinfo=UTC))
    assert operator is not None
    assert operator.kind is CompanyKind.OPERATOR


def test_lists_are_of_a_moment_and_in_order() -> None:
    directory = registered()
    assert [company.id for company in directory.companies(AT)] == sorted([FJORD, NORDLYS, VEST, NORD, "operator"])
    assert [company.id for company in directory.companies(REGISTERED - MICROSECOND)] == ["operator"]
    assert [office.id for office in directory.offices_of(VEST, AT)] == [VEST_BERGEN, VEST_VOSS]
    assert [office.id for office in directory.offices_of(NORD, AT)] == [NORD_TROMSO]
    assert [office.id for office in directory.offices_of(FJORD, AT)] == [FJORD_OSLO]
    assert directory.offices_of(VEST, REGISTERED - MICROSECOND) == []
    assert directory.offices_of("nobody", AT) == []
    assert [user.id for user in directory.users(AT)] == ["kari-holm", "liv-berg"]
    assert directory.users(REGISTERED - MICROSECOND) == []


def test_an_insurers_permissions_are_those_that_it_gave() -> None:
    directory = Directory()
    directory.apply(permission_set("1", creation="always"), AT)
    directory.apply(permission_set("2", company=NORDLYS, creation="never"), AT)
    assert directory.permissions_of(FJORD, AT) == {VEST_BERGEN: OfficePermission(CreationPermission.ALWAYS)}
    assert directory.permissions_of(FJORD, AT - MICROSECOND) == {}
    assert directory.permissions_of("nobody", AT) == {}


def test_asking_changes_nothing() -> None:
    directory = registered()
    companies = directory.companies(AT)
    for id_ in ("nobody", FJORD):
        directory.company(id_, AT)
        directory.office(id_, AT)
        directory.user(id_, AT)
        directory.settings(id_, AT)
        directory.permission(id_, id_, AT)
        directory.offices_of(id_, AT)
    assert directory.companies(AT) == companies
    assert directory.permissions_of("nobody", AT) == {}


# The defaults


def test_an_insurer_that_set_nothing_has_the_defaults() -> None:
    portal = registered().settings(FJORD, AT)
    assert (portal.time_zone, portal.country, portal.subdivision) == ("Europe/Oslo", "NO", None)
    hours = {day.value: str(hours) if hours else None for day, hours in portal.office_hours.items()}
    working_day = "08:00–16:00"
    assert hours == {**dict.fromkeys(("mon", "tue", "wed", "thu", "fri"), working_day), "sat": None, "sun": None}
    assert (portal.closed_days, dict(portal.special_hours)) == (frozenset(), {})
    assert (portal.enhanced_function, portal.inspection_needs_budget) == (False, False)
    assert portal.report_period is ReportPeriod.WEEKLY


def test_an_office_that_was_given_nothing_may_do_nothing() -> None:
    assert registered().permission(FJORD, VEST_BERGEN, AT) == OfficePermission(CreationPermission.NEVER, False, False)


# The first message of a request counts


def test_of_two_messages_for_the_same_request_the_first_counts() -> None:
    directory = Directory()
    first = settings_set("1", time_zone="Asia/Tokyo")
    directory.apply(first, AT)
    directory.apply(settings_set("1", time_zone="Europe/London"), AT + MINUTE)
    assert directory.settings(FJORD, AT + 2 * MINUTE).time_zone == "Asia/Tokyo"
    assert directory.settled(FJORD, "1") == settled_request(first, AT)


def test_a_refusal_that_came_first_counts_too() -> None:
    directory = Directory()
    refused = directory_event(SettingsRequestRefused, FJORD, "1", code="enhanced_function_off")
    directory.apply(refused, AT)
    directory.apply(settings_set("1", time_zone="Asia/Tokyo"), AT + MINUTE)
    assert directory.settings(FJORD, AT + MINUTE) == PortalSettings()
    answered = directory.settled(FJORD, "1")
    assert answered == settled_request(refused, AT)
    assert answered is not None
    assert answered.code is Code.ENHANCED_FUNCTION_OFF


def test_two_companies_may_use_the_same_request_id() -> None:
    directory = Directory()
    directory.apply(settings_set("1", time_zone="Asia/Tokyo"), AT)
    directory.apply(settings_set("1", company=NORDLYS, time_zone="Europe/London"), AT)
    assert directory.settings(FJORD, AT).time_zone == "Asia/Tokyo"
    assert directory.settings(NORDLYS, AT).time_zone == "Europe/London"
    assert directory.settled(VEST, "1") is None


def test_a_request_id_used_once_is_used_for_every_kind_of_request() -> None:
    directory = Directory()
    directory.apply(settings_set("1", enhanced_function=True), AT)
    directory.apply(permission_set("1", creation="always"), AT)
    assert directory.permission(FJORD, VEST_BERGEN, AT).creation is CreationPermission.NEVER


def test_a_refused_request_has_no_effect_and_is_remembered() -> None:
    directory, other = registered(), registered()
    directory.apply(directory_event(SettingsRequestRefused, FJORD, "1", code="unknown_office"), AT)
    assert directory.companies(AT) == other.companies(AT)
    assert directory.permissions_of(FJORD, AT) == {}
    assert directory.settled(FJORD, "1") is not None
    assert directory.settled(FJORD, "2") is None


# What is left out stays


def test_settings_given_in_parts_add_up() -> None:
    directory = Directory()
    directory.apply(settings_set("1", time_zone="Asia/Tokyo", closed_days=["2026-11-24"]), AT)
    directory.apply(settings_set("2", enhanced_function=True), AT)
    directory.apply(settings_set("3", office_hours={"sat": {"opens": "10:00", "closes": "14:00"}}), AT)
    portal = directory.settings(FJORD, AT)
    assert (portal.time_zone, portal.closed_days) == ("Asia/Tokyo", frozenset({date(2026, 11, 24)}))
    assert portal.enhanced_function
    assert portal.office_hours[Weekday.SAT] == Hours(opens="10:00", closes="14:00")
    assert portal.office_hours[Weekday.MON] == Hours(opens="08:00", closes="16:00")


def test_office_hours_are_merged_day_by_day_and_null_closes_one() -> None:
    portal = settings_of(
        {"office_hours": {"mon": {"opens": "09:00", "closes": "15:00"}, "fri": None}},
        {"office_hours": {"tue": {"opens": "10:00", "closes": "14:00"}}},
    )
    shown = [str(hours) if hours else None for _, hours in sorted(portal.office_hours.items(), key=lambda day: day[0])]
    by_day = dict(zip(sorted(Weekday), shown, strict=True))
    assert by_day[Weekday.MON] == "09:00–15:00"
    assert by_day[Weekday.TUE] == "10:00–14:00"
    assert by_day[Weekday.WED] == "08:00–16:00"
    assert by_day[Weekday.FRI] is None


def test_closed_days_and_special_hours_are_given_as_a_whole() -> None:
    hours = {"opens": "08:00", "closes": "12:00"}
    portal = settings_of(
        {"closed_days": ["2026-11-24", "2026-11-25"], "special_hours": {"2026-12-23": hours, "2026-12-24": None}},
        {"closed_days": ["2026-11-26"], "special_hours": {"2026-12-31": hours}},
    )
    assert portal.closed_days == {date(2026, 11, 26)}
    assert list(portal.special_hours) == [date(2026, 12, 31)]
    emptied = settings_of({"closed_days": ["2026-11-24"]}, {"closed_days": []})
    assert emptied.closed_days == frozenset()


@pytest.mark.parametrize(
    "setting", ["time_zone", "country", "office_hours", "closed_days", "special_hours", "enhanced_function"]
)
def test_null_leaves_a_setting_as_it_was(setting: str) -> None:
    given_settings: Json = {
        "time_zone": "Asia/Tokyo",
        "country": "JP",
        "office_hours": {"mon": None},
        "closed_days": ["2026-11-24"],
        "special_hours": {"2026-12-24": None},
        "enhanced_function": True,
    }
    assert settings_of(given_settings, {setting: None, "report_period": "weekly"}) == settings_of(given_settings)


def test_null_takes_a_subdivision_away() -> None:
    bavaria = {"country": "DE", "subdivision": "BY"}
    assert settings_of(bavaria).subdivision == "BY"
    assert settings_of(bavaria, {"report_period": "monthly"}).subdivision == "BY"
    assert settings_of(bavaria, {"country": "DE"}).subdivision == "BY"
    assert settings_of(bavaria, {"subdivision": None}).subdivision is None


def test_another_country_takes_the_old_ones_subdivision_away() -> None:
    bavaria = {"country": "DE", "subdivision": "BY"}
    assert settings_of(bavaria, {"country": "SE"}).subdivision is None
    assert settings_of(bavaria, {"country": "AT", "subdivision": "9"}).subdivision == "9"


def test_a_switch_can_be_turned_off_again() -> None:
    on = {"enhanced_function": True, "inspection_needs_budget": True}
    off = {"enhanced_function": False, "inspection_needs_budget": False}
    portal = settings_of(on, off)
    assert (portal.enhanced_function, portal.inspection_needs_budget) == (False, False)


def test_rights_that_are_left_out_stay_and_false_takes_them_away() -> None:
    directory = Directory()
    directory.apply(permission_set("1", creation="always", may_assign_to_others=True), AT)
    directory.apply(permission_set("2", creation="never", may_define_claim_number=True), AT + MINUTE)
    directory.apply(permission_set("3", creation="never", may_assign_to_others=False), AT + 2 * MINUTE)
    found = [directory.permission(FJORD, VEST_BERGEN, AT + n * MINUTE) for n in range(3)]
    assert [(p.creation.value, p.may_assign_to_others, p.may_define_claim_number) for p in found] == [
        ("always", True, False),
        ("never", True, True),
        ("never", False, True),
    ]


def test_one_insurers_settings_are_not_anothers() -> None:
    directory = Directory()
    directory.apply(settings_set("1", time_zone="Asia/Tokyo"), AT)
    directory.apply(permission_set("2", creation="always"), AT)
    assert directory.settings(NORDLYS, AT) == PortalSettings()
    assert directory.permission(NORDLYS, VEST_BERGEN, AT) == OfficePermission()
    assert directory.permission(FJORD, VEST_VOSS, AT) == OfficePermission()


# Any history


any_hours = st.one_of(
    st.none(), st.just({"opens": "07:00", "closes": "15:00"}), st.just({"opens": "09:30", "closes": "24:00"})
)
days = st.sampled_from(("2026-11-24", "2026-12-24", "2027-05-17"))
patches = st.fixed_dictionaries(
    {},
    optional={
        "time_zone": st.sampled_from(("Europe/Oslo", "Asia/Tokyo")),
        "country": st.sampled_from(("NO", "SE", "DE")),
        "subdivision": st.sampled_from((None, "BY", "03")),
        "office_hours": st.dictionaries(st.sampled_from(("mon", "sat")), any_hours),
        "closed_days": st.lists(days),
        "special_hours": st.dictionaries(days, any_hours),
        "enhanced_function": st.booleans(),
        "inspection_needs_budget": st.booleans(),
        "report_period": st.sampled_from(("weekly", "monthly")),
    },
).filter(bool)


def merged(before: Json, patch: Json) -> Json:
    """Merge settings as JSON: days into the week, everything else as a whole; a new country has no subdivision yet."""
    after = {**before, **patch}
    after["office_hours"] = {**before["office_hours"], **patch.get("office_hours", {})}
    after["closed_days"] = sorted(set(after["closed_days"]))
    if after["country"] != before["country"] and "subdivision" not in patch:
        after["subdivision"] = None
    return after


def as_json(portal: PortalSettings) -> Json:
    def hours(given_hours: Hours | None) -> Json | None:
        return {"opens": given_hours.opens, "closes": given_hours.closes} if given_hours else None

    return {
        "time_zone": portal.time_zone,
        "country": portal.country,
        "subdivision": portal.subdivision,
        "office_hours": {day.value: hours(of_day) for day, of_day in portal.office_hours.items()},
        "closed_days": sorted(day.isoformat() for day in portal.closed_days),
        "special_hours": {day.isoformat(): hours(of_day) for day, of_day in portal.special_hours.items()},
        "enhanced_function": portal.enhanced_function,
        "inspection_needs_budget": portal.inspection_needs_budget,
        "report_period": portal.report_period.value,
    }


@settings(no_deadline, max_examples=150)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 6), patches), max_size=8))
def test_at_any_moment_the_settings_are_the_parts_given_until_then(sent: list[tuple[int, int, Json]]) -> None:
    """Each is (minutes after the one before, request id, settings); a request id met before has no effect."""
    directory = Directory()
    expected = [(datetime.min.replace(tzinfo=UTC), as_json(PortalSettings()))]
    met, at = set(), AT
    for minutes, request_id, patch in sent:
        at += minutes * MINUTE
        directory.apply(settings_set(str(request_id), **patch), at)
        if request_id not in met:
            met.add(request_id)
            expected.append((at, merged(expected[-1][1], patch)))
    for minute in range(45):
        for moment in (AT + minute * MINUTE, AT + minute * MINUTE - MICROSECOND):
            in_force = [portal for since, portal in expected if since <= moment][-1]
            assert as_json(directory.settings(FJORD, moment)) == in_force


events: st.SearchStrategy[tuple[type[DirectoryEvent], Json]] = st.one_of(
    patches.map(lambda patch: (PortalSettingsSet, {"settings": patch})),
    st.sampled_from(("never", "always")).map(
        lambda creation: (OfficePermissionSet, {"permission": {"office": VEST_BERGEN, "creation": creation}})
    ),
    st.sampled_from(("Vest", "Vest Skadeservice")).map(
        lambda name: (CompanyRegistered, {"registered": {"id": VEST, "name": name, "kind": "partner"}})
    ),
    st.sampled_from((1, 4)).map(
        lambda level: (
            UserRegistered,
            {"registered": {"id": "ola-vik", "company": VEST, "name": "Ola Vik", "authorisation_level": level}},
        )
    ),
    st.just((SettingsRequestRefused, {"code": "unknown_office"})),
)


@settings(no_deadline, max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 6), events), max_size=10))
def test_reading_the_topic_again_from_the_start_gives_the_same_directory(sent: list[tuple[int, Any]]) -> None:
    messages = [
        (directory_event(event, FJORD, str(request_id), **body), AT + n * MINUTE)
        for n, (request_id, (event, body)) in enumerate(sent)
    ]
    once, twice = Directory(), Directory()
    for event, at in messages:
        once.apply(event, at)
    for event, at in [*messages, *messages]:
        twice.apply(event, at)
    for n in range(-1, len(messages) + 1):
        at = AT + n * MINUTE
        assert once.companies(at) == twice.companies(at)
        assert once.users(at) == twice.users(at)
        assert once.permissions_of(FJORD, at) == twice.permissions_of(FJORD, at)
        assert once.settings(FJORD, at) == twice.settings(FJORD, at)
    for event, _ in messages:
        assert once.settled(FJORD, event.request_id) == twice.settled(FJORD, event.request_id)


@settings(no_deadline, max_examples=100)
@given(st.lists(st.integers(0, 20), max_size=10), st.integers(-1, 21))
def test_a_brokers_clock_that_was_set_back_does_not_reorder_what_it_appended(minutes: list[int], moment: int) -> None:
    history: History[int] = History()
    in_force, latest = [], -1
    for n, minute in enumerate(minutes):
        history.add(n, AT + minute * MINUTE)
        latest = max(latest, minute)
        in_force.append(latest)
    begun = [n for n, since in enumerate(in_force) if since <= moment]
    assert history.at(AT + moment * MINUTE) == (begun[-1] if begun else None)
    assert history.latest == (len(minutes) - 1 if minutes else None)


def test_an_id_that_two_companies_register_at_once_is_the_firsts_and_the_second_is_refused() -> None:
    directory = Directory()
    for company in ("vest", "nord"):
        office = {"id": "bergen", "company": company, "name": "Bergen"}
        directory.apply(directory_event(OfficeRegistered, company, "r-1", registered=office), BEGINNING)
    registered = directory.office("bergen", BEGINNING)
    assert registered is not None
    assert registered.company == "vest"
    assert directory.offices_of("nord", BEGINNING) == []
    answered = directory.settled("nord", "r-1")
    assert answered is not None
    assert answered.code is Code.NOT_YOUR_OFFICE


def test_a_company_is_known_by_the_token_that_it_was_registered_with_last() -> None:
    directory = Directory()

    def register(request_id: str, name: str, **token: str) -> None:
        vest = {"id": VEST, "name": name, "kind": "partner", **token}
        directory.apply(directory_event(CompanyRegistered, "operator", request_id, registered=vest), AT)

    register("1", "Vest", token_sha256="a" * 64)
    register("2", "Vest Skadeservice")
    vest = directory.company_with_token("a" * 64)
    assert vest is not None
    assert (vest.id, vest.name) == (VEST, "Vest Skadeservice")
    register("3", "Vest Skadeservice", token_sha256="b" * 64)
    assert directory.company_with_token("a" * 64) is None
    assert directory.company_with_token("b" * 64) == directory.company(VEST, AT)
