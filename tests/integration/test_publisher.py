"""What a service's producer asks the brokers for."""

import uuid

from confluent_kafka.admin import AdminClient, NewTopic
from pydantic import SecretStr

from operations.connection import Connection
from shared.contract.envelope import Outgoing
from shared.contract.topics import DEAD_LETTERS, MIB, OPERATOR
from shared.messaging.publisher import LARGEST_MESSAGE_BYTES, Publisher
from shared.runtime.settings import ServiceSettings


async def test_a_producer_asks_for_what_it_publishes_to_and_not_for_all_that_the_cluster_has(
    connection: Connection,
) -> None:
    one, another, foreign = topics = [f"publisher-{uuid.uuid4()}" for _ in range(3)]
    admin = AdminClient(connection.client())
    for done in admin.create_topics([NewTopic(topic, 1, 1) for topic in topics]).values():
        done.result(30)
    publisher = Publisher(settings_of(connection))
    try:
        await publisher.ping()
        assert await topics_of(publisher) == {DEAD_LETTERS.name}
        for published in ([one], [another, one]):
            await publisher.publish([Outgoing(topic, "a key", (), b"{}") for topic in published])
        assert await topics_of(publisher) == {DEAD_LETTERS.name, one, another}
        assert await publisher.missing({foreign}) == set()
        await publisher.publish([Outgoing(foreign, "a key", (), b"{}")])
    finally:
        await publisher.stop()


async def test_what_is_more_than_a_broker_takes_in_one_request_goes_in_several(connection: Connection) -> None:
    topics = [f"publisher-{uuid.uuid4()}" for _ in range(5)]
    large = {"max.message.bytes": str(LARGEST_MESSAGE_BYTES + MIB)}
    admin = AdminClient(connection.client())
    for done in admin.create_topics([NewTopic(topic, 1, 1, config=large) for topic in topics]).values():
        done.result(30)
    publisher = Publisher(settings_of(connection))
    try:
        await publisher.publish([Outgoing(topic, "a key", (), b"0" * 5 * MIB) for topic in topics])
    finally:
        await publisher.stop()


def settings_of(connection: Connection) -> ServiceSettings:
    return ServiceSettings(
        bootstrap_servers=connection.bootstrap_servers,
        username=OPERATOR,
        password=SecretStr(connection.companies[OPERATOR].password),
    )


async def topics_of(publisher: Publisher) -> set[str]:
    """The topics that the producer knows after it has asked again."""
    await publisher.ping()
    producer = await publisher._started()
    return set(producer.client.cluster.topics())
