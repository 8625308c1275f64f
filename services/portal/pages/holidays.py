"""Holidays on the settings page: which categories count, and what they close in the coming year (domain rule 2)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from services.portal.forms import WrongForm
from services.portal.words import marked
from shared.contract.requests import SetPortalSettings
from shared.domain.office_hours import office_day, region_of
from shared.domain.portal_settings import PortalSettings
from shared.domain.public_holidays import PUBLIC, Holiday, Region, known_categories

_USUAL = "holidays.usual"
_YEAR = timedelta(days=365)
_DAYS_NAMED = 5


@dataclass(frozen=True)
class Category:
    """A category of the country's holidays, with its first days of the coming year."""

    name: str
    days: list[tuple[date, str]]
    more: int
    """How many days it has besides."""


@dataclass(frozen=True)
class HolidayRow:
    """A holiday of the coming year that counts, and what is left of the day's office hours."""

    day: date
    holiday: Holiday
    hours: str | None


def about(settings: PortalSettings, today: date) -> dict[str, Any]:
    """What the page shows of holidays."""
    region = region_of(settings)
    usual = [(day, holiday.name) for day, holiday in _coming(Region(region.country, region.subdivision), today)]
    public = dict(_days_of(region, PUBLIC, today))
    chosen = settings.holiday_categories or frozenset()
    names = [*known_categories(region.country), *sorted(chosen - set(known_categories(region.country)))]
    return {
        "usual_holidays": [(day, name) for day, name in usual if day not in public],
        "categories": [_category(region, name, today) for name in names],
        "holidays_ahead": [_row(settings, day, holiday) for day, holiday in _coming(region, today)],
    }


def values(settings: PortalSettings) -> dict[str, str]:
    """What the form begins with."""
    if settings.holiday_categories is None:
        return {_USUAL: "1"}
    return {f"holidays.{name}": "1" for name in settings.holiday_categories}


def wish(typed: Mapping[str, str]) -> SetPortalSettings:
    """Make the request: what is usual in the country, or the categories that were ticked. Raises WrongForm."""
    if _USUAL in typed:
        return SetPortalSettings(holiday_categories=[])
    chosen = sorted(name.removeprefix("holidays.") for name in typed if name.startswith("holidays."))
    if not chosen:
        raise WrongForm({_USUAL: marked("Velg minst én slags helligdager.")})
    return SetPortalSettings(holiday_categories=chosen)


def _coming(region: Region, today: date) -> list[tuple[date, Holiday]]:
    days = {**region.holidays(today.year), **region.holidays(today.year + 1)}
    return [(day, holiday) for day, holiday in sorted(days.items()) if today <= day < today + _YEAR]


def _days_of(region: Region, category: str, today: date) -> list[tuple[date, str]]:
    alone = Region(region.country, region.subdivision, frozenset({category}))
    return [(day, holiday.name) for day, holiday in _coming(alone, today)]


def _category(region: Region, name: str, today: date) -> Category:
    days = _days_of(region, name, today)
    return Category(name, days[:_DAYS_NAMED], len(days[_DAYS_NAMED:]))


def _row(settings: PortalSettings, day: date, holiday: Holiday) -> HolidayRow:
    known = office_day(settings, day)
    return HolidayRow(day, holiday, str(known.hours) if known.closed_by is None else None)
