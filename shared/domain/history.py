"""What was in force when: the values of one thing over time (domain rule 4). Pure."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from shared.domain.portal_settings import DEFAULT_SETTINGS, PortalSettings

T = TypeVar("T")


class History(Generic[T]):
    """The values of one thing over time, each in force from its moment until the next one's."""

    __slots__ = ("_moments", "_values")

    def __init__(self) -> None:
        self._moments: list[datetime] = []
        self._values: list[T] = []

    def __copy__(self) -> "History[T]":
        copy: History[T] = History()
        copy._moments, copy._values = list(self._moments), list(self._values)
        return copy

    def add(self, value: T, effective_at: datetime) -> bool:
        """Add a value, unless it is as it was; return whether it was added.

        A broker's clock that was set back does not reorder what it appended.
        """
        if self._values and self._values[-1] == value:
            return False
        self._moments.append(max(effective_at, self._moments[-1]) if self._moments else effective_at)
        self._values.append(value)
        return True

    def at(self, moment: datetime) -> T | None:
        """Return the value in force at a moment; a value is in force from its moment on, to the microsecond."""
        index = bisect_right(self._moments, moment)
        return self._values[index - 1] if index else None

    @property
    def begins(self) -> datetime | None:
        """When the first value came into force."""
        return self._moments[0] if self._moments else None

    @property
    def latest(self) -> T | None:
        """The last value."""
        return self._values[-1] if self._values else None


class SettingsHistory:
    """An insurer's settings over time: the last ones as a whole, and of those before what was otherwise."""

    __slots__ = ("_before", "_moments", "latest")

    def __init__(self) -> None:
        self.latest = DEFAULT_SETTINGS
        self._moments: list[datetime] = []
        self._before: list[Mapping[str, Any]] = []
        """What turns each version into the one before it; the first into the defaults."""

    def __copy__(self) -> "SettingsHistory":
        copy = SettingsHistory()
        copy.latest, copy._moments, copy._before = self.latest, list(self._moments), list(self._before)
        return copy

    def add(self, settings: PortalSettings, effective_at: datetime) -> bool:
        """Add settings, unless they are as they were; return whether they were added."""
        if settings == self.latest:
            return False
        self._moments.append(effective_at)
        self._before.append(_difference(settings, self.latest))
        self.latest = settings
        return True

    def at(self, moment: datetime) -> PortalSettings:
        """Return the settings in force at a moment; before the first ones, the defaults."""
        later = self._before[bisect_right(self._moments, moment) :]
        return _changed(self.latest, later[::-1]) if later else self.latest


def _difference(new: PortalSettings, old: PortalSettings) -> Mapping[str, Any]:
    """Return what turns the new settings into the old ones: of lists of days, only the days that differ."""
    found: dict[str, Any] = {}
    for name in _NAMES:
        after, before = getattr(new, name), getattr(old, name)
        if after is before or after == before:
            continue
        if name == "closed_days":
            found[name] = after ^ before
        elif name == "special_hours":
            days = after.keys() | before.keys()
            found[name] = {d: before.get(d, _NONE) for d in days if after.get(d, _NONE) != before.get(d, _NONE)}
        else:
            found[name] = before
    return found


def _changed(settings: PortalSettings, differences: Sequence[Mapping[str, Any]]) -> PortalSettings:
    """Go back through versions, from the newest."""
    values: dict[str, Any] = {}
    for difference in differences:
        for name, value in difference.items():
            if name == "closed_days":
                values[name] = values.get(name, settings.closed_days) ^ value
            elif name == "special_hours":
                values.setdefault(name, dict(settings.special_hours)).update(value)
            else:
                values[name] = value
    if "special_hours" in values:
        days = {day: hours for day, hours in values["special_hours"].items() if hours is not _NONE}
        values["special_hours"] = MappingProxyType(days)
    return replace(settings, **values)


_NAMES = tuple(each.name for each in fields(PortalSettings))
_NONE = object()
"""Of a day that has no special hours; null closes one."""
