"""Which weeks and months an insurer's reports are of (domain rule 18)."""

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.reporting.rules import Period, period_from, periods_from
from shared.contract.fields import ReportPeriod
from shared.domain.portal_settings import PortalSettings

OSLO = ZoneInfo("Europe/Oslo")
ZONES = ("Europe/Oslo", "America/St_Johns", "America/Santiago", "Asia/Kathmandu", "Pacific/Apia", "Africa/Cairo", "UTC")


def weekly(zone: str = "Europe/Oslo") -> PortalSettings:
    return PortalSettings(time_zone=zone)


def monthly(zone: str = "Europe/Oslo") -> PortalSettings:
    return PortalSettings(time_zone=zone, report_period=ReportPeriod.MONTHLY)


def oslo(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=OSLO)


def local(period: Period) -> tuple[str, str, str]:
    zone = ZoneInfo(period.time_zone)
    begins, ends = (moment.astimezone(zone).strftime("%Y-%m-%d %H:%M") for moment in (period.begins, period.ends))
    return period.label, begins, ends


def test_a_week_is_from_monday_to_monday_in_the_insurers_time_zone() -> None:
    period = period_from(oslo("2026-11-16"), weekly())
    assert local(period) == ("2026-W47", "2026-11-16 00:00", "2026-11-23 00:00")
    assert not period.short


def test_a_month_is_from_its_first_day_to_the_next_ones() -> None:
    period = period_from(oslo("2026-02-01"), monthly())
    assert local(period) == ("2026-02", "2026-02-01 00:00", "2026-03-01 00:00")
    assert not period.short


@pytest.mark.parametrize(
    ("begins", "hours"),
    [("2026-03-23", 7 * 24 - 1), ("2026-10-19", 7 * 24 + 1), ("2026-11-16", 7 * 24)],
)
def test_a_week_is_an_hour_shorter_or_longer_where_the_clocks_change(begins: str, hours: int) -> None:
    period = period_from(oslo(begins), weekly())
    assert period.ends - period.begins == timedelta(hours=hours)


@pytest.mark.parametrize(
    ("day", "label"),
    [("2026-12-28", "2026-W53"), ("2027-01-03", "2026-W53"), ("2027-01-04", "2027-W01"), ("2024-12-30", "2025-W01")],
)
def test_a_week_at_the_turn_of_the_year_is_the_iso_weeks(day: str, label: str) -> None:
    assert period_from(oslo(day), weekly()).label == label


def test_the_first_period_of_an_insurer_that_starts_in_the_middle_is_short() -> None:
    registered = oslo("2026-11-18T14:30")
    first, second = islice(periods_from(registered, lambda _: weekly()), 2)
    assert (first.label, first.begins, first.short) == ("2026-W47", registered, True)
    assert (second.label, second.begins, second.short) == ("2026-W48", first.ends, False)


def test_a_change_of_period_counts_from_the_next_period_on() -> None:
    changed = oslo("2026-11-18T12:00")
    periods = periods_from(oslo("2026-11-09"), lambda at: monthly() if at >= changed else weekly())
    assert [(*local(period), period.short) for period in islice(periods, 4)] == [
        ("2026-W46", "2026-11-09 00:00", "2026-11-16 00:00", False),
        ("2026-W47", "2026-11-16 00:00", "2026-11-23 00:00", False),
        ("2026-11", "2026-11-23 00:00", "2026-12-01 00:00", True),
        ("2026-12", "2026-12-01 00:00", "2027-01-01 00:00", False),
    ]


def test_a_change_from_months_to_weeks_begins_with_what_is_left_of_the_week() -> None:
    periods = periods_from(oslo("2026-11-01"), lambda at: weekly() if at >= oslo("2026-11-10") else monthly())
    assert [(*local(period), period.short) for period in islice(periods, 3)] == [
        ("2026-11", "2026-11-01 00:00", "2026-12-01 00:00", False),
        ("2026-W49", "2026-12-01 00:00", "2026-12-07 00:00", True),
        ("2026-W50", "2026-12-07 00:00", "2026-12-14 00:00", False),
    ]


def test_an_insurer_that_moves_west_has_one_longer_week_and_no_week_twice() -> None:
    periods = periods_from(
        oslo("2026-11-09"), lambda at: weekly("America/New_York") if at >= oslo("2026-11-12") else weekly()
    )
    before, after, _ = islice(periods, 3)
    assert before.label == "2026-W46"
    assert local(after) == ("2026-W47", "2026-11-15 18:00", "2026-11-23 00:00")
    assert not after.short


@pytest.mark.parametrize(
    ("zone", "day", "first"),
    [
        ("America/Santiago", "2026-09-06", "2026-09-06T04:00:00+00:00"),  # the clocks go from 00:00 to 01:00
        ("America/Havana", "2026-11-01", "2026-11-01T04:00:00+00:00"),  # 00:00 to 01:00 comes twice
    ],
)
def test_a_day_without_a_midnight_or_with_two_begins_at_its_first_moment(zone: str, day: str, first: str) -> None:
    moment = datetime.fromisoformat(first)
    assert moment.astimezone(ZoneInfo(zone)).date().isoformat() == day
    assert (moment - timedelta(microseconds=1)).astimezone(ZoneInfo(zone)).date().isoformat() < day
    month = period_from(moment, monthly(zone)) if day.endswith("01") else None
    if month is not None:
        assert not month.short
        assert period_from(moment - timedelta(days=3), monthly(zone)).ends == moment


moments = st.integers(1_577_836_800, 2_051_222_400).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
"""From 2020 to 2035."""
settings_over_time = st.lists(
    st.tuples(moments, st.sampled_from(ZONES), st.sampled_from(ReportPeriod)), min_size=1, max_size=6
)


@given(moments, settings_over_time)
def test_every_moment_is_in_exactly_one_period_whatever_the_settings_were(
    registered: datetime, changes: list[tuple[datetime, str, ReportPeriod]]
) -> None:
    changes = sorted(changes)

    def in_force(at: datetime) -> PortalSettings:
        _, zone, kind = max((change for change in changes if change[0] <= at), default=changes[0])
        return PortalSettings(time_zone=zone, report_period=kind)

    periods = list(islice(periods_from(registered, in_force), 60))
    assert periods[0].begins == registered
    assert all(before.ends == after.begins for before, after in pairwise(periods))
    assert all(period.begins < period.ends <= period.begins + timedelta(days=33) for period in periods)
    assert len({period.label for period in periods}) == len(periods)


@given(moments, st.sampled_from(ZONES), st.sampled_from(ReportPeriod))
def test_a_period_has_the_local_days_that_it_is_named_for_and_no_others(
    registered: datetime, zone: str, kind: ReportPeriod
) -> None:
    settings = PortalSettings(time_zone=zone, report_period=kind)
    for period in islice(periods_from(registered, lambda _: settings), 12):
        for moment in (period.begins, period.ends - timedelta(microseconds=1)):
            day = moment.astimezone(ZoneInfo(zone)).date()
            label = f"{day:%G-W%V}" if kind is ReportPeriod.WEEKLY else f"{day:%Y-%m}"
            assert label == period.label
