"""Whether readers have caught up: how much their groups have not committed yet."""

import time
from collections.abc import Collection, Mapping

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from operations.connection import Connection
from operations.groups import Groups as ConsumerGroups
from shared.audit.liveness import lag_of

_LOOK_EVERY_S = 0.1
_ANSWER_S = 30.0

Groups = Mapping[str, Collection[str]]
"""The topics that each consumer group reads."""
_Offsets = dict[tuple[str, int], int]


class NotCaughtUp(Exception):
    """Readers have not committed all that there is in time."""


class Lag:
    """What the groups have still to read."""

    def __init__(self, connection: Connection, groups: Groups) -> None:
        self._admin = AdminClient(connection.client())
        self._committed = ConsumerGroups(connection)
        self._groups = groups
        known = self._admin.list_topics(timeout=_ANSWER_S).topics
        self._partitions = {
            topic: [TopicPartition(topic, number) for number in known[topic].partitions]
            for topic in {topic for topics in groups.values() for topic in topics}
        }

    def appended(self) -> int:
        """How many messages have ever been appended to what the groups read."""
        return sum(self._ends().values())

    def now(self) -> int:
        """How many messages are not finished."""
        return self._unfinished(self._ends())

    def wait_until_none(self, timeout_s: float) -> float:
        """Wait until all is finished, and what came of it too; return the moment. Raises NotCaughtUp."""
        deadline = time.monotonic() + timeout_s
        ends = self._ends()
        while True:
            while left := self._unfinished(ends):
                if time.monotonic() > deadline:
                    raise NotCaughtUp(f"{left} messages are not finished after {timeout_s:g} s")
                time.sleep(_LOOK_EVERY_S)
            finished_at, finished, ends = time.monotonic(), ends, self._ends()
            if ends == finished:
                return finished_at

    def _ends(self) -> _Offsets:
        wanted = {
            partition: OffsetSpec.latest()  # type: ignore[no-untyped-call]
            for partitions in self._partitions.values()
            for partition in partitions
        }
        answers = self._admin.list_offsets(wanted).items()
        return {(partition.topic, partition.partition): answer.result().offset for partition, answer in answers}

    def _unfinished(self, ends: _Offsets) -> int:
        return sum(self._unfinished_of(group, ends) for group in self._groups)

    def _unfinished_of(self, group: str, ends: _Offsets) -> int:
        topics = set(self._groups[group])
        its = {partition: end for partition, end in ends.items() if partition[0] in topics}
        return lag_of(its, self._committed.committed(group, its))
