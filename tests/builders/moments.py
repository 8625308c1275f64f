"""Moments by the clock."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

TUESDAY_EVENING = datetime(2026, 11, 24, 16, 12, tzinfo=UTC)
"""Tuesday 24 November 2026 17:12 in Oslo."""


def oslo(local: str) -> datetime:
    """The moment, in UTC, when Oslo's clocks show this."""
    return datetime.fromisoformat(local).replace(tzinfo=ZoneInfo("Europe/Oslo")).astimezone(UTC)
