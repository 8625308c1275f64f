"""What a service's producer asks the brokers for."""

import uuid

from confluent_kafka.admin import AdminClient, NewTopic
from pydantic import SecretStr

from operations.connection import Connection
from shared.contract.envelope import Outgoing
from shared.contract.topics import DEAD_LETTERS, OPERATOR
from shared.messaging.publisher import Publisher
from shared.runtime.settings import ServiceSettings


async def test_a_producer_asks_for_what_it_publishes_to_and_not_for_all_that_the_cluster_has(
    connection: Connection,
) -> None:
    one, another, foreign = topics = [f"publisher-{uuid.uuid4()}" for _ in range(3)]
    admin = AdminClient(connection.client())
    for done in admin.create_topics([NewTopic(topic, 1, 1) for topic in topics]).values():
        done.result(30)
    settings = ServiceSettings(
        bootstrap_servers=connection.bootstrap_servers,
        username=OPERATOR,
        password=SecretStr(connection.companies[OPERATOR].password),
    )
    publisher = Publisher(settings)
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


async def topics_of(publisher: Publisher) -> set[str]:
    """The topics that the producer knows after it has asked again."""
    await publisher.ping()
    producer = await publisher._started()
    return set(producer.client.cluster.topics())
