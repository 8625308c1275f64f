"""Which of many partitions are asked for: those that something came of lately most of the time, all now and then.

A fetch names every partition that it is about, which is much work for thousands, here and in Kafka, and whoever has
asked for something waits until it is done. aiokafka has no fetch sessions (KIP-227), which name only what changes.
"""

import time
from collections.abc import Callable, Collection, Iterable
from typing import Any

from aiokafka import TopicPartition
from aiokafka.consumer import fetcher

MANY = 300
"""Partitions; fewer are asked for together."""
ALL_EVERY_S = 0.25
"""So long a message of a partition that was quiet can wait for the next fetch of all."""
_LATELY_S = 2.0


class BusyPartitions:
    """Chooses, for one consumer."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._came_at: dict[TopicPartition, float] = {}
        self._all_at = 0.0

    def of(self, partitions: Collection[TopicPartition]) -> Collection[TopicPartition]:
        """Return those of these partitions that are to be asked for next."""
        now = self._now()
        if len(partitions) < MANY or now - self._all_at >= ALL_EVERY_S:
            return partitions
        self._came_at = {at: came for at, came in self._came_at.items() if now - came < _LATELY_S}
        return [at for at in self._came_at if at in partitions] or partitions

    def came(self, partitions: Iterable[TopicPartition]) -> None:
        """Note that something has come of these."""
        self._came_at |= dict.fromkeys(partitions, self._now())

    def all_asked_for(self) -> None:
        """Note that all were asked for."""
        self._all_at = self._now()

    @property
    def next_all_s(self) -> float:
        """In how many seconds all are to be asked for."""
        return max(0.0, self._all_at + ALL_EVERY_S - self._now())


class _Some:
    """A consumer's assignment as if it were these partitions alone."""

    def __init__(self, assignment: Any, partitions: Collection[TopicPartition]) -> None:
        self.tps = partitions
        self.state_value = assignment.state_value


def ask_for_busy_partitions() -> None:
    """Have aiokafka's consumers ask so."""
    actions = fetcher.Fetcher._get_actions_per_node

    def actions_for_busy(self: Any, assignment: Any) -> Any:
        busy: BusyPartitions = vars(self).setdefault("busy", BusyPartitions())
        busy.came(self._records)
        some = busy.of(assignment.tps)
        if some is assignment.tps:
            found = actions(self, assignment)
            if found[0]:
                busy.all_asked_for()
            return found
        wait_ms = self._fetch_max_wait_ms
        self._fetch_max_wait_ms = min(wait_ms, round(1000 * busy.next_all_s))
        try:
            return actions(self, _Some(assignment, some))
        finally:
            self._fetch_max_wait_ms = wait_ms

    fetcher.Fetcher._get_actions_per_node = actions_for_busy
