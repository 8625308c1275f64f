"""What property tests share."""

from datetime import UTC, datetime

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

no_deadline = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A property must not fail because the machine is busy."""


def utc_moments(first: int, last: int) -> st.SearchStrategy[datetime]:
    """Draw any moment of these years, to the microsecond."""
    begins, ends = datetime(first, 1, 1), datetime(last, 12, 31, 23, 59, 59, 999999)  # noqa: DTZ001 - hypothesis asks
    return st.datetimes(begins, ends, timezones=st.just(UTC))
