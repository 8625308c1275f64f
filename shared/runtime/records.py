"""A record as it comes from Kafka."""

from collections.abc import Sequence
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
