"""What the loop and the health of a service ask of a consumer, beside what FastStream itself does with it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from aiokafka import TopicPartition

Offsets = Mapping[TopicPartition, int]
"""The next offset to be read, by partition."""


@dataclass(frozen=True, slots=True)
class Place:
    """How far a partition that is assigned was fetched."""

    position: int | None
    """The next offset that a poll gives; None until it is known."""
    end: int | None
    """Where the partition ended at the last answer to a fetch; None before the first."""
    unanswered_s: float | None
    """How long ago that was."""


class GroupConsumer(Protocol):
    """A member of a consumer group."""

    polled_at: float
    """When a poll was last answered without an error, in seconds of `time.monotonic()`."""
    empty_since: float | None
    """Since when polls have brought nothing, likewise; None after one that has."""
    error: str | None
    """What the last poll failed with, by name."""

    def assignment(self) -> frozenset[TopicPartition]:
        """Tell the partitions that this instance reads."""

    async def commit_held(self, offsets: Offsets) -> bool:
        """Commit of partitions still held and still there; tell whether all of these are committed."""

    def pause(self, *partitions: TopicPartition) -> None:
        """Give no records of partitions, and stay in the group."""

    def resume(self, *partitions: TopicPartition) -> None:
        """Give them again."""

    def places(self) -> Mapping[TopicPartition, Place]:
        """Tell how far each assigned partition was fetched."""

    def coordination_problem(self) -> str | None:
        """Say what keeps it from being a member of its group that can go on, or None."""
