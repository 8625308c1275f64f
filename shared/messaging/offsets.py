"""What of each partition is in hand, and up to where it can be committed."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from aiokafka import TopicPartition

from shared.messaging.record import Record


@dataclass(slots=True)
class _Partition:
    committed: int
    """What is committed, or where it began to be read."""
    read_to: int = 0
    unfinished: dict[int, Record] = field(default_factory=dict)
    """By offset, in their order."""

    @property
    def finished_to(self) -> int:
        return next(iter(self.unfinished), self.read_to)


class OffsetsInHand:
    """The partitions of which something is unfinished, or finished and not committed."""

    def __init__(self) -> None:
        self._partitions: dict[TopicPartition, _Partition] = {}

    def take(self, records: Iterable[Record]) -> None:
        """Note that these are in hand.

        A partition goes back when its topic was made again, or has lost its end: what was known of it says nothing of
        what comes now.
        """
        for record in records:
            partition = TopicPartition(record.topic, record.partition)
            at = self._partitions.get(partition)
            if at is None or record.offset < at.read_to:
                at = self._partitions[partition] = _Partition(committed=record.offset)
            at.read_to = record.offset + 1
            at.unfinished[record.offset] = record

    def finish(self, records: Iterable[Record]) -> None:
        """Note that these need nothing more."""
        for record in records:
            at = self._partitions.get(TopicPartition(record.topic, record.partition))
            if at is not None and at.unfinished.get(record.offset) is record:
                del at.unfinished[record.offset]

    def ready(self) -> dict[TopicPartition, int]:
        """The offsets to commit: of each partition its oldest unfinished message, where that is another one now."""
        ends = {partition: at.finished_to for partition, at in self._partitions.items()}
        return {partition: end for partition, end in ends.items() if end != self._partitions[partition].committed}

    def committed(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Note what was committed."""
        for partition, end in offsets.items():
            at = self._partitions.get(partition)
            if at is not None:
                at.committed = end
                if end == at.read_to and not at.unfinished:
                    del self._partitions[partition]

    def forget(self) -> None:
        """Forget all of it, when nothing is in hand: it is read again from what is committed, here or elsewhere."""
        self._partitions.clear()

    def unfinished(self) -> Iterator[Record]:
        """All that is in hand."""
        for at in self._partitions.values():
            yield from at.unfinished.values()

    def oldest(self, partition: TopicPartition) -> Record | None:
        """The oldest unfinished message of a partition."""
        at = self._partitions.get(partition)
        return next(iter(at.unfinished.values()), None) if at is not None else None
