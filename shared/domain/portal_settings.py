"""What an insurer decides for itself, with the defaults of domain rules 2, 7, 11 and 18. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from functools import lru_cache
from types import MappingProxyType
from typing import TypeVar

from shared.contract.fields import Hours, ReportPeriod, Weekday
from shared.contract.requests import SetPortalSettings

K = TypeVar("K")

_EIGHT_TO_FOUR = Hours(opens="08:00", closes="16:00")
DEFAULT_OFFICE_HOURS: Mapping[Weekday, Hours | None] = MappingProxyType(
    {day: None if day in {Weekday.SAT, Weekday.SUN} else _EIGHT_TO_FOUR for day in Weekday},
)
"""Domain rule 2."""


@dataclass(frozen=True, slots=True)
class PortalSettings:
    """What an insurer decides for itself, with the defaults of domain rules 2, 7, 11 and 18."""

    time_zone: str = "Europe/Oslo"
    """An IANA name that was known where it was accepted; this installation need not know it."""
    country: str = "NO"
    subdivision: str | None = None
    holiday_categories: frozenset[str] | None = None
    """Of the package `holidays`; None is what is usual in the country."""
    office_hours: Mapping[Weekday, Hours | None] = field(default_factory=lambda: DEFAULT_OFFICE_HOURS)
    closed_days: frozenset[date] = frozenset()
    special_hours: Mapping[date, Hours | None] = field(default_factory=dict)
    enhanced_function: bool = False
    inspection_needs_budget: bool = False
    report_period: ReportPeriod = ReportPeriod.WEEKLY
    unlink_days: int = 30
    forget_after_days: int = 0
    """0 is never."""

    def changed_by(self, request: SetPortalSettings) -> "PortalSettings":
        """Apply a request; what is left out stays, and another country takes what was the old one's away.

        Parts that are as they were are the same objects, and settings that are as they were are the same settings.
        """
        values = {name: value for name in _PLAIN if (value := getattr(request, name)) is not None}
        if request.country is not None and request.country != self.country:
            values |= {"subdivision": None, "holiday_categories": None}
        if "subdivision" in request.model_fields_set:
            values["subdivision"] = request.subdivision
        if request.holiday_categories is not None:
            values["holiday_categories"] = frozenset(request.holiday_categories) or None
        if request.office_hours is not None:
            values["office_hours"] = _shared({**self.office_hours, **request.office_hours})
        if request.closed_days is not None:
            values["closed_days"] = frozenset(request.closed_days)
        if request.special_hours is not None:
            values["special_hours"] = _shared(request.special_hours)
        changed = {name: value for name, value in values.items() if value != getattr(self, name)}
        return replace(self, **changed) if changed else self


_PLAIN = (
    "time_zone",
    "country",
    "enhanced_function",
    "inspection_needs_budget",
    "report_period",
    "unlink_days",
    "forget_after_days",
)
DEFAULT_SETTINGS = PortalSettings()


@lru_cache(maxsize=4096)
def _one(hours: Hours) -> Hours:
    """Return the first of all hours that are equal: many days have the same."""
    return hours


def _shared(days: Mapping[K, Hours | None]) -> Mapping[K, Hours | None]:
    return MappingProxyType({day: hours and _one(hours) for day, hours in days.items()})
