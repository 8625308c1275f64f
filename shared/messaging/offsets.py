"""What of each partition is in hand, and up to where it can be committed."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from aiokafka import TopicPartition

from shared.messaging.record import Record


@dataclass(slots=True)
class _Partition:
    read_to: int = 0
    unfinished: dict[int, Record] = field(default_factory=dict)
    """By offset, in their order."""
    committed: int = -1

    @property
    def finished_to(self) -> int:
        return next(iter(self.unfinished), self.read_to)


class OffsetsInHand:
    """Of each partition read from: how far it was read, what of it is unfinished, and how far it is committed."""

    def __init__(self) -> None:
        self._partitions: defaultdict[TopicPartition, _Partition] = defaultdict(_Partition)
        self._uncommitted: set[TopicPartition] = set()
        """Where something was finished since."""

    def take(self, records: Iterable[Record]) -> None:
        """Note that these are in hand.

        A partition goes back when its topic was made again, or has lost its end: what was known of it says nothing of
        what comes now.
        """
        for record in records:
            partition = TopicPartition(record.topic, record.partition)
            if record.offset < self._partitions[partition].read_to:
                del self._partitions[partition]
                self._uncommitted.discard(partition)
            at = self._partitions[partition]
            at.read_to = record.offset + 1
            at.unfinished[record.offset] = record

    def finish(self, records: Iterable[Record]) -> None:
        """Note that these need nothing more."""
        for record in records:
            partition = TopicPartition(record.topic, record.partition)
            at = self._partitions.get(partition)
            if at is not None and at.unfinished.get(record.offset) is record:
                del at.unfinished[record.offset]
                self._uncommitted.add(partition)

    def ready(self) -> dict[TopicPartition, int]:
        """The offsets to commit: of each partition its oldest unfinished message, where that is another one now."""
        places = {partition: self._partitions[partition] for partition in self._uncommitted}
        return {partition: at.finished_to for partition, at in places.items() if at.finished_to != at.committed}

    def committed(self, offsets: dict[TopicPartition, int]) -> None:
        """Note what was committed."""
        for partition in offsets.keys() & self._partitions.keys():
            at = self._partitions[partition]
            at.committed = offsets[partition]
            if at.committed == at.finished_to:
                self._uncommitted.discard(partition)

    def forget(self) -> None:
        """Forget all of it, when nothing is in hand: it is read again from what is committed, here or elsewhere."""
        self._partitions.clear()
        self._uncommitted.clear()

    def unfinished(self) -> Iterator[Record]:
        """All that is in hand."""
        for at in self._partitions.values():
            yield from at.unfinished.values()

    def oldest(self, partition: TopicPartition) -> Record | None:
        """The oldest unfinished message of a partition."""
        at = self._partitions.get(partition)
        return next(iter(at.unfinished.values()), None) if at is not None else None
