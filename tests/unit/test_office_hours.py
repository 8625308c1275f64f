"""Domain rules 2 and 3: whether a moment is inside an insurer's office hours, in any zone and on any day."""

import zoneinfo
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import holidays
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from shared.domain.office_hours import local_moment
from shared.domain.portal_settings import PortalSettings
from shared.domain.public_holidays import Region, unknown_region
from tests.builders.directory import settings_of
from tests.builders.moments import oslo
from tests.builders.requests import Json
from tests.properties import no_deadline, utc_moments

pytestmark = [
    pytest.mark.promise(
        "Office hours, public holidays, daylight saving: right to the microsecond, in every time zone.",
        about="requests",
    ),
    pytest.mark.filterwarnings("ignore:Requested Holidays are available only from"),
]

MICROSECOND = timedelta(microseconds=1)
DAY = timedelta(days=1)
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
ZONES = sorted(zoneinfo.available_timezones() - {"localtime", "Factory"})
REGIONS: list[tuple[str, str | None]] = [
    (country, subdivision)
    for country, subdivisions in sorted(holidays.list_supported_countries().items())
    if len(country) == 2
    for subdivision in (None, *subdivisions)
]
CLOSED_ALL_WEEK: Json = dict.fromkeys(WEEKDAYS)

DEFAULTS = PortalSettings()
CHRISTMAS_EVE = settings_of({"special_hours": {"2026-12-24": {"opens": "08:00", "closes": "12:00"}}})


def inside(portal: PortalSettings, at: datetime) -> bool:
    return local_moment(portal, at).inside


def rule(portal: PortalSettings, at: datetime) -> str:
    return local_moment(portal, at).rule.value


def every_day(opens: str, closes: str) -> Json:
    return {day: {"opens": opens, "closes": closes} for day in WEEKDAYS}


# The default week


def test_a_request_at_closing_time_is_outside_office_hours() -> None:
    assert inside(DEFAULTS, oslo("2026-11-24 15:59:59.999999"))
    assert not inside(DEFAULTS, oslo("2026-11-24 16:00:00"))


def test_a_request_at_opening_time_is_inside_office_hours() -> None:
    assert inside(DEFAULTS, oslo("2026-11-24 08:00:00"))
    assert not inside(DEFAULTS, oslo("2026-11-24 07:59:59.999999"))


@pytest.mark.parametrize(
    ("day", "open_at_noon"),
    [
        ("2026-11-23", True),
        ("2026-11-24", True),
        ("2026-11-25", True),
        ("2026-11-26", True),
        ("2026-11-27", True),
        ("2026-11-28", False),
        ("2026-11-29", False),
    ],
)
def test_by_default_an_insurer_is_open_monday_to_friday(day: str, open_at_noon: bool) -> None:
    assert inside(DEFAULTS, oslo(f"{day} 12:00")) is open_at_noon
    assert inside(DEFAULTS, oslo(f"{day} 08:00")) is open_at_noon
    assert not inside(DEFAULTS, oslo(f"{day} 07:59"))
    assert not inside(DEFAULTS, oslo(f"{day} 16:00"))


@pytest.mark.parametrize(
    ("local", "text"),
    [
        ("2026-11-24 07:00", "before_opening"),
        ("2026-11-24 12:00", "inside_office_hours"),
        ("2026-11-24 17:12", "after_closing"),
        ("2026-11-28 12:00", "closed_weekday"),
        ("2026-05-17 12:00", "public_holiday"),
        ("2026-12-25 12:00", "public_holiday"),
    ],
)
def test_the_answer_says_which_rule_decided(local: str, text: str) -> None:
    assert rule(DEFAULTS, oslo(local)) == text


def test_the_same_moment_in_another_zone_is_the_same_moment() -> None:
    at = oslo("2026-11-24 15:59:59")
    tokyo = at.astimezone(ZoneInfo("Asia/Tokyo"))
    assert tokyo.day == at.day
    assert local_moment(DEFAULTS, tokyo) == local_moment(DEFAULTS, at)


def test_the_local_time_is_written_as_rfc_9557() -> None:
    winter, summer = oslo("2026-11-24 17:12"), oslo("2026-07-01 09:00:00.123")
    assert local_moment(DEFAULTS, winter).rfc9557 == "2026-11-24T17:12:00.000+01:00[Europe/Oslo]"
    assert local_moment(DEFAULTS, summer).rfc9557 == "2026-07-01T09:00:00.123+02:00[Europe/Oslo]"


def test_a_person_is_told_the_local_time_and_the_hours_in_both_languages() -> None:
    text = local_moment(DEFAULTS, oslo("2026-11-24 17:12")).text()
    assert text.nb == "tirsdag 24. november 2026 17:12 Europe/Oslo, kontortid 08:00–16:00"
    assert text.en == "Tuesday 24 November 2026 17:12 Europe/Oslo, office hours 08:00–16:00"


@pytest.mark.parametrize(
    ("local", "nb", "en"),
    [
        ("2026-11-28 17:12", "stengt", "closed"),
        ("2026-05-01 10:00", "helligdag (Arbeidernes dag)", "public holiday (Arbeidernes dag)"),
    ],
)
def test_a_person_is_told_why_a_day_is_closed(local: str, nb: str, en: str) -> None:
    text = local_moment(DEFAULTS, oslo(local)).text()
    assert text.nb.endswith(f", {nb}")
    assert text.en.endswith(f", {en}")


def test_a_closed_day_is_not_said_to_have_the_weekdays_hours() -> None:
    text = local_moment(settings_of({"closed_days": ["2026-11-24"]}), oslo("2026-11-24 12:00")).text()
    assert (text.nb.split(", ")[1], text.en.split(", ")[1]) == ("stengt", "closed")


@pytest.mark.parametrize("month", range(1, 13))
def test_months_and_weekdays_are_named_in_both_languages(month: int) -> None:
    nb = "januar februar mars april mai juni juli august september oktober november desember".split()  # noqa: SIM905
    en = "January February March April May June July August September October November December".split()  # noqa: SIM905
    days = {
        "Monday": "mandag",
        "Tuesday": "tirsdag",
        "Wednesday": "onsdag",
        "Thursday": "torsdag",
        "Friday": "fredag",
        "Saturday": "lørdag",
        "Sunday": "søndag",
    }
    text = local_moment(DEFAULTS, oslo(f"2026-{month:02}-09 10:00")).text()
    english_day = text.en.split()[0]
    assert text.en.startswith(f"{english_day} 9 {en[month - 1]} 2026")
    assert text.nb.startswith(f"{days[english_day]} 9. {nb[month - 1]} 2026")


# Closed days, special hours, weekends with hours


def test_an_extra_closed_day_is_outside_all_day() -> None:
    portal = settings_of({"closed_days": ["2026-11-24"]})
    assert rule(portal, oslo("2026-11-24 12:00")) == "closed_day"
    assert not inside(portal, oslo("2026-11-24 12:00"))
    assert inside(portal, oslo("2026-11-23 12:00"))
    assert inside(portal, oslo("2026-11-25 12:00"))


def test_a_closed_day_is_a_date_of_the_insurers_clock_not_of_utc() -> None:
    portal = settings_of({"closed_days": ["2026-11-24"], "office_hours": every_day("00:00", "24:00")})
    assert inside(portal, oslo("2026-11-23 23:59:59.999999"))
    assert not inside(portal, oslo("2026-11-24 00:00"))
    assert not inside(portal, oslo("2026-11-24 23:59:59.999999"))
    assert inside(portal, oslo("2026-11-25 00:00"))


def test_special_hours_take_the_place_of_the_weekdays_hours() -> None:
    assert inside(CHRISTMAS_EVE, oslo("2026-12-24 11:59:59.999999"))
    assert not inside(CHRISTMAS_EVE, oslo("2026-12-24 12:00"))
    assert rule(CHRISTMAS_EVE, oslo("2026-12-24 12:00")) == "after_closing"
    assert inside(CHRISTMAS_EVE, oslo("2026-12-23 12:00"))


def test_special_hours_that_are_longer_than_the_weekdays_open_the_whole_of_them() -> None:
    portal = settings_of({"special_hours": {"2026-11-24": {"opens": "06:00", "closes": "20:00"}}})
    assert inside(portal, oslo("2026-11-24 06:00"))
    assert inside(portal, oslo("2026-11-24 19:59"))


def test_special_hours_of_null_close_the_day() -> None:
    portal = settings_of({"special_hours": {"2026-11-24": None}})
    assert rule(portal, oslo("2026-11-24 12:00")) == "special_closed_day"
    assert local_moment(portal, oslo("2026-11-24 12:00")).hours is None


def test_special_hours_open_a_saturday() -> None:
    portal = settings_of({"special_hours": {"2026-11-28": {"opens": "10:00", "closes": "14:00"}}})
    assert inside(portal, oslo("2026-11-28 10:00"))
    assert not inside(portal, oslo("2026-11-28 14:00"))
    assert not inside(portal, oslo("2026-12-05 10:00"))


def test_special_hours_do_not_open_a_public_holiday() -> None:
    portal = settings_of({"special_hours": {"2026-12-25": {"opens": "08:00", "closes": "12:00"}}})
    assert rule(portal, oslo("2026-12-25 10:00")) == "public_holiday"


def test_special_hours_do_not_open_a_closed_day() -> None:
    portal = settings_of(
        {"closed_days": ["2026-11-24"], "special_hours": {"2026-11-24": {"opens": "08:00", "closes": "12:00"}}}
    )
    assert rule(portal, oslo("2026-11-24 10:00")) == "closed_day"


@pytest.mark.parametrize(("day", "date_"), [("sat", "2026-11-28"), ("sun", "2026-11-29")])
def test_a_weekend_day_that_is_given_hours_is_open(day: str, date_: str) -> None:
    portal = settings_of({"office_hours": {day: {"opens": "10:00", "closes": "14:00"}}})
    assert inside(portal, oslo(f"{date_} 10:00"))
    assert not inside(portal, oslo(f"{date_} 09:59"))
    assert not inside(portal, oslo(f"{date_} 14:00"))


def test_a_weekday_without_hours_is_closed() -> None:
    portal = settings_of({"office_hours": {"tue": None}})
    assert rule(portal, oslo("2026-11-24 12:00")) == "closed_weekday"
    assert inside(portal, oslo("2026-11-25 12:00"))


def test_hours_until_midnight_last_until_the_days_last_microsecond() -> None:
    portal = settings_of({"office_hours": {"tue": {"opens": "22:00", "closes": "24:00"}, "wed": None}})
    assert inside(portal, oslo("2026-11-24 23:59:59.999999"))
    assert not inside(portal, oslo("2026-11-25 00:00"))


# Public holidays


def holiday_name(country: str, day: date) -> str | None:
    holiday = Region(country).holiday(day)
    return holiday.name if holiday is not None else None


def test_a_public_holiday_is_named_in_the_countrys_own_language() -> None:
    assert local_moment(DEFAULTS, oslo("2026-12-25 10:00")).holiday == "Første juledag"
    assert holiday_name("DE", date(2026, 12, 25)) == "Erster Weihnachtstag"
    assert holiday_name("NO", date(2026, 11, 24)) is None


@pytest.mark.parametrize("language", ["en_US", "de", "nb_NO"])
@pytest.mark.parametrize(("country", "name"), [("NO", "Første juledag"), ("FI", "Joulupäivä"), ("JP", "元日")])
def test_the_process_s_language_does_not_change_a_holidays_name(
    monkeypatch: pytest.MonkeyPatch, language: str, country: str, name: str
) -> None:
    for variable in ("LANGUAGE", "LC_ALL", "LANG"):
        monkeypatch.setenv(variable, language)
    year = {"en_US": 2041, "de": 2042, "nb_NO": 2043}[language]  # asked for by no other test, so not remembered
    day = date(year, 1, 1) if country == "JP" else date(year, 12, 25)
    assert holiday_name(country, day) == name


def test_a_subdivisions_holiday_is_none_elsewhere_in_the_country() -> None:
    epiphany = datetime(2027, 1, 6, 11, tzinfo=UTC)
    germany = {"time_zone": "Europe/Berlin", "country": "DE"}
    assert rule(settings_of({**germany, "subdivision": "BY"}), epiphany) == "public_holiday"
    assert rule(settings_of({**germany, "subdivision": "HH"}), epiphany) == "inside_office_hours"
    assert rule(settings_of(germany), epiphany) == "inside_office_hours"


def test_new_years_day_begins_at_the_insurers_own_midnight() -> None:
    always = {"office_hours": every_day("00:00", "24:00")}
    midnight_in_oslo = datetime(2026, 12, 31, 23, tzinfo=UTC)
    assert inside(settings_of(always), midnight_in_oslo - MICROSECOND)
    assert rule(settings_of(always), midnight_in_oslo) == "public_holiday"
    in_kiritimati = settings_of({**always, "time_zone": "Pacific/Kiritimati"})
    assert rule(in_kiritimati, datetime(2026, 12, 31, 10, tzinfo=UTC)) == "public_holiday"
    assert inside(in_kiritimati, datetime(2026, 12, 31, 10, tzinfo=UTC) - MICROSECOND)
    in_honolulu = settings_of({**always, "time_zone": "Pacific/Honolulu"})
    assert rule(in_honolulu, datetime(2027, 1, 2, 10, tzinfo=UTC) - MICROSECOND) == "public_holiday"


def test_every_country_and_subdivision_that_holidays_supports_is_known() -> None:
    assert len(REGIONS) > 500
    assert [region for region in REGIONS if unknown_region(Region(*region))] == []


@pytest.mark.parametrize(("country", "subdivision"), [("XX", None), ("no", None), ("NO", "99"), ("DE", "by")])
def test_a_region_that_holidays_does_not_know_is_said_to_be_unknown(country: str, subdivision: str | None) -> None:
    assert unknown_region(Region(country, subdivision))


@cache
def public_holidays(country: str, subdivision: str | None, year: int) -> dict[date, str]:
    """Ask `holidays` for three years, in case one year's holidays are observed in the next."""
    years = range(year - 1, year + 2)
    return dict(holidays.country_holidays(country, subdiv=subdivision, years=years).items())


@settings(no_deadline, max_examples=150)
@given(st.sampled_from(REGIONS), st.integers(2020, 2035), st.data())
def test_an_insurer_that_is_always_open_is_closed_on_its_countrys_public_holidays_and_no_other_day(
    region: tuple[str, str | None], year: int, data: st.DataObject
) -> None:
    country, subdivision = region
    days = sorted(day for day in public_holidays(country, subdivision, year) if day.year == year)
    some_day = st.dates(date(year, 1, 1), date(year, 12, 31))
    day = data.draw(st.one_of(st.sampled_from(days), some_day) if days else some_day)
    portal = settings_of(
        {
            "time_zone": "UTC",
            "country": country,
            "subdivision": subdivision,
            "holiday_categories": ["public"],
            "office_hours": every_day("00:00", "24:00"),
            "special_hours": {day.isoformat(): {"opens": "00:00", "closes": "24:00"}},
        }
    )
    at = datetime(day.year, day.month, day.day, tzinfo=UTC)
    for moment in (at, at + DAY - MICROSECOND):
        answer = local_moment(portal, moment)
        assert answer.inside is (day not in days)
        assert (answer.holiday is not None) is (day in days)


# Daylight saving


NIGHT = settings_of({"office_hours": every_day("02:30", "03:30")})


def test_an_opening_time_that_the_spring_skips_opens_at_the_first_moment_after_it() -> None:
    change = datetime(2025, 3, 30, 1, tzinfo=UTC)  # 02:00 becomes 03:00
    assert rule(NIGHT, change - MICROSECOND) == "before_opening"
    assert inside(NIGHT, change)
    assert inside(NIGHT, change + timedelta(minutes=30) - MICROSECOND)
    assert rule(NIGHT, change + timedelta(minutes=30)) == "after_closing"


def test_an_hour_that_the_autumn_repeats_is_open_both_times_by_the_clock_on_the_wall() -> None:
    change = datetime(2026, 10, 25, 1, tzinfo=UTC)  # 03:00 becomes 02:00
    half_hour = timedelta(minutes=30)
    assert not inside(NIGHT, change - half_hour - MICROSECOND)
    assert inside(NIGHT, change - half_hour)  # 02:30, the first time
    assert inside(NIGHT, change - MICROSECOND)  # 02:59
    assert not inside(NIGHT, change)  # 02:00, the second time
    assert inside(NIGHT, change + half_hour)  # 02:30, the second time
    assert inside(NIGHT, change + 3 * half_hour - MICROSECOND)
    assert not inside(NIGHT, change + 3 * half_hour)


def test_opening_time_is_an_hour_earlier_in_utc_in_summer() -> None:
    assert inside(DEFAULTS, datetime(2026, 3, 27, 7, tzinfo=UTC))
    assert not inside(DEFAULTS, datetime(2026, 3, 27, 6, 59, tzinfo=UTC))
    assert inside(DEFAULTS, datetime(2026, 3, 30, 6, tzinfo=UTC))
    assert not inside(DEFAULTS, datetime(2026, 3, 30, 5, 59, tzinfo=UTC))


def last_sunday(year: int, month: int) -> date:
    day = date(year, month, 31)
    return day - timedelta(days=day.isoweekday() % 7)


@settings(no_deadline, max_examples=200)
@given(utc_moments(1997, 2037))
def test_summer_time_in_oslo_is_what_the_directive_says(at: datetime) -> None:
    starts, ends = (datetime.combine(last_sunday(at.year, month), time(1), UTC) for month in (3, 10))
    wall = at + timedelta(hours=2 if starts <= at < ends else 1)
    assert local_moment(DEFAULTS, at).local.replace(tzinfo=UTC, fold=0) == wall


# Rule 3, of any zone, moment and setting


def wall_clock(zone_name: str, at: datetime) -> datetime:
    """What the clocks show at a moment: the one wall time that exists and lies its own offset from UTC.

    Found by trying the offsets that the zone has around the moment, not by converting.
    """
    zone, utc = ZoneInfo(zone_name), at.astimezone(UTC).replace(tzinfo=None)
    nearby = (utc + timedelta(hours=hours) for hours in range(-48, 49, 12))
    offsets = {near.replace(tzinfo=zone, fold=fold).utcoffset() for near in (*nearby, utc) for fold in (0, 1)}
    found = set()
    for offset in offsets:
        assert offset is not None
        wall = utc + offset
        first, second = (wall.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1))
        assert first is not None
        assert second is not None
        skipped = first < second
        if not skipped and offset in {first, second}:
            found.add(wall)
    assert len(found) == 1, (zone_name, at, found)
    return found.pop()


def inside_by_rule_3(given_settings: Json, at: datetime) -> bool:
    """Domain rule 3, from the JSON that set the settings; hours are compared as text."""
    wall = wall_clock(given_settings["time_zone"], at)
    day = wall.strftime("%Y-%m-%d").zfill(10)
    if wall.date() in public_holidays(given_settings["country"], given_settings["subdivision"], wall.year):
        return False
    if day in given_settings["closed_days"]:
        return False
    hours = given_settings["office_hours"][wall.strftime("%a").lower()]
    if day in given_settings["special_hours"]:
        hours = given_settings["special_hours"][day]
    if hours is None:
        return False
    return bool(f"{hours['opens']}:00.000000" <= wall.strftime("%H:%M:%S.%f") < f"{hours['closes']}:00.000000")


@cache
def changes_of_clock(zone_name: str, year: int) -> list[datetime]:
    """Find the moments of a year when the zone's offset changes, to the second."""
    zone, found = ZoneInfo(zone_name), []
    days = [datetime(year, 1, 1, tzinfo=UTC) + n * DAY for n in range(366)]
    for before, after in pairwise(days):
        if before.astimezone(zone).utcoffset() != after.astimezone(zone).utcoffset():
            low, high = 0, 24 * 60 * 60
            while high - low > 1:
                middle = (low + high) // 2
                same = (before + timedelta(seconds=middle)).astimezone(zone).utcoffset() == before.astimezone(
                    zone
                ).utcoffset()
                low, high = (middle, high) if same else (low, middle)
            found.append(before + timedelta(seconds=high))
    return found


def clock_time(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


@st.composite
def hours_of_a_day(draw: st.DrawFn) -> dict[str, str]:
    opens = draw(st.integers(0, 24 * 60 - 1))
    return {"opens": clock_time(opens), "closes": clock_time(draw(st.integers(opens + 1, 24 * 60)))}


any_hours = st.one_of(st.none(), hours_of_a_day(), st.just({"opens": "00:00", "closes": "24:00"}))


@st.composite
def moments(draw: st.DrawFn, zone_name: str) -> datetime:
    """Any moment; often one close to where the zone's clocks change, or to a year's end."""
    close = timedelta(microseconds=draw(st.integers(-3 * 3600 * 10**6, 3 * 3600 * 10**6)))
    kind = draw(st.sampled_from(("any", "change", "year")))
    if kind == "change" and (changes := changes_of_clock(zone_name, draw(st.integers(1990, 2036)))):
        return draw(st.sampled_from(changes)) + close
    if kind == "year":
        year = datetime(draw(st.integers(1972, 2098)), 1, 1, tzinfo=UTC)
        return year + timedelta(hours=draw(st.integers(-15, 15))) + close
    return draw(utc_moments(1971, 2098))


@dataclass(frozen=True)
class Case:
    """An insurer's settings, as they were asked for, and a moment."""

    body: dict[str, Any]
    at: datetime


@st.composite
def cases(draw: st.DrawFn) -> Case:
    zone = draw(st.sampled_from(ZONES))
    country, subdivision = draw(st.sampled_from(REGIONS))
    at = draw(moments(zone))
    nearby = [(at + n * DAY).date().isoformat() for n in (-1, 0, 1)]
    return Case(
        {
            "time_zone": zone,
            "country": country,
            "subdivision": subdivision,
            "holiday_categories": ["public"],
            "office_hours": {day: draw(any_hours) for day in WEEKDAYS},
            "closed_days": draw(st.lists(st.sampled_from(nearby), max_size=1)),
            "special_hours": draw(st.dictionaries(st.sampled_from(nearby), any_hours, max_size=2)),
        },
        at,
    )


@settings(no_deadline, max_examples=600)
@given(cases())
def test_any_moment_in_any_zone_with_any_settings_is_inside_just_when_rule_3_says_so(case: Case) -> None:
    answer = local_moment(settings_of(case.body), case.at)
    assert answer.local.replace(tzinfo=None, fold=0) == wall_clock(case.body["time_zone"], case.at)
    assert answer.inside is inside_by_rule_3(case.body, case.at)
    assert answer.inside is (answer.rule.value == "inside_office_hours")


@settings(no_deadline, max_examples=100)
@given(cases())
def test_asking_again_or_from_another_zone_gives_the_same_answer(case: Case) -> None:
    portal = settings_of(case.body)
    answer = local_moment(portal, case.at)
    assert local_moment(portal, case.at) == answer
    assert local_moment(portal, case.at.astimezone(ZoneInfo("America/St_Johns"))) == answer


@st.composite
def one_open_day(draw: st.DrawFn) -> tuple[Json, datetime, dict[str, str]]:
    """An insurer that is open on a single date, by special hours; with the date and its hours."""
    zone = draw(st.sampled_from(ZONES))
    day = draw(moments(zone)).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    assume(day.date() not in public_holidays("NO", None, day.year))
    hours = draw(hours_of_a_day())
    body = {
        "time_zone": zone,
        "office_hours": CLOSED_ALL_WEEK,
        "special_hours": {day.date().isoformat(): hours},
    }
    return body, day, hours


def first_moment(zone_name: str, wall: datetime) -> datetime:
    """When the clocks first show a wall time, in UTC; one that they skip is passed over."""
    at = wall.replace(tzinfo=ZoneInfo(zone_name), fold=0).astimezone(UTC)
    assume(wall_clock(zone_name, at) == wall)
    return at


def on(day: datetime, clock: str) -> datetime:
    hours, minutes = clock.split(":")
    return day + timedelta(hours=int(hours), minutes=int(minutes))


@settings(no_deadline, max_examples=250)
@given(one_open_day())
def test_opening_time_is_inside_and_the_microsecond_before_is_outside(
    open_day: tuple[Json, datetime, dict[str, str]],
) -> None:
    body, day, hours = open_day
    portal = settings_of(body)
    opening = first_moment(body["time_zone"], on(day, hours["opens"]))
    assert inside(portal, opening)
    assert not inside(portal, opening - MICROSECOND)


@settings(no_deadline, max_examples=250)
@given(one_open_day())
def test_closing_time_is_outside_and_the_microsecond_before_is_inside(
    open_day: tuple[Json, datetime, dict[str, str]],
) -> None:
    body, day, hours = open_day
    portal = settings_of(body)
    last = on(day, hours["closes"]) - MICROSECOND
    closing = first_moment(body["time_zone"], last) + MICROSECOND
    assert inside(portal, closing - MICROSECOND)
    # Where the clocks go back at closing time itself, its hours come once more.
    assume(wall_clock(body["time_zone"], closing) >= on(day, hours["closes"]))
    assert not inside(portal, closing)


@settings(no_deadline, max_examples=100)
@given(cases())
def test_a_closed_day_is_outside_whatever_its_hours(case: Case) -> None:
    day = wall_clock(case.body["time_zone"], case.at).date().isoformat()
    portal = settings_of({**case.body, "closed_days": [day]})
    assert not inside(portal, case.at)
