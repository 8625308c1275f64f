"""Which periods an insurer's reports are of (domain rule 18), and when one can be closed (rule 20). No I/O, no clock.

Periods follow each other without a gap, so that every moment since the insurer was registered is in exactly one.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from shared.contract.fields import ReportPeriod
from shared.domain.clock import start_of, time_zone
from shared.domain.portal_settings import PortalSettings

_WEEK = timedelta(weeks=1)

SettingsAt = Callable[[datetime], PortalSettings]
"""Looks up an insurer's settings in force at a moment. Raises NotKnownHere."""


@dataclass(frozen=True, slots=True)
class Period:
    """A week or a month of an insurer, or what there is of one."""

    label: str
    """An ISO week such as 2026-W47, or a month such as 2026-11."""
    begins: datetime
    """Its first moment, UTC."""
    ends: datetime
    """The first moment after it, UTC."""
    time_zone: str
    """The insurer's, in which the week or month was counted."""
    short: bool
    """Whether it begins later than its week or month."""

    def has_ended(self, now: datetime) -> bool:
        """Whether it is over."""
        return self.ends <= now


def period_from(begins: datetime, settings: PortalSettings, before: Period | None = None) -> Period:
    """The period that begins at a moment, with the settings in force then.

    It lasts to the end of the ISO week or calendar month in the insurer's time zone. So a change of `report_period` or
    of the time zone counts from the next period on, and that one can be short. Where another time zone makes the
    period before it end within the week or month that it is named for, the rest belongs to this one.

    Raises UnknownTimeZone.
    """
    zone = time_zone(settings.time_zone)
    first = _FIRST_DAY[settings.report_period](begins.astimezone(zone).date())
    if before is not None and _label(first, settings.report_period) == before.label:
        first = _next(first, settings.report_period)
    return Period(
        label=_label(first, settings.report_period),
        begins=begins,
        ends=start_of(_next(first, settings.report_period), zone),
        time_zone=settings.time_zone,
        short=start_of(first, zone) < begins,
    )


def periods_from(begins: datetime, settings_at: SettingsAt, before: Period | None = None) -> Iterator[Period]:
    """The periods from a moment on, one after the other, without end. Raises NotKnownHere."""
    while True:
        before = period_from(begins, settings_at(begins), before)
        yield before
        begins = before.ends


def _first_of_week(day: date) -> date:
    return day - timedelta(days=day.weekday())


def _first_of_month(day: date) -> date:
    return day.replace(day=1)


_FIRST_DAY = {ReportPeriod.WEEKLY: _first_of_week, ReportPeriod.MONTHLY: _first_of_month}


def _next(first: date, kind: ReportPeriod) -> date:
    """The first day of the next week or month."""
    return first + _WEEK if kind is ReportPeriod.WEEKLY else _first_of_month(first + timedelta(days=31))


def _label(first: date, kind: ReportPeriod) -> str:
    return f"{first:%G-W%V}" if kind is ReportPeriod.WEEKLY else f"{first:%Y-%m}"
