"""A reader that cannot read says so, and reads again when it can, without anybody's help."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from operations.connection import Connection
from operations.stack import Instance, Stack
from shared.contract.topics import CLAIM_COMMANDS, CLAIM_EVENTS, REQUESTS
from tests.world import World, metric, wait_until

pytestmark = pytest.mark.promise(
    "A service whose rights are taken away, or whose broker hangs or restarts ten times, says that it is not "
    "ready and reads again by itself.",
    about="running",
)

READ_BY = {
    "permissions": REQUESTS.prefix,
    "claims": CLAIM_COMMANDS.name,
    "linking": CLAIM_EVENTS.name,
    "delivery": CLAIM_EVENTS.name,
    "reporting": CLAIM_EVENTS.name,
    "portal": CLAIM_EVENTS.name,
    "suggestions": CLAIM_EVENTS.name,
}


@contextmanager
def denied(connection: Connection, resource: ResourceType, names: dict[str, str]) -> Iterator[None]:
    """Take each service's right to read its topic, or to be in its group, away for a while."""
    admin = AdminClient(connection.client())
    denials = [
        AclBinding(
            resource,
            name,
            ResourcePatternType.PREFIXED if name.endswith(".") else ResourcePatternType.LITERAL,
            f"User:{service}",
            "*",
            AclOperation.READ,
            AclPermissionType.DENY,
        )
        for service, name in names.items()
    ]
    for made in admin.create_acls(denials).values():
        made.result(30)
    try:
        yield
    finally:
        filters = [
            AclBindingFilter(
                d.restype, d.name, d.resource_pattern_type, d.principal, d.host, d.operation, d.permission_type
            )
            for d in denials
        ]
        for gone in admin.delete_acls(filters).values():
            gone.result(30)


def all_are(stack: Stack, *, ready: bool) -> Callable[[], bool]:
    return lambda: all(instance.is_ready() is ready for instance in stack.instances)


def is_as_before(stack: Stack, world: World) -> None:
    """All are ready, and a claim goes all the way, in the same processes."""
    wait_until(all_are(stack, ready=True), what="all services to be ready again")
    claim = world.create()
    world.event(world.insurer, "temporary-claim-created", claim.body["claim_id"])


def renewed(instance: Instance) -> float:
    """How often an instance has made a reader anew."""
    return metric(instance, "claimbus_consumers_renewed_total")


@pytest.fixture
def processes(stack: Stack, connection: Connection) -> Iterator[list[int | None]]:
    """The services' processes, which are the same after the test: nothing was helped by a restart."""
    before = [instance.pid for instance in stack.instances]
    yield before
    assert [instance.pid for instance in stack.instances] == before


@pytest.mark.parametrize("resource", [ResourceType.GROUP, ResourceType.TOPIC], ids=["group", "topic"])
def test_a_service_whose_right_is_taken_away_for_a_while_is_not_ready_and_reads_again(
    stack: Stack, world: World, processes: list[int], resource: ResourceType
) -> None:
    names = READ_BY if resource is ResourceType.TOPIC else {service: service for service in READ_BY}
    with denied(world.connection, resource, names):
        world.partner.send([world.creation()])
        wait_until(all_are(stack, ready=False), what="all services to say that they cannot read")
    is_as_before(stack, world)


def test_a_broker_that_is_restarted_ten_times_in_a_row_stops_no_reader(
    stack: Stack, world: World, processes: list[int]
) -> None:
    for end in (stack.kafka.kill, *(stack.kafka.stop,) * 9):  # one that was killed takes longest to be back
        end()
        stack.kafka.start()
    is_as_before(stack, world)


def test_a_broker_that_hangs_makes_instances_not_ready_and_they_read_again(
    stack: Stack, world: World, processes: list[int]
) -> None:
    before = {instance.name: renewed(instance) for instance in stack.instances}
    os.kill(stack.kafka.pid, signal.SIGSTOP)
    try:
        wait_until(all_are(stack, ready=False), what="all services to say that Kafka is away")
        wait_until(
            lambda: all(renewed(i) > before[i.name] for i in stack.instances), what="all readers to be made anew"
        )
    finally:
        os.kill(stack.kafka.pid, signal.SIGCONT)
    is_as_before(stack, world)
