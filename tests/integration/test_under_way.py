"""What is said to be under way between the services."""

import uuid

from confluent_kafka import OFFSET_END, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from operations.connection import Connection
from operations.under_way import ends_of
from shared.contract.topics import REQUESTS


def test_where_everything_was_deleted_nothing_is_left_to_read(connection: Connection) -> None:
    admin, topic = AdminClient(connection.client()), REQUESTS.of(f"deleted-{uuid.uuid4().hex[:8]}")
    admin.create_topics([NewTopic(topic, 3, 1)], operation_timeout=30)[topic].result(30)
    producer = Producer(connection.client())
    for partition in (0, 0, 1):
        producer.produce(topic, b"", partition=partition)
    assert not producer.flush(30)
    for deleted in admin.delete_records([TopicPartition(topic, 0, OFFSET_END)]).values():
        deleted.result(30)
    ends = ends_of(admin, ["permissions"])["permissions"]
    assert {partition: end for partition, end in ends.items() if partition[0] == topic} == {(topic, 1): 1}
