"""Nothing is lost and nothing happens twice, whatever is killed (domain rule 21)."""

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from operations.bus import Delivered, NewRequest
from operations.groups import Groups
from operations.services import REGISTRY
from operations.stack import Stack
from operations.under_way import wait_until_finished
from shared.contract import ids
from shared.contract.topics import CLAIM_COMMANDS
from tests.locks import has_ended, nobody_reads, nobody_writes
from tests.world import World, metric, wait_until

REQUESTS = 1000


@pytest.mark.promise(
    "Each request id of a company has one outcome and one effect: 1,000 requests while each of the seven "
    "services is killed, and while Kafka and PostgreSQL are.",
    about="requests",
)
def test_a_thousand_requests_survive_the_killing_of_each_service(stack: Stack, world: World) -> None:
    creations = [world.creation() for _ in range(REQUESTS)]
    amendments = [
        NewRequest("amend-claim", {"claim_id": str(ids.claim_id(world.partner_id, c.id)), "policy_number": "P-1"})
        for c in creations[:200]
    ]
    requests = creations + amendments
    victims = iter(REGISTRY)
    for part in _parts(requests, len(REGISTRY) + 1):
        world.partner.send(part)
        victim = next(victims, None)
        if victim is not None:
            # In the middle of it: some of this part is answered and the rest is not.
            _wait_for_more_than(_outcomes(world), stack, world)
            (instance,) = stack.of(victim)
            assert instance.pid is not None
            os.kill(instance.pid, signal.SIGKILL)
    _check_all(stack, world, requests)


@pytest.mark.promise(
    "Each request id of a company has one outcome and one effect: 1,000 requests while each of the seven "
    "services is killed, and while Kafka and PostgreSQL are.",
    about="requests",
)
def test_a_thousand_requests_survive_the_killing_of_postgresql(stack: Stack, world: World) -> None:
    _check_with(stack, world, stack.postgres.kill)


@pytest.mark.promise(
    "Each request id of a company has one outcome and one effect: 1,000 requests while each of the seven "
    "services is killed, and while Kafka and PostgreSQL are.",
    about="requests",
)
def test_a_thousand_requests_survive_the_killing_of_kafka(stack: Stack, world: World) -> None:
    _check_with(stack, world, stack.kafka.kill)


def test_an_instance_that_wakes_up_after_its_partitions_were_given_away_changes_nothing(
    stack: Stack, world: World
) -> None:
    """It wakes while Kafka hangs, so that it cannot be told before it has decided again what it has in hand."""
    (claims,) = stack.of("claims")
    assert claims.pid is not None
    requests = [world.creation() for _ in range(REQUESTS)]
    with nobody_writes(world.connection, "claims", "requests") as waiting:
        world.partner.send(requests[:500])
        wait_until(lambda: len(waiting()) == 1, what="it to be in the middle of a batch")
        os.kill(claims.pid, signal.SIGSTOP)
    second = stack.add("claims")
    try:
        world.partner.send(requests[500:])
        world.partner.wait_until(lambda _: _outcomes(world) >= REQUESTS, timeout_s=120, what="the second to do all")
        wait_until_finished(world.connection)
        committed = _committed(world)
        os.kill(stack.kafka.pid, signal.SIGSTOP)
        with nobody_reads(world.connection, "claims", "requests") as waiting:
            os.kill(claims.pid, signal.SIGCONT)
            wait_until(lambda: len(waiting()) == 1, what="it to have decided in vain, and to try again")
            (process,) = waiting()
        wait_until(lambda: has_ended(world.connection, "claims", process), what="it to publish")
        os.kill(stack.kafka.pid, signal.SIGCONT)
        wait_until(lambda: metric(claims, "claimbus_in_hand") == 0, what="it to have nothing more in hand")
        assert _committed(world) == committed
        more = [world.creation() for _ in range(100)]
        world.partner.ask(*more, timeout_s=60)
        requests += more
        world.settle()
        _check_all(stack, world, requests)
    finally:
        os.kill(stack.kafka.pid, signal.SIGCONT)
        os.kill(claims.pid, signal.SIGCONT)
        stack.remove(second)


def _check_with(stack: Stack, world: World, kill: Callable[[], None]) -> None:
    requests = [world.creation() for _ in range(REQUESTS)]
    world.partner.send(requests[:500])
    _wait_for_more_than(0, stack, world)
    kill()
    wait_until(lambda: bool(stack.watch()), what="it to be started again")
    world.partner.send(requests[500:])
    _check_all(stack, world, requests)


def _check_all(stack: Stack, world: World, requests: list[NewRequest]) -> None:
    """Every request has one outcome and one claim, every version is there, and what was repeated is the same."""
    wanted = {request.id for request in requests}

    def complete() -> bool:
        stack.watch()
        world.partner.read()
        outcomes = [m for m in world.partner.received if m.is_outcome]
        events = {m.id for m in world.partner.received if not m.is_outcome}
        return {o.body["request_id"] for o in outcomes} >= wanted and len(events) >= len(wanted)

    wait_until(complete, what=f"{len(wanted)} outcomes and claims", timeout_s=120)
    by_id: dict[tuple[str, str], list[Delivered]] = {}
    for message in world.partner.received:
        by_id.setdefault((message.type, message.id), []).append(message)
    assert all(m.body == same[0].body for same in by_id.values() for m in same)
    outcomes = Counter(m.body["request_id"] for m in (same[0] for same in by_id.values()) if m.is_outcome)
    assert set(outcomes) == wanted
    assert set(outcomes.values()) == {1}
    versions: dict[str, list[int]] = {}
    for same in by_id.values():
        if not same[0].is_outcome:
            versions.setdefault(same[0].body["claim_id"], []).append(same[0].body["version"])
    assert len(versions) == sum(request.name == "create-temporary-claim" for request in requests)
    assert all(seen == list(range(1, len(seen) + 1)) for seen in versions.values()), "versions in order, without gaps"
    assert sum(map(len, versions.values())) == len(wanted)


def _wait_for_more_than(outcomes: int, stack: Stack, world: World) -> None:
    """Wait until the partner has more outcomes, and so the services are at work; what died is started again."""

    def at_work() -> bool:
        stack.watch()
        world.partner.read()
        return _outcomes(world) > outcomes

    wait_until(at_work, what=f"more than {outcomes} outcomes")


def _committed(world: World) -> dict[tuple[str, int], int]:
    """The offsets that claims has committed."""
    with Groups(world.connection) as groups:
        return groups.committed("claims", [(CLAIM_COMMANDS.name, n) for n in range(CLAIM_COMMANDS.partitions)])


def _outcomes(world: World) -> int:
    return sum(message.is_outcome for message in world.partner.received)


def _parts(requests: list[NewRequest], number: int) -> Iterator[list[NewRequest]]:
    size = len(requests) // number
    for start in range(0, len(requests), size):
        yield requests[start : start + size]


@pytest.fixture(autouse=True)
def _whole_again(stack: Stack) -> Iterator[None]:
    yield
    stack.watch()
    wait_until(lambda: all(i.pid is not None for i in stack.instances) or bool(stack.watch()), what="all to run")
    stack.wait_until_ready()
