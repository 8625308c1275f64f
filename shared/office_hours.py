"""Whether a moment is inside an insurer's office hours, and which rule says so (domain rules 2 and 3). No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from types import MappingProxyType
from zoneinfo import ZoneInfo

import holidays

from shared.contract.fields import Hours, LocalizedText, Weekday
from shared.contract.outcomes import DecisionRule
from shared.directory import PortalSettings

_WEEKDAYS = {
    "nb": ("mandag", "tirsdag", "onsdag", "torsdag", "fredag", "lørdag", "søndag"),
    "en": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
}
_MONTHS = {
    "nb": "januar februar mars april mai juni juli august september oktober november desember".split(),  # noqa: SIM905
    "en": "January February March April May June July August September October November December".split(),  # noqa: SIM905
}


@dataclass(frozen=True, slots=True)
class LocalMoment:
    """A moment as the insurer's clock shows it, and what its office hours say of it."""

    local: datetime
    zone: str
    inside: bool
    rule: DecisionRule
    hours: Hours | None
    holiday: str | None

    @property
    def rfc9557(self) -> str:
        """Write the local time with its offset and zone."""
        return f"{self.local.isoformat(timespec='milliseconds')}[{self.zone}]"

    def said(self) -> LocalizedText:
        """Tell a person the local time and the hours of the day."""
        nb = f"{self.local.day}. {_MONTHS['nb'][self.local.month - 1]} {self.local:%Y %H:%M} {self.zone}"
        en = f"{self.local.day} {_MONTHS['en'][self.local.month - 1]} {self.local:%Y %H:%M} {self.zone}"
        hours_nb, hours_en = self._hours_said()
        return LocalizedText(
            nb=f"{_WEEKDAYS['nb'][self.local.weekday()]} {nb}, {hours_nb}",
            en=f"{_WEEKDAYS['en'][self.local.weekday()]} {en}, {hours_en}",
        )

    def _hours_said(self) -> tuple[str, str]:
        if self.rule is DecisionRule.PUBLIC_HOLIDAY:
            return f"helligdag ({self.holiday})", f"public holiday ({self.holiday})"
        if self.rule is DecisionRule.CLOSED_DAY or self.hours is None:
            return "stengt", "closed"
        return f"kontortid {self.hours}", f"office hours {self.hours}"


def local_moment(settings: PortalSettings, at: datetime) -> LocalMoment:
    """Tell whether `at` (any zone) is inside office hours: opening ≤ local time < closing on a day that is open.

    A day is open unless it is a public holiday, a closed day, or has no hours: a weekend or closed weekday without
    hours of its own, or special hours of null. Special hours take the place of the weekday's hours, and open neither
    a public holiday nor a closed day (domain rule 3 names those without exception).
    """
    local = at.astimezone(ZoneInfo(settings.time_zone))
    day = local.date()
    special = day in settings.special_hours
    hours = settings.special_hours[day] if special else settings.office_hours[Weekday.of(day)]
    holiday = holiday_name(settings.country, settings.subdivision, day)
    rule = _rule(settings, local, hours, holiday=holiday, special=special)
    return LocalMoment(
        local=local,
        zone=settings.time_zone,
        inside=rule is DecisionRule.INSIDE_OFFICE_HOURS,
        rule=rule,
        hours=hours,
        holiday=holiday,
    )


def _rule(
    settings: PortalSettings, local: datetime, hours: Hours | None, *, holiday: str | None, special: bool
) -> DecisionRule:
    if holiday is not None:
        return DecisionRule.PUBLIC_HOLIDAY
    if local.date() in settings.closed_days:
        return DecisionRule.CLOSED_DAY
    if hours is None:
        return DecisionRule.SPECIAL_CLOSED_DAY if special else DecisionRule.CLOSED_WEEKDAY
    since_midnight = timedelta(
        hours=local.hour, minutes=local.minute, seconds=local.second, microseconds=local.microsecond
    )
    if since_midnight < _clock(hours.opens):
        return DecisionRule.BEFORE_OPENING
    if since_midnight >= _clock(hours.closes):
        return DecisionRule.AFTER_CLOSING
    return DecisionRule.INSIDE_OFFICE_HOURS


def holiday_name(country: str, subdivision: str | None, day: date) -> str | None:
    """Tell the public holiday of a date in the country's own language, or None."""
    return _holidays(country, subdivision, day.year).get(day)


def unknown_region(country: str, subdivision: str | None) -> tuple[str, str] | None:
    """Tell which of country and subdivision `holidays` does not know and what is wrong with it, or None."""
    supported = holidays.list_supported_countries()
    if country not in supported:
        return "country", f"the public holidays of {country} are not known"
    if subdivision is not None:
        try:
            holidays.country_holidays(country, subdiv=subdivision, years=2026)
        except NotImplementedError:
            known = ", ".join(supported[country])
            return "subdivision", f"is not one of {country}'s" + (f": {known}" if known else "")
    return None


@lru_cache(maxsize=4096)
def _holidays(country: str, subdivision: str | None, year: int) -> Mapping[date, str]:
    # Without a language, `holidays` takes the process's locale, and two instances would answer differently.
    own_language = holidays.country_holidays(country, subdiv=subdivision).default_language
    days = holidays.country_holidays(country, subdiv=subdivision, years=year, language=own_language)
    return MappingProxyType(dict(days.items()))


@lru_cache
def _clock(time: str) -> timedelta:
    hours, minutes = time.split(":")
    return timedelta(hours=int(hours), minutes=int(minutes))
