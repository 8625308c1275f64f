"""Local times that people write: those that the clocks skip, and those that come twice."""

import zoneinfo
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.clock import (
    NoSuchTime,
    UnknownTimeZone,
    comes_twice,
    is_known,
    latest_date,
    moments_of,
    start_of,
    time_zone,
)
from shared.domain.office_hours import local_moment
from tests.builders.directory import settings_of
from tests.properties import no_deadline

ZONES = sorted(zoneinfo.available_timezones() - {"localtime", "Factory"})


@pytest.mark.parametrize(
    ("zone", "local", "sentence"),
    [
        (
            "Europe/Oslo",
            "2027-03-28T02:30",
            "02:30 on 2027-03-28 does not exist in Europe/Oslo: the clocks go from 02:00 to 03:00. "
            "The nearest times are 01:59, at +01:00, and 03:00, at +02:00",
        ),
        (
            "Africa/Cairo",
            "2027-04-30T00:00",
            "00:00 on 2027-04-30 does not exist in Africa/Cairo: the clocks go from 00:00 to 01:00. "
            "The nearest times are 23:59 on 2027-04-29, at +02:00, and 01:00, at +03:00",
        ),
        (
            "America/Sao_Paulo",
            "2018-11-04",
            "00:00 on 2018-11-04 does not exist in America/Sao_Paulo: the clocks go from 00:00 to 01:00. "
            "The nearest times are 23:59 on 2018-11-03, at -03:00, and 01:00, at -02:00",
        ),
        (
            "Pacific/Apia",
            "2011-12-30T12:00",
            "12:00 on 2011-12-30 does not exist in Pacific/Apia: the clocks go from 00:00 to 00:00 on 2011-12-31. "
            "The nearest times are 23:59 on 2011-12-29, at -10:00, and 00:00 on 2011-12-31, at +14:00",
        ),
    ],
)
def test_a_time_that_the_clocks_skip_is_told_with_the_nearest_ones(zone: str, local: str, sentence: str) -> None:
    with pytest.raises(NoSuchTime) as skipped:
        moments_of(datetime.fromisoformat(local), time_zone(zone))
    assert str(skipped.value) == sentence


def test_a_time_that_comes_twice_is_the_first_and_the_other_can_be_said() -> None:
    moments = moments_of(datetime.fromisoformat("2027-10-31T02:30"), time_zone("Europe/Oslo"))
    assert [moment.astimezone(UTC).hour for moment in moments] == [0, 1]
    sentence = comes_twice(moments)
    assert sentence == (
        "02:30 comes twice on 2027-10-31 in Europe/Oslo, since the clocks are put back: this is the first time, "
        "at +02:00. The second is 2027-10-31T02:30:00+01:00"
    )
    assert datetime.fromisoformat(sentence.rsplit(maxsplit=1)[1]).astimezone(UTC) == moments[1].astimezone(UTC)
    assert comes_twice(moments[:1]) is None


@no_deadline
@given(
    st.sampled_from(ZONES),
    st.datetimes(datetime.fromisoformat("1970-01-03"), datetime.fromisoformat("2037-12-30")),
    st.integers(-90, 90),
)
def test_a_local_time_is_just_the_moments_at_which_the_clocks_show_it(name: str, near: datetime, minutes: int) -> None:
    """Around the year's changes of clocks, and anywhere else."""
    zone = ZoneInfo(name)
    change = _next_change(zone, near.replace(tzinfo=UTC))
    local = (change.astimezone(zone).replace(tzinfo=None) if change else near) + timedelta(minutes=minutes)
    hours = (local.replace(tzinfo=UTC) + timedelta(minutes=m) for m in range(-26 * 60, 26 * 60 + 1, 30))
    offsets = {at.astimezone(zone).utcoffset() for at in hours}
    shown = {local - offset for offset in offsets if offset is not None}
    expected = sorted(at for at in shown if at.replace(tzinfo=UTC).astimezone(zone).replace(tzinfo=None) == local)
    try:
        found = [moment.astimezone(UTC).replace(tzinfo=None) for moment in moments_of(local, zone)]
    except NoSuchTime:
        found = []
    assert found == expected


def _next_change(zone: ZoneInfo, at: datetime) -> datetime | None:
    for day in range(366):
        begins = at + timedelta(days=day)
        offset = begins.astimezone(zone).utcoffset()
        if (begins + timedelta(days=1)).astimezone(zone).utcoffset() != offset:
            minutes = range(24 * 60)
            return next(
                begins + timedelta(minutes=m)
                for m in minutes
                if (begins + timedelta(minutes=m + 1)).astimezone(zone).utcoffset() != offset
            )
    return None


@pytest.mark.parametrize(
    ("zone", "day", "begins"),
    [
        ("Europe/Oslo", "2027-03-28", "2027-03-27T23:00Z"),
        ("America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00Z"),
        ("America/Sao_Paulo", "2018-02-18", "2018-02-18T03:00Z"),  # 23:00 came twice the evening before
        ("Africa/Cairo", "2027-04-30", "2027-04-29T22:00Z"),
        ("America/Havana", "2026-11-01", "2026-11-01T04:00Z"),  # midnight comes twice
        ("Pacific/Apia", "2011-12-30", "2011-12-30T10:00Z"),  # a day that never was
        ("America/Toronto", "1919-03-31", "1919-03-31T04:30Z"),  # 23:30 became 00:30
    ],
)
def test_a_day_begins_at_the_first_moment_that_the_clocks_show_it(zone: str, day: str, begins: str) -> None:
    assert start_of(date.fromisoformat(day), time_zone(zone)) == datetime.fromisoformat(begins)


@no_deadline
@given(st.sampled_from(ZONES), st.dates(date(1970, 1, 3), date(2037, 12, 30)))
def test_no_earlier_moment_has_a_days_date(name: str, day: date) -> None:
    zone = ZoneInfo(name)
    change = _next_change(zone, datetime(day.year, day.month, day.day, tzinfo=UTC))
    for each in (day, change.astimezone(zone).date() if change else day):
        begins = start_of(each, zone)
        assert begins.astimezone(zone).date() >= each
        hours_before = (begins - timedelta(minutes=minutes) for minutes in range(1, 26 * 60, 15))
        assert all(at.astimezone(zone).date() < each for at in hours_before)


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "Europe", "../../etc/passwd", "/etc/passwd", "Europe/Oslo\0"])
def test_a_name_that_is_no_zone_is_unknown_whatever_is_in_it(name: str) -> None:
    assert not is_known(name)
    with pytest.raises(UnknownTimeZone):
        time_zone(name)


def test_where_a_zone_is_not_known_the_date_is_the_latest_that_any_clock_shows() -> None:
    at = datetime(2026, 11, 24, 10, tzinfo=UTC)
    assert latest_date(at, "Europe/Oslo").day == 24
    assert latest_date(at, "America/Coyhaique2").day == 25
    assert latest_date(at, "America/Coyhaique2") >= max(latest_date(at, zone) for zone in ZONES)


# Office hours that begin or end where the clocks change: the clock on the wall counts


@pytest.mark.parametrize(
    ("opens", "closes", "day", "inside"),
    [
        ("01:00", "02:30", "2027-03-28", ["00:00Z–01:00Z"]),
        ("02:30", "04:00", "2027-03-28", ["01:00Z–02:00Z"]),
        ("02:15", "02:45", "2027-03-28", []),
        ("01:00", "02:30", "2027-10-31", ["23:00Z–00:30Z", "01:00Z–01:30Z"]),
        ("02:30", "04:00", "2027-10-31", ["00:30Z–01:00Z", "01:30Z–03:00Z"]),
        ("02:15", "02:45", "2027-10-31", ["00:15Z–00:45Z", "01:15Z–01:45Z"]),
    ],
)
def test_hours_in_an_hour_that_is_skipped_or_comes_twice(opens: str, closes: str, day: str, inside: list[str]) -> None:
    hours = {"opens": opens, "closes": closes}
    settings = settings_of({"special_hours": {day: hours}, "country": "GB"})
    begins = datetime.fromisoformat(f"{day}T00:00:00Z") - timedelta(hours=2)
    minutes = [begins + timedelta(minutes=m) for m in range(6 * 60)]
    found, was = [], False
    for at in minutes:
        now = local_moment(settings, at).inside
        if now is not was:
            found.append(f"{at:%H:%M}Z")
        was = now
    assert [f"{a}–{b}" for a, b in zip(found[::2], found[1::2], strict=True)] == inside
