"""A record as it comes from Kafka."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


class Record(Protocol):
    """What we use of aiokafka's ConsumerRecord."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    """Milliseconds since 1970 UTC."""
    timestamp_type: int
    """1 is the broker's append time."""
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


@dataclass(slots=True)
class UndecodableRecord:
    """Stands for a record that Kafka's client cannot decode: only where it is is known. It stays on its topic."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    """When it was met, in milliseconds since 1970 UTC."""
    reason: str
    timestamp_type: int = 1
    key: bytes | None = None
    value: bytes | None = None
    headers: Sequence[tuple[str, bytes]] = ()
