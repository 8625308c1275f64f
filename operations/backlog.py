"""What is appended and not read: how much it is, and how old the oldest of it."""

import time
from collections.abc import Iterable, Mapping

from confluent_kafka import Consumer, KafkaException, TopicPartition

from operations.connection import Connection, Unreachable
from operations.patience import ask
from shared.contract.topics import OPERATOR, TOPICS, Topic

_TIMEOUT_S = 15.0
_READ_S = 5.0

Place = tuple[str, int, int]
"""A topic, a partition and an offset."""


def ends_of_topics(connection: Connection) -> dict[tuple[str, int], tuple[int, int]]:
    """Return the first and the next offset of every partition. Raises Unreachable and KafkaException."""
    problems: list[str] = []
    client = connection.client() | {"group.id": f"{OPERATOR}.claimbus"}
    consumer = Consumer(client | {"error_cb": lambda error: problems.append(error.str())})
    try:
        topics = ask(lambda wait_s: consumer.list_topics(timeout=wait_s), _TIMEOUT_S).topics
        return {
            (name, number): consumer.get_watermark_offsets(TopicPartition(name, number), timeout=_TIMEOUT_S)
            for name, metadata in topics.items()
            if any(is_of(topic, name) for topic in TOPICS)
            for number in metadata.partitions
        }
    except KafkaException as error:
        consumer.poll(0)  # to hear what the problem was, such as a wrong password
        raise Unreachable(f"the bus cannot be reached: {[*problems, error.args[0].str()][0]}") from error
    finally:
        consumer.close()


def unread(
    ends: Mapping[tuple[str, int], tuple[int, int]], committed: Mapping[tuple[str, int], int]
) -> dict[Place, int]:
    """Count what is unread of each partition, by where a group goes on: at its beginning where nothing is committed."""
    places = {
        (*partition, max(first, committed.get(partition, first))): end for partition, (first, end) in ends.items()
    }
    return {place: end - place[2] for place, end in places.items() if end > place[2]}


def append_times(connection: Connection, places: Iterable[Place]) -> dict[Place, float]:
    """When the records at these places were appended, in seconds since 1970 UTC; unreadable ones are left out."""
    left = set(places)
    if not left:
        return {}
    consumer = Consumer(connection.client() | {"group.id": f"{OPERATOR}.claimbus", "enable.auto.commit": False})
    found: dict[tuple[str, int], float] = {}
    try:
        # A place can be several services', at different offsets of the same partition: one after the other.
        appended: dict[Place, float] = {}
        while left:
            together = {place[:2]: place for place in left}
            left -= set(together.values())
            consumer.assign([TopicPartition(*place) for place in together.values()])
            found.clear()
            deadline = time.monotonic() + _READ_S
            while len(found) < len(together) and time.monotonic() < deadline:
                for message in consumer.consume(500, 0.2):
                    if message.error() is None:
                        found.setdefault(
                            (str(message.topic()), message.partition() or 0), message.timestamp()[1] / 1000
                        )
            appended |= {together[partition]: at for partition, at in found.items()}
        return appended
    finally:
        consumer.close()


def age_s(appended: Iterable[float]) -> float:
    """Return the age of the oldest of these moments, in seconds since 1970 UTC; 0 where there is none."""
    return max(0.0, time.time() - min(appended, default=time.time()))


def is_of(topic: Topic, name: str) -> bool:
    """Whether a topic has this name, or is one of a company's that have it."""
    return name.startswith(topic.prefix) if topic.per_company else name == topic.name
