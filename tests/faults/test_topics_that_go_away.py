"""A company's topics are deleted while they are in use, and made again: the other companies notice nothing."""

import json
from collections.abc import Callable

import pytest
from confluent_kafka.admin import AdminClient

from operations.bus import Company, NewRequest
from operations.connection import Connection
from operations.dead_letters import DeadLetters
from operations.provisioning import provision_companies
from shared.contract.topics import EVENTS, REQUESTS
from tests.world import World, wait_until

pytestmark = pytest.mark.promise(
    "A company's topics can be deleted and made again while in use: nobody else notices.", about="running"
)

_UNDER_WAY = 300

Delete = Callable[[str], None]


@pytest.fixture
def delete(connection: Connection) -> Delete:
    """Delete a topic."""
    admin = AdminClient(connection.client())

    def delete(topic: str) -> None:
        admin.delete_topics([topic])[topic].result(30)
        wait_until(lambda: topic not in admin.list_topics(timeout=10).topics, what=f"{topic} to be gone")

    return delete


def test_copies_for_a_company_whose_events_topic_is_deleted_become_dead_letters_and_others_get_theirs(
    world: World, delete: Delete
) -> None:
    topic = EVENTS.of(world.other_id)
    world.other.ask(*_refused(world))  # delivery has published to the topic, and knows it
    world.other.send(_refused(world, _UNDER_WAY))
    delete(topic)
    behind = _refused(world, 10)
    world.other.send(behind)
    world.create()
    wait_until(
        lambda: {request.id for request in behind} <= _put_aside(world, topic), what="the dead letters of the copies"
    )

    provision_companies(world.connection, [world.other_id])
    _outcome_arrives(world)
    world.create()


def test_a_company_whose_requests_topic_is_deleted_holds_up_no_other(world: World, delete: Delete) -> None:
    world.other.ask(*_refused(world))
    world.other.send(_refused(world, _UNDER_WAY))
    delete(REQUESTS.of(world.other_id))
    for _ in range(3):
        world.create()

    provision_companies(world.connection, [world.other_id])
    _outcome_arrives(world)
    world.create()


def _refused(world: World, count: int = 1) -> list[NewRequest]:
    """Requests of an office that may never create a claim."""
    return [world.creation(office=world.other_office) for _ in range(count)]


def _outcome_arrives(world: World) -> None:
    with Company(world.connection, world.other_id) as again:
        (outcome,) = again.ask(*_refused(world))
    assert outcome.body["code"] == "never_permitted"


def _put_aside(world: World, topic: str) -> set[str]:
    """The requests whose outcomes have no topic to go to."""
    letters = DeadLetters(world.connection).open()
    return {json.loads(x.value)["request_id"] for x in letters if x.value and topic in x.reason}
