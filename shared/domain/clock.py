"""Clocks on the wall: time zones by name, and what a local time means where clocks are put forward or back. No I/O.

A zone that was accepted on one machine need not be known on another, whose tzdata is older. So nothing but this module
looks zones up, and whoever asks for one decides what to do without it.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

_EARLIEST_CLOCK = timezone(timedelta(hours=14))
"""Of the Line Islands: no place on Earth has a later date."""


class NotKnownHere(Exception):
    """This installation cannot apply what was accepted by a newer one; the text says what it does not know."""

    def __init__(self, en: str, nb: str) -> None:
        super().__init__(en)
        self.nb = nb


class UnknownTimeZone(NotKnownHere):
    """This installation's tzdata has no such zone."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"this installation does not know the time zone {name}",
            f"denne installasjonen kjenner ikke tidssonen {name}",
        )


class NoSuchTime(Exception):
    """A local time that the clocks skip when they are put forward; the text says so, with the nearest times."""

    def __init__(self, local: datetime, zone: tzinfo, last: datetime, first: datetime) -> None:
        """`last` is the moment at which the clocks are put forward as they show it before, `first` after it."""
        super().__init__(
            f"{_clock(local)} on {local.date()} does not exist in {zone}: the clocks go from {_clock(last, local)} "
            f"to {_clock(first, local)}. The nearest times are {_clock(last - timedelta(minutes=1), local)}, at "
            f"{_offset(last)}, and {_clock(first, local)}, at {_offset(first)}"
        )
        self.first = first
        """The first moment after the change."""


def time_zone(name: str) -> ZoneInfo:
    """Find a time zone by its IANA name. Raises UnknownTimeZone."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # OSError: the name of a folder of zones, such as Europe
        raise UnknownTimeZone(name) from None


def is_known(name: str) -> bool:
    """Whether this installation knows a time zone."""
    try:
        time_zone(name)
    except UnknownTimeZone:
        return False
    return True


def zone_to_show(name: str) -> tuple[tzinfo, str]:
    """Find the zone to show times in, and its name: UTC where this installation does not know the one that is asked."""
    try:
        return time_zone(name), name
    except UnknownTimeZone:
        return UTC, "UTC"


def latest_date(at: datetime, zone: str) -> date:
    """Return the date at a moment in a zone; where that is not known, the latest date that any clock shows."""
    try:
        return at.astimezone(time_zone(zone)).date()
    except UnknownTimeZone:
        return at.astimezone(_EARLIEST_CLOCK).date()


def moments_of(local: datetime, zone: tzinfo) -> Sequence[datetime]:
    """Return the moments at which a zone's clocks show a local time: two, in order, where they are put back.

    Raises NoSuchTime where they are put forward and skip it.
    """
    first, second = (local.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if first.utcoffset() == second.utcoffset():
        return [first]
    if first.astimezone(UTC).astimezone(zone).replace(tzinfo=None) == local:
        return [first, second]
    raise NoSuchTime(local, zone, *_put_forward(second.astimezone(UTC), first.astimezone(UTC), zone))


def start_of(day: date, zone: tzinfo) -> datetime:
    """Return the first moment of a day (UTC): where the clocks skip midnight the one after it, of two the earlier."""
    try:
        first = moments_of(datetime.combine(day, time.min), zone)[0]
    except NoSuchTime as gap:
        first = gap.first
    return first.astimezone(UTC)


def comes_twice(moments: Sequence[datetime]) -> str | None:
    """Return the sentence that of a local time that comes twice the first is meant, and how to write the second."""
    if len(moments) == 1:
        return None
    first, second = moments
    return (
        f"{_clock(first)} comes twice on {first.date()} in {first.tzinfo}, since the clocks are put back: this is "
        f"the first time, at {_offset(first)}. The second is {second.isoformat()}"
    )


def _put_forward(before: datetime, after: datetime, zone: tzinfo) -> tuple[datetime, datetime]:
    """Return the moment of a change of clocks between two moments (UTC), as the clocks show it without and with it."""
    old = before.astimezone(zone).utcoffset()
    while after - before > timedelta(seconds=1):
        between = before + (after - before) // 2
        if between.astimezone(zone).utcoffset() == old:
            before = between
        else:
            after = between
    moment = after.replace(microsecond=0)
    return moment.astimezone(timezone(old or timedelta())), moment.astimezone(zone)


def _clock(at: datetime, day: datetime | None = None) -> str:
    """Write a time, with its date where that is not the day's."""
    clock = at.strftime("%H:%M:%S" if at.second else "%H:%M")
    return clock if day is None or at.date() == day.date() else f"{clock} on {at.date()}"


def _offset(at: datetime) -> str:
    return at.isoformat(timespec="seconds")[19:]
