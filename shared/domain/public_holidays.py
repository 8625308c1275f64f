"""The holidays of a country as its people keep them, from the package `holidays` (domain rules 2 and 3). No I/O.

Of its categories, `public` are those of the law. What offices there close for besides is usual: it counts unless the
insurer chooses categories itself. Another installation may have another version of the package, which need not know
a region or category that was accepted; then what it knows of the country counts, and a warning says so.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import holidays
from holidays.registry import EntityLoader

from shared.contract.fields import LocalizedText

PUBLIC = "public"

_COUNTRIES = frozenset(EntityLoader.get_country_codes())
"""Those of `list_supported_countries`, which imports each for its subdivisions: 8 MiB."""

_ALL_OF_IT = None
_USUAL: Mapping[str, Mapping[str, frozenset[tuple[int, int]] | None]] = MappingProxyType(
    {
        "SE": {"de_facto": _ALL_OF_IT},
        "DK": {"optional": frozenset({(6, 5), (12, 24), (12, 31)})},
        "GL": {"optional": frozenset({(6, 21), (12, 24), (12, 31)})},
        "IS": {"half_day": _ALL_OF_IT},
        "FO": {"half_day": _ALL_OF_IT},
    }
)
"""What is usual besides `public`, by country: a category, or some days (month, day) of one. See decision 56."""

_NOON = "12:00"
_FROM = re.compile(r"\(\D*(\d{1,2})(?:[.:](\d{2})|h)\D*\)")
"""When a half day begins, as `holidays` writes it in its name: (från kl. 14.00), (a partir de les 13h)."""


@dataclass(frozen=True, slots=True)
class Holiday:
    """A holiday, or half of one."""

    name: str
    """In the country's own language."""
    category: str
    begins: str | None = None
    """Local time HH:MM of a half day; None is the whole day."""


@dataclass(frozen=True, slots=True)
class Region:
    """Whose holidays count, and which; no categories are what is usual there."""

    country: str
    subdivision: str | None = None
    categories: frozenset[str] | None = None

    def holiday(self, day: date) -> Holiday | None:
        """Return the holiday of a date, or None."""
        return self.holidays(day.year).get(day)

    def holidays(self, year: int) -> Mapping[date, Holiday]:
        """Return the holidays of a year: of several on a day a whole one, then one of the law."""
        return _holidays(self.country, self.subdivision, self.categories, year)

    @property
    def warnings(self) -> tuple[LocalizedText, ...]:
        """What of it this installation does not know, and what it counts instead, in sentences."""
        return _warnings(self.country, self.subdivision, self.categories)


def known_categories(country: str) -> tuple[str, ...]:
    """Return a country's categories: `public` first."""
    calendar = _calendar(country)
    found = () if calendar is None else calendar.supported_categories
    return tuple(sorted(found, key=lambda category: (category != PUBLIC, category)))


def unknown_region(region: Region) -> tuple[str, str] | None:
    """Return which of country, subdivision and categories `holidays` does not know and what is wrong, or None."""
    calendar = _calendar(region.country)
    if calendar is None:
        return "country", f"the public holidays of {region.country} are not known"
    if region.subdivision is not None and _calendar(region.country, region.subdivision) is None:
        choices = ", ".join(calendar.subdivisions)
        return "subdivision", f"is not one of {region.country}'s" + (f": {choices}" if choices else "")
    unknown = (region.categories or frozenset()) - set(known_categories(region.country))
    if unknown:
        choices = ", ".join(known_categories(region.country))
        return "holiday_categories", f"{', '.join(sorted(unknown))}: not of {region.country}, which has {choices}"
    return None


@lru_cache(maxsize=1024)
def _calendar(country: str, subdivision: str | None = None) -> holidays.HolidayBase | None:
    if country not in _COUNTRIES:
        return None
    try:
        return holidays.country_holidays(country, subdiv=subdivision)
    except NotImplementedError:
        return None


@lru_cache(maxsize=4096)
def _holidays(
    country: str, subdivision: str | None, categories: frozenset[str] | None, year: int
) -> Mapping[date, Holiday]:
    calendar = _calendar(country)
    if calendar is None:
        return MappingProxyType({})
    part = subdivision if _calendar(country, subdivision) is not None else None
    chosen: Mapping[str, Any] = (
        {PUBLIC: _ALL_OF_IT, **_USUAL.get(country, {})} if categories is None else dict.fromkeys(categories, _ALL_OF_IT)
    )
    found: dict[date, Holiday] = {}
    for category in known_categories(country):
        if category not in chosen:
            continue
        # Without a language, `holidays` takes the process's locale, and two instances would answer differently.
        language = calendar.default_language
        days = holidays.country_holidays(country, part, years=year, language=language, categories=(category,))
        for day, name in days.items():
            if chosen[category] is _ALL_OF_IT or (day.month, day.day) in chosen[category]:
                holiday = Holiday(name, category, _begins(category, name))
                earlier = found.get(day)
                if earlier is None or (earlier.begins is not None and holiday.begins is None):
                    found[day] = holiday
    return MappingProxyType(found)


def _begins(category: str, name: str) -> str | None:
    """Return when a half day begins: of the category `half_day` at noon, unless its name says when."""
    if category == PUBLIC:
        return None
    time = _FROM.search(name)
    if time is not None:
        return f"{time[1].zfill(2)}:{time[2] or '00'}"
    return _NOON if category == "half_day" else None


@lru_cache(maxsize=1024)
def _warnings(country: str, subdivision: str | None, categories: frozenset[str] | None) -> tuple[LocalizedText, ...]:
    if _calendar(country) is None:
        return (
            LocalizedText(
                nb=f"denne installasjonen kjenner ikke helligdagene i {country}, så ingen er regnet med",
                en=f"this installation does not know the public holidays of {country}, so none are counted",
            ),
        )
    warnings = []
    if subdivision is not None and _calendar(country, subdivision) is None:
        warnings.append(
            LocalizedText(
                nb=f"denne installasjonen kjenner ikke delen {subdivision} av {country}, "
                "så helligdagene i hele landet er regnet med",
                en=f"this installation does not know the subdivision {subdivision} of {country}, "
                "so the holidays of the whole country are counted",
            )
        )
    unknown = ", ".join(sorted((categories or frozenset()) - set(known_categories(country))))
    if unknown:
        warnings.append(
            LocalizedText(
                nb=f"denne installasjonen kjenner ikke kategoriene {unknown} av helligdager i {country}",
                en=f"this installation does not know the categories {unknown} of holidays of {country}",
            )
        )
    return tuple(warnings)
