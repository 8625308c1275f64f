"""What consumer groups have committed."""

from collections.abc import Collection
from types import TracebackType

from confluent_kafka import Consumer, TopicPartition

from operations.connection import Connection

_ANSWER_S = 15.0

Offsets = dict[tuple[str, int], int]


class Groups:
    """Asks what groups have committed, over a connection for each, and is in none of them.

    An AdminClient that is asked for it ends its process at times when the connection breaks (librdkafka issue 4605).
    """

    def __init__(self, connection: Connection) -> None:
        self._client = connection.client() | {"enable.auto.commit": False}
        self._consumers: dict[str, Consumer] = {}

    def __enter__(self) -> "Groups":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for consumer in self._consumers.values():
            consumer.close()

    def committed(self, group: str, partitions: Collection[tuple[str, int]]) -> Offsets:
        """Return the next offset of each of these partitions where the group has one. Raises KafkaException."""
        if not partitions:
            return {}
        if group not in self._consumers:
            self._consumers[group] = Consumer(self._client | {"group.id": group})
        asked = [TopicPartition(*partition) for partition in partitions]
        places = self._consumers[group].committed(asked, timeout=_ANSWER_S)
        return {(place.topic, place.partition): place.offset for place in places if place.offset >= 0}
