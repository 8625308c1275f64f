"""Which of many partitions are asked for: those that something came of lately, and all now and then."""

import pytest
from aiokafka import TopicPartition

from shared.messaging.busy import ALL_EVERY_S, MANY, BusyPartitions
from tests.clock import Clock

FEW = [TopicPartition("requests.vest", number) for number in range(3)]
THOUSANDS = [TopicPartition(f"requests.partner-{number}", 0) for number in range(MANY)]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def busy(clock: Clock) -> BusyPartitions:
    return BusyPartitions(clock)


def test_few_partitions_are_always_asked_for_together(busy: BusyPartitions) -> None:
    busy.all_asked_for()
    busy.came(FEW[:1])
    assert busy.of(FEW) is FEW


def test_of_many_those_are_asked_for_that_something_came_of_until_it_is_time_for_all(
    busy: BusyPartitions, clock: Clock
) -> None:
    assert busy.of(THOUSANDS) is THOUSANDS
    busy.all_asked_for()
    busy.came(THOUSANDS[:2])
    assert list(busy.of(THOUSANDS)) == THOUSANDS[:2]
    assert busy.next_all_s == pytest.approx(ALL_EVERY_S)
    clock.now += ALL_EVERY_S
    assert busy.next_all_s == 0
    assert busy.of(THOUSANDS) is THOUSANDS
    assert busy.of(THOUSANDS) is THOUSANDS  # until they were
    busy.all_asked_for()
    assert list(busy.of(THOUSANDS)) == THOUSANDS[:2]


def test_when_nothing_has_come_for_a_while_all_are_asked_for(busy: BusyPartitions, clock: Clock) -> None:
    busy.came(THOUSANDS[:2])
    clock.now += 3
    busy.all_asked_for()
    assert busy.of(THOUSANDS) is THOUSANDS


def test_what_is_another_instances_now_is_not_asked_for(busy: BusyPartitions) -> None:
    busy.all_asked_for()
    busy.came([*FEW, THOUSANDS[0]])
    assert list(busy.of(THOUSANDS)) == THOUSANDS[:1]
