"""Records as Kafka hands them out."""

from collections.abc import Sequence

from shared.contract.envelope import Outgoing
from shared.contract.topics import CLAIM_COMMANDS
from shared.messaging.memory import MemoryRecord
from tests.builders.moments import TUESDAY_EVENING


def record(
    *,
    topic: str = CLAIM_COMMANDS.name,
    partition: int = 0,
    offset: int = 0,
    timestamp: int = int(TUESDAY_EVENING.timestamp() * 1000),
    key: bytes | None = None,
    value: bytes | None = None,
    headers: Sequence[tuple[str, bytes]] = (),
) -> MemoryRecord:
    """Make a record; its timestamp is an append time in milliseconds since 1970 UTC."""
    return MemoryRecord(topic, partition, offset, timestamp, key, value, headers)


def record_of(message: Outgoing) -> MemoryRecord:
    """Read a message back as it was published."""
    return record(topic=message.topic, key=message.key.encode(), value=message.value, headers=list(message.headers))
