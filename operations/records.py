"""Records as operators' commands read them, with confluent-kafka, in the form in which the services have them."""

import time
from dataclasses import dataclass
from typing import cast

from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, Consumer, KafkaException, Message, TopicPartition

from operations.connection import Connection, Unreachable
from operations.patience import ask
from shared.contract.envelope import Headers
from shared.contract.topics import OPERATOR

_TIMEOUT_S = 15.0
_POLL_S = 0.05
"""consume() waits for as many messages as it may return: this is what reading the last ones takes."""


@dataclass
class ReadRecord:
    """A record as the services have it, of a message that confluent-kafka read."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: Headers

    @classmethod
    def of(cls, message: Message) -> "ReadRecord":
        """Turn a message into a record."""
        kind, timestamp = message.timestamp()
        headers = cast("list[tuple[str, bytes | None]]", message.headers() or [])
        return cls(
            topic=str(message.topic()),
            partition=int(message.partition() or 0),
            offset=int(message.offset() or 0),
            timestamp=timestamp,
            timestamp_type=1 if kind == TIMESTAMP_LOG_APPEND_TIME else 0,
            key=_bytes(message.key()),
            value=_bytes(message.value()),
            headers=[(name, value or b"") for name, value in headers],
        )


def read_all(connection: Connection, topic: str) -> list[ReadRecord]:
    """Read a topic of one partition to its end, as the operator. Raises Unreachable."""
    problems: list[str] = []
    client = connection.client() | {"group.id": f"{OPERATOR}.claimbus", "enable.auto.commit": False}
    consumer = Consumer(client | {"error_cb": lambda error: problems.append(error.str())})
    records: list[ReadRecord] = []
    try:
        partition = TopicPartition(topic, 0)
        first, end = ask(lambda wait_s: consumer.get_watermark_offsets(partition, timeout=wait_s), _TIMEOUT_S)
        consumer.assign([TopicPartition(topic, 0, first)])
        deadline = time.monotonic() + _TIMEOUT_S
        while first < end and not (records and records[-1].offset + 1 >= end):
            if time.monotonic() > deadline:
                raise Unreachable(f"the brokers stopped answering before the end of {topic}")
            for message in consumer.consume(1000, _POLL_S):
                if message.error() is not None:
                    raise Unreachable(f"{topic} cannot be read: {message.error()}")
                records.append(ReadRecord.of(message))
                deadline = time.monotonic() + _TIMEOUT_S
    except KafkaException as error:
        consumer.poll(0)  # to hear what the problem was, such as a wrong password
        raise Unreachable(f"the bus cannot be reached: {[*problems, error.args[0].str()][0]}") from error
    finally:
        consumer.close()
    return records


def _bytes(content: str | bytes | None) -> bytes | None:
    return content.encode() if isinstance(content, str) else content
