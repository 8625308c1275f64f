"""How far a service's database has come on each partition, kept in it beside what was decided.

A group's offsets are kept by Kafka. So a database that goes back behind them, since a fail-over lost its last commits
or an older one was restored, would lack for ever what was decided there, although its messages are out. Each batch's
transaction therefore moves the positions on with what it decides, and finds out whether they are where it left them.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from aiokafka import TopicPartition

from shared.messaging.record import Record


class Move(NamedTuple):
    """A partition that a batch takes from one position to another, or leaves where it is."""

    topic: str
    partition: int
    from_offset: int
    """The database has come as far as this at least, or has lost something."""
    to_offset: int


class Behind(Exception):
    """The database has not come as far as it had: it has lost what was decided since."""

    def __init__(self, lost: Mapping[TopicPartition, range]) -> None:
        """`lost` are the offsets of the messages whose outcome is no longer there."""
        self.lost = lost
        self.messages = sum(map(len, lost.values()))
        super().__init__(f"the database has lost what came of {self.messages} messages")


class Positions(ABC):
    """The positions of one service, in its database."""

    def __init__(self) -> None:
        self.moves: Sequence[Move] = ()
        """What the batch in hand moves."""
        self._known: dict[TopicPartition, int] = {}
        """How far the database had come when it was last looked at; of others nothing is known."""

    @abstractmethod
    async def check(self) -> None:
        """Make the moves in a transaction of their own. Raises Behind, and TryAgain where the database is away."""

    @abstractmethod
    async def recover(self, behind: Behind) -> Mapping[TopicPartition, int]:
        """Do what is to be done before it is read on; return from where. Raises TryAgain until that can be done."""

    def begin(self, committed: Mapping[TopicPartition, int]) -> None:
        """Note where the group has committed of the partitions that were assigned: as far the database had come."""
        self._known = dict(committed)

    def take(self, records: Iterable[Record]) -> None:
        """Have the next transaction move behind these."""
        ends: dict[TopicPartition, int] = {}
        for record in records:
            partition = TopicPartition(record.topic, record.partition)
            ends[partition] = max(record.offset + 1, ends.get(partition, 0))
        self.moves = [Move(at.topic, at.partition, self._known.get(at, 0), end) for at, end in ends.items()]

    def take_nothing(self) -> None:
        """Have the next transaction only find out whether the database is where it was."""
        self.moves = [Move(at.topic, at.partition, offset, offset) for at, offset in self._known.items()]

    def moved(self) -> None:
        """Note that the moves were made."""
        for move in self.moves:
            partition = TopicPartition(move.topic, move.partition)
            self._known[partition] = max(move.from_offset, move.to_offset)
