"""Whether a moment is inside an insurer's office hours, and which rule says so (domain rules 2 and 3). No I/O."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache

from shared.contract.fields import Hours, LocalizedText, Weekday
from shared.contract.outcomes import DecisionRule
from shared.domain.clock import time_zone
from shared.domain.portal_settings import PortalSettings
from shared.domain.public_holidays import PUBLIC, Holiday, Region

_WEEKDAYS = {
    "nb": ("mandag", "tirsdag", "onsdag", "torsdag", "fredag", "lørdag", "søndag"),
    "en": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
}
_MONTHS = {
    "nb": "januar februar mars april mai juni juli august september oktober november desember".split(),  # noqa: SIM905
    "en": "January February March April May June July August September October November December".split(),  # noqa: SIM905
}


@dataclass(frozen=True, slots=True)
class OfficeDay:
    """A date as the insurer's office hours have it."""

    hours: Hours | None
    """Of a half day those that are left."""
    holiday: Holiday | None
    closed_by: DecisionRule | None
    """Why it is closed the whole day."""


@dataclass(frozen=True, slots=True)
class LocalMoment:
    """A moment as the insurer's clock shows it, and what its office hours say of it."""

    local: datetime
    zone: str
    rule: DecisionRule
    day: OfficeDay
    warnings: tuple[LocalizedText, ...]
    """What this installation does not know of the insurer's holidays."""

    @property
    def inside(self) -> bool:
        """Whether it is inside office hours."""
        return self.rule is DecisionRule.INSIDE_OFFICE_HOURS

    @property
    def hours(self) -> Hours | None:
        """The hours of the day."""
        return self.day.hours

    @property
    def holiday(self) -> str | None:
        """The name of the day's holiday, also of a half one."""
        return self.day.holiday.name if self.day.holiday is not None else None

    @property
    def rfc9557(self) -> str:
        """The local time with its offset and zone."""
        return f"{self.local.isoformat(timespec='milliseconds')}[{self.zone}]"

    def text(self) -> LocalizedText:
        """Return the local time and the hours of the day, for a person."""
        hours_nb, hours_en = self._hours_text()
        time = local_time_text(self.local, self.zone)
        return LocalizedText(nb=f"{time.nb}, {hours_nb}", en=f"{time.en}, {hours_en}")

    def _hours_text(self) -> tuple[str, str]:
        if self.rule is DecisionRule.PUBLIC_HOLIDAY:
            return f"helligdag ({self.holiday})", f"public holiday ({self.holiday})"
        if self.rule is DecisionRule.CLOSED_DAY or self.hours is None:
            return "stengt", "closed"
        if self.holiday is not None:
            return f"kontortid {self.hours} ({self.holiday})", f"office hours {self.hours} ({self.holiday})"
        return f"kontortid {self.hours}", f"office hours {self.hours}"


def local_time_text(local: datetime, zone: str) -> LocalizedText:
    """Return a local time for a person."""
    nb = f"{local.day}. {_MONTHS['nb'][local.month - 1]} {local:%Y %H:%M} {zone}"
    en = f"{local.day} {_MONTHS['en'][local.month - 1]} {local:%Y %H:%M} {zone}"
    return LocalizedText(
        nb=f"{_WEEKDAYS['nb'][local.weekday()]} {nb}",
        en=f"{_WEEKDAYS['en'][local.weekday()]} {en}",
    )


def local_moment(settings: PortalSettings, at: datetime) -> LocalMoment:
    """Return whether `at` (any zone) is inside office hours: opening ≤ local time < closing on a day that is open.

    The clock on the wall counts: hours that begin or end in an hour that is skipped begin or end with the change, and
    those of an hour that comes twice are kept both times. Raises UnknownTimeZone.
    """
    local = at.astimezone(time_zone(settings.time_zone))
    day = office_day(settings, local.date())
    return LocalMoment(
        local=local,
        zone=settings.time_zone,
        rule=day.closed_by or _rule(local, day.hours),
        day=day,
        warnings=region_of(settings).warnings,
    )


def region_of(settings: PortalSettings) -> Region:
    """Return whose holidays count for an insurer."""
    return Region(settings.country, settings.subdivision, settings.holiday_categories)


def office_day(settings: PortalSettings, day: date) -> OfficeDay:
    """Return what a date is for an insurer.

    A day is open unless it is a holiday, a closed day, or has no hours: a weekend or closed weekday without hours of
    its own, or special hours of null. Special hours take the place of the weekday's hours, and open neither a public
    holiday nor a closed day (domain rule 3 names those without exception); but any other holiday, and half of one.
    """
    special = day in settings.special_hours
    hours = settings.special_hours[day] if special else settings.office_hours[Weekday.of(day)]
    holiday = region_of(settings).holiday(day)
    if special and holiday is not None and holiday.category != PUBLIC:
        holiday = None
    if hours is not None and holiday is not None and holiday.begins is not None:
        if hours.opens < holiday.begins:
            return OfficeDay(_until(hours, holiday.begins), holiday, _closed_by(settings, day, hours, special=special))
        return OfficeDay(hours, holiday, DecisionRule.PUBLIC_HOLIDAY)
    if holiday is not None and holiday.begins is None:
        return OfficeDay(hours, holiday, DecisionRule.PUBLIC_HOLIDAY)
    return OfficeDay(hours, None, _closed_by(settings, day, hours, special=special))


def _closed_by(settings: PortalSettings, day: date, hours: Hours | None, *, special: bool) -> DecisionRule | None:
    if day in settings.closed_days:
        return DecisionRule.CLOSED_DAY
    if hours is None:
        return DecisionRule.SPECIAL_CLOSED_DAY if special else DecisionRule.CLOSED_WEEKDAY
    return None


def _until(hours: Hours, begins: str) -> Hours:
    return hours.model_copy(update={"closes": min(hours.closes, begins)})


def _rule(local: datetime, hours: Hours | None) -> DecisionRule:
    if hours is None:
        return DecisionRule.CLOSED_WEEKDAY
    since_midnight = timedelta(
        hours=local.hour, minutes=local.minute, seconds=local.second, microseconds=local.microsecond
    )
    if since_midnight < _clock(hours.opens):
        return DecisionRule.BEFORE_OPENING
    if since_midnight >= _clock(hours.closes):
        return DecisionRule.AFTER_CLOSING
    return DecisionRule.INSIDE_OFFICE_HOURS


@lru_cache
def _clock(time: str) -> timedelta:
    hours, minutes = time.split(":")
    return timedelta(hours=int(hours), minutes=int(minutes))
