"""Which days an insurer is closed, by default as its country's people expect (domain rules 2 and 3)."""

import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import holidays
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operations.directory_file import read_directory_file
from operations.files import WrongFile
from services.portal.forms import WrongForm
from services.portal.pages import holidays as page
from shared.contract.codes import Code
from shared.contract.directory_events import SettingsRequestRefused
from shared.domain.office_hours import local_moment, office_day, region_of
from shared.domain.portal_settings import PortalSettings
from shared.domain.public_holidays import Region, known_categories, unknown_region
from tests.builders.directory import REGISTERED, applied, code_of, registered, settings_of
from tests.builders.requests import FJORD, Json
from tests.properties import no_deadline

pytestmark = pytest.mark.promise(
    "Office hours, public holidays, daylight saving: right to the microsecond, in every time zone.", about="requests"
)

COUNTRIES = sorted(country for country in holidays.list_supported_countries() if len(country) == 2)
OPEN_ALL_WEEK = {
    day: {"opens": "00:00", "closes": "24:00"} for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
}


def says(country: str, day: str, **settings: object) -> str | None:
    """A date's hours, or None if it is closed, of an insurer that is open 08–16 all week."""
    open_all_week = {weekday: {"opens": "08:00", "closes": "16:00"} for weekday in OPEN_ALL_WEEK}
    status = office_day(
        settings_of({"country": country, "office_hours": open_all_week, **settings}), date.fromisoformat(day)
    )
    return str(status.hours) if status.closed_by is None else None


@pytest.mark.parametrize(
    ("country", "closed", "half", "open_"),
    [
        ("NO", ["2027-05-17", "2027-12-25"], {}, ["2027-06-25", "2027-12-24", "2027-12-31", "2027-03-24"]),
        ("SE", ["2027-06-25", "2027-12-24", "2027-12-31", "2027-06-26"], {}, ["2027-04-30", "2027-03-25"]),
        ("DK", ["2027-06-05", "2027-12-24", "2027-12-31", "2027-03-25"], {}, ["2027-05-01", "2027-06-25"]),
        ("FI", ["2027-06-25", "2027-12-24", "2027-12-06"], {}, ["2027-12-31", "2027-03-25"]),
        ("AX", ["2027-06-25", "2027-12-24", "2027-06-09"], {}, ["2027-12-31"]),
        ("IS", ["2027-06-17", "2027-12-25"], {"2027-12-24": "13:00", "2027-12-31": "13:00"}, ["2027-06-25"]),
        (
            "FO",
            ["2027-12-24", "2027-12-31", "2027-07-29"],
            {"2027-04-25": "12:00", "2027-06-05": "12:00", "2027-07-28": "12:00"},
            ["2027-05-01"],
        ),
        ("GL", ["2027-06-21", "2027-12-24", "2027-12-31"], {}, ["2027-01-06", "2027-05-01"]),
    ],
)
def test_by_default_a_nordic_insurer_is_closed_as_its_countrys_people_expect(
    country: str, closed: list[str], half: Json, open_: list[str]
) -> None:
    assert [day for day in closed if says(country, day) is not None] == []
    assert {day: says(country, day) for day in half} == {day: f"08:00–{until}" for day, until in half.items()}
    assert [day for day in open_ if says(country, day) != "08:00–16:00"] == []


@pytest.mark.parametrize("country", COUNTRIES)
def test_by_default_no_country_is_open_on_a_public_holiday_and_only_nordic_ones_close_for_more(country: str) -> None:
    public = holidays.country_holidays(country, years=2027, categories=("public",))
    counted = Region(country).holidays(2027)
    assert public.keys() <= counted.keys()
    assert public.keys() == counted.keys() or country in {"SE", "DK", "IS", "FO", "GL"}


def test_midsummer_eve_is_named_in_the_answer() -> None:
    sweden = settings_of({"country": "SE", "time_zone": "Europe/Stockholm"})
    moment = local_moment(sweden, datetime(2027, 6, 25, 10, tzinfo=UTC))
    assert (moment.rule, moment.holiday) == ("public_holiday", "Midsommarafton")
    assert moment.text().en.endswith("public holiday (Midsommarafton)")


def test_a_half_day_is_named_and_its_hours_are_those_that_are_left() -> None:
    iceland = settings_of({"country": "IS", "time_zone": "Atlantic/Reykjavik"})
    before, after = (local_moment(iceland, datetime(2027, 12, 24, hour, tzinfo=UTC)) for hour in (12, 13))
    assert (before.rule, after.rule) == ("inside_office_hours", "after_closing")
    assert after.holiday == "Aðfangadagur (frá kl. 13.00)"
    assert after.text().en.endswith("office hours 08:00–13:00 (Aðfangadagur (frá kl. 13.00))")
    assert after.text().nb.endswith("kontortid 08:00–13:00 (Aðfangadagur (frá kl. 13.00))")


def test_a_half_day_that_begins_before_the_hours_do_is_closed() -> None:
    assert says("IS", "2027-12-24", office_hours={"fri": {"opens": "13:00", "closes": "18:00"}}) is None
    assert says("IS", "2027-12-24", office_hours={"fri": {"opens": "12:59", "closes": "18:00"}}) == "12:59–13:00"
    assert says("IS", "2027-12-24", office_hours={"fri": {"opens": "08:00", "closes": "12:00"}}) == "08:00–12:00"
    assert says("IS", "2027-12-24", office_hours={"fri": None}) is None
    assert says("IS", "2027-12-24", closed_days=["2027-12-24"]) is None


def test_special_hours_go_before_what_is_usual_but_open_no_public_holiday() -> None:
    hours = {"opens": "09:00", "closes": "15:00"}
    assert says("SE", "2027-12-24", special_hours={"2027-12-24": hours}) == "09:00–15:00"
    assert says("IS", "2027-12-24", special_hours={"2027-12-24": hours}) == "09:00–15:00"
    assert says("SE", "2027-12-25", special_hours={"2027-12-25": hours}) is None


def test_categories_are_chosen_and_an_empty_list_is_what_is_usual_again() -> None:
    assert says("SE", "2027-12-24", holiday_categories=["public"]) == "08:00–16:00"
    assert says("DK", "2027-05-01", holiday_categories=["public", "optional"]) is None
    assert says("SE", "2027-03-25", holiday_categories=["public", "bank"]) == "08:00–14:00"
    chosen = {"country": "SE", "holiday_categories": ["public"]}
    assert settings_of(chosen).holiday_categories == frozenset({"public"})
    assert settings_of(chosen, {"holiday_categories": []}).holiday_categories is None
    assert settings_of(chosen, {"holiday_categories": None, "unlink_days": 1}).holiday_categories is not None
    assert settings_of(chosen, {"country": "DK"}).holiday_categories is None
    assert settings_of(chosen, {"country": "SE", "unlink_days": 1}).holiday_categories is not None


def test_a_category_that_the_country_does_not_have_is_refused_with_those_that_it_has() -> None:
    event = applied(
        registered(), FJORD, "set-portal-settings", {"holiday_categories": ["de_facto", "public"]}, at=REGISTERED
    )
    assert code_of(event) == Code.INVALID_REQUEST
    assert isinstance(event, SettingsRequestRefused)
    assert event.details is not None
    assert [(d.field, d.problem) for d in event.details] == [
        ("holiday_categories", "de_facto: not of NO, which has public")
    ]
    assert unknown_region(Region("SE", None, frozenset({"de_facto"}))) is None


def test_the_time_at_which_a_half_day_begins_is_read_from_every_name_that_has_one() -> None:
    found: dict[str, str | None] = {}
    for country in COUNTRIES:
        for category in known_categories(country):
            if category != "public":
                days = Region(country, None, frozenset({category})).holidays(2027).values()
                found |= {day.name: day.begins for day in days if re.search(r"\d\d[.:]\d\d|\dh\)", day.name)}
    assert len(found) > 10
    assert {name for name, begins in found.items() if begins is None} == set()
    assert found["Skärtorsdagen (från kl. 14.00)"] == "14:00"
    assert found["Vigília de Nadal (a partir de les 13h)"] == "13:00"


@no_deadline
@given(st.sampled_from(COUNTRIES), st.integers(2024, 2035), st.data())
def test_with_any_categories_a_day_is_closed_just_when_one_of_them_has_it(
    country: str, year: int, data: st.DataObject
) -> None:
    categories = known_categories(country)
    chosen = data.draw(st.sets(st.sampled_from(categories), min_size=1))
    days = {
        d for c in chosen for d in holidays.country_holidays(country, years=year, categories=(c,)) if d.year == year
    }
    counted = Region(country, None, frozenset(chosen)).holidays(year)
    assert {day for day in counted if day.year == year} == days
    settings = settings_of({"country": country, "holiday_categories": sorted(chosen), "office_hours": OPEN_ALL_WEEK})
    for day in data.draw(st.lists(st.sampled_from(sorted(days)), max_size=5)) if days else []:
        begins = counted[day].begins
        midnight = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo("Europe/Oslo"))
        assert local_moment(settings, midnight).inside is (begins is not None)
        assert not local_moment(settings, midnight + timedelta(hours=23, minutes=59)).inside


@pytest.mark.parametrize(
    ("categories", "problem"),
    [
        ("[public, de_facto]", None),
        ("[]", None),
        (
            "[public, halloween]",
            ":6: holiday_categories: halloween: not of SE, which has public, bank, de_facto, optional",
        ),
        ("public", ":6: companies.0.settings.holiday_categories: must be a list, each entry after a dash"),
    ],
)
def test_the_directory_file_has_categories_too(tmp_path: Path, categories: str, problem: str | None) -> None:
    file = tmp_path / "directory.yaml"
    settings = f"    settings:\n      holiday_categories: {categories}\n      country: SE\n"
    file.write_text(f"companies:\n  - id: tre\n    name: Tre\n    kind: insurer\n{settings}")
    if problem is None:
        assert read_directory_file(file).companies[0].settings_request() is not None
    else:
        with pytest.raises(WrongFile) as wrong:
            read_directory_file(file)
        assert str(wrong.value) == f"{file}{problem}"


# The settings page


@pytest.mark.parametrize("country", ["NO", "SE", "DK", "FI", "IS", "FO", "GL", "AX"])
def test_the_settings_page_tells_what_is_closed_in_the_coming_year(country: str) -> None:
    settings = settings_of({"country": country})
    about = page.about(settings, date(2026, 11, 27))
    assert [row.day for row in about["holidays_ahead"]] == sorted(
        day
        for year in (2026, 2027)
        for day in region_of(settings).holidays(year)
        if date(2026, 11, 27) <= day
        if day < date(2027, 11, 27)
    )
    usual = {day for day, _ in about["usual_holidays"]}
    other_days = {row.day for row in about["holidays_ahead"] if row.holiday.category != "public"}
    assert usual == other_days
    assert [category.name for category in about["categories"]] == list(known_categories(country))


def test_the_settings_page_shows_a_region_that_is_not_known_here() -> None:
    settings = PortalSettings(country="ZZ", subdivision="99", holiday_categories=frozenset({"new"}))
    about = page.about(settings, date(2026, 11, 27))
    assert about["holidays_ahead"] == []
    assert [category.name for category in about["categories"]] == ["new"]


def test_the_form_asks_for_what_is_usual_or_for_what_was_ticked() -> None:
    assert page.wish({"holidays.usual": "1", "holidays.public": "1"}).holiday_categories == []
    assert page.wish({"holidays.public": "1", "holidays.bank": "1"}).holiday_categories == ["bank", "public"]
    for settings in (PortalSettings(), PortalSettings(country="SE", holiday_categories=frozenset({"bank", "public"}))):
        assert settings.changed_by(page.wish(page.values(settings))) is settings
    with pytest.raises(WrongForm):
        page.wish({})
