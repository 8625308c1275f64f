"""Whether anything is still under way between the services: what has not come when nothing is, will not come."""

import time
from collections.abc import Callable, Collection
from typing import TypeVar

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from operations.backlog import is_of
from operations.bus import NoAnswer
from operations.connection import Connection
from operations.groups import Groups, Offsets
from shared.audit.liveness import lag_of
from shared.contract.topics import SERVICES, TOPICS

T = TypeVar("T")

_LOOK_EVERY_S = 0.05
_ANSWER_S = 15.0
_LONGEST_WAY = 12
"""The longest chain of messages: a link's request, its steps, and what the companies receive of them."""


def wait_until_finished(connection: Connection, *, timeout_s: float = 60.0) -> None:
    """Wait until every service has finished all there is to read, and all that came of that. Raises NoAnswer.

    A service commits only what it has published the outcome of. So what comes of what there is now has been appended
    when all of it is committed, and so on, until nothing new came; or, where others go on sending, until all that can
    come of what there was at first has been followed to its end.
    """
    admin = AdminClient(connection.client())
    deadline = time.monotonic() + timeout_s
    finished: dict[str, Offsets] | None = None
    with Groups(connection) as groups:
        for _ in range(_LONGEST_WAY):
            ends = _ends_when_led(admin, SERVICES, deadline)
            if ends == finished:
                return
            _wait_for(groups, ends, deadline)
            finished = ends


def wait_until_read(connection: Connection, service: str, *, timeout_s: float = 60.0) -> None:
    """Wait until a service has finished all there is to read now. Raises NoAnswer."""
    admin = AdminClient(connection.client())
    deadline = time.monotonic() + timeout_s
    with Groups(connection) as groups:
        _wait_for(groups, _ends_when_led(admin, (service,), deadline), deadline)


def _wait_for(groups: Groups, ends: dict[str, Offsets], deadline: float) -> None:
    while left := _again_until(deadline, lambda: _all_unfinished(groups, ends)):
        if time.monotonic() > deadline:
            raise NoAnswer(f"what is under way is late; messages left: {left}")
        time.sleep(_LOOK_EVERY_S)


def _ends_when_led(admin: AdminClient, services: Collection[str], deadline: float) -> dict[str, Offsets]:
    """As `ends_of`; a partition that is new, or moves to another broker, has no leader for a moment."""
    return _again_until(deadline, lambda: ends_of(admin, services))


def _again_until(deadline: float, question: Callable[[], T]) -> T:
    """Ask again while leaders or coordinators move. Raises KafkaException."""
    while True:
        try:
            return question()
        except KafkaException as error:
            if not error.args[0].retriable() or time.monotonic() > deadline:
                raise
            time.sleep(_LOOK_EVERY_S)


def _all_unfinished(groups: Groups, ends: dict[str, Offsets]) -> dict[str, int]:
    return {service: n for service, wanted in ends.items() if (n := _unfinished(groups, service, wanted))}


def ends_of(admin: AdminClient, services: Collection[str]) -> dict[str, Offsets]:
    """The end offsets of the partitions that each of these services reads in its group. Raises KafkaException.

    Those of which nothing is kept are left out: there is nothing to read, and so nothing is committed, however far it
    is from what was.
    """
    topics = admin.list_topics(timeout=_ANSWER_S).topics
    read_by = {
        name: topic.read_by
        for topic in TOPICS
        if topic.name != "directory" and any(service in topic.read_by for service in services)
        for name in topics
        if is_of(topic, name)
    }
    partitions = [TopicPartition(name, number) for name in read_by for number in topics[name].partitions]
    firsts = _offsets(admin, partitions, OffsetSpec.earliest())  # type: ignore[no-untyped-call]
    ends = _offsets(admin, partitions, OffsetSpec.latest())  # type: ignore[no-untyped-call]
    ends = {partition: end for partition, end in ends.items() if end > firsts[partition]}
    return {service: {p: end for p, end in ends.items() if service in read_by[p[0]]} for service in services}


def _offsets(admin: AdminClient, partitions: Collection[TopicPartition], spec: OffsetSpec) -> Offsets:
    found = admin.list_offsets(dict.fromkeys(partitions, spec))
    return {(partition.topic, partition.partition): done.result().offset for partition, done in found.items()}


def _unfinished(groups: Groups, service: str, ends: Offsets) -> int:
    """Count what a service has not finished; one that has never read anything is none that runs."""
    committed = groups.committed(service, ends)
    return lag_of(ends, committed) if committed else 0
