"""What is sent again and changes nothing costs nothing, and history is what was otherwise (domain rules 4 and 21)."""

import gc
import tracemalloc
from collections.abc import Callable
from datetime import date, timedelta
from functools import cache

import pytest

from shared.contract.directory_events import (
    CompanyRegistered,
    DirectoryEvent,
    OfficePermissionSet,
    OfficeRegistered,
    UserRegistered,
    read_directory_event,
)
from shared.domain.directory import Directory
from tests.builders.directory import directory_event, settings_of
from tests.builders.requests import BODIES, FJORD, Json
from tests.unit.test_directory import AT, MINUTE, settings_set

DAY = timedelta(days=1)


def coming_days(first: int, count: int = 192) -> Json:
    """The special hours of the days from one on, as an integration sends them."""
    begins = date(2027, 1, 1)
    return {
        (begins + n * DAY).isoformat(): {"opens": "08:00", "closes": "12:00"} if n % 3 else None
        for n in range(first, first + count)
    }


def nightly(special_hours: Callable[[int], Json], nights: int) -> tuple[Directory, int]:
    """Send settings each night; return the directory, and how much memory the nights after the first took, in bytes."""
    directory = Directory()
    directory.apply(read_again(settings_set("first", special_hours=special_hours(0))), AT)
    gc.collect()
    tracemalloc.start()
    for night in range(1, nights + 1):
        directory.apply(read_again(settings_set(str(night), special_hours=special_hours(night))), AT + night * MINUTE)
    gc.collect()
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return directory, grown


def read_again(event: DirectoryEvent) -> DirectoryEvent:
    return read_directory_event(event.type(), event.json_bytes())


@cache
def memory_of_one_version() -> int:
    """The bytes that one version of the settings takes, kept as it was sent."""
    gc.collect()
    tracemalloc.start()
    kept = [read_again(settings_set("x", special_hours=coming_days(n))) for n in range(10)]
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return grown // len(kept)


@pytest.mark.parametrize(
    "special_hours",
    [lambda _: coming_days(0), lambda night: coming_days(night % 2), coming_days],
    ids=["the same", "two in turn", "the coming days"],
)
def test_settings_that_are_sent_each_night_cost_what_is_otherwise(special_hours: Callable[[int], Json]) -> None:
    nights = 60
    directory, grown = nightly(special_hours, nights)
    assert grown < nights * memory_of_one_version() / 30
    for night in (0, 1, nights // 2, nights):
        portal = directory.settings(FJORD, AT + night * MINUTE)
        assert portal == settings_of({"special_hours": special_hours(night)})


def test_settings_that_are_the_same_are_one_version_and_each_request_has_its_own_outcome() -> None:
    directory, _ = nightly(lambda _: coming_days(0), 100)
    assert directory.changes == 1
    assert directory.settings(FJORD, AT) is directory.settings(FJORD, AT + DAY)
    for night in (1, 100):
        answer = directory.settled(FJORD, str(night))
        assert answer is not None
        assert answer.effective_at == AT + night * MINUTE


def test_hours_that_many_days_have_are_one_object() -> None:
    directory, _ = nightly(coming_days, 2)
    hours = directory.settings(FJORD, AT + MINUTE).special_hours.values()
    assert len({id(each) for each in hours}) == 2


def test_whatever_is_sent_again_changes_nothing_but_is_answered() -> None:
    def sent(again: str) -> list[DirectoryEvent]:
        return [
            directory_event(CompanyRegistered, "operator", f"1{again}", registered={**BODIES["register-company"]}),
            directory_event(OfficeRegistered, "operator", f"2{again}", registered=BODIES["register-office"]),
            directory_event(UserRegistered, "operator", f"3{again}", registered=BODIES["register-user"]),
            directory_event(OfficePermissionSet, FJORD, f"4{again}", permission=BODIES["set-office-permission"]),
            settings_set(f"5{again}", time_zone="Asia/Tokyo", closed_days=["2027-01-01"]),
        ]

    directory = Directory()
    for event in sent(""):
        directory.apply(event, AT)
    assert directory.changes == 5
    for event in sent(" again"):
        directory.apply(event, AT + MINUTE)
        answer = directory.settled(event.company, event.request_id)
        assert answer is not None
        assert answer.effective_at == AT + MINUTE
    assert directory.changes == 5
