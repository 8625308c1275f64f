"""What reports count is counted once, whatever is killed and however many instances there are."""

import os
import signal
from collections.abc import Iterator

import pytest

from operations.directory_view import directory_from_bus
from services.reporting.closing import periods_of
from services.reporting.rules import Period
from shared.contract.reports import Figures
from tests.system.reports.conftest import Reporting
from tests.world import World, wait_until

CLAIMS = 600


@pytest.fixture
def world(reporting: Reporting) -> Iterator[World]:
    world = World(reporting.connection)
    yield world
    world.close()


@pytest.fixture
def _two_instances(reporting: Reporting) -> Iterator[None]:
    second = reporting.stack.add("reporting")
    reporting.stack.wait_until_ready()
    yield
    reporting.stack.remove(second)


@pytest.mark.usefixtures("_two_instances")
def test_each_claim_is_counted_once_while_instances_of_reporting_are_killed(reporting: Reporting, world: World) -> None:
    stack = reporting.stack
    period = next(periods_of(directory_from_bus(reporting.connection), world.insurer_id))
    creations = [world.creation(tasks=[{"kind": "first_aid"}]) for _ in range(CLAIMS)]
    for part in range(2):
        world.partner.send(creations[part * CLAIMS // 2 : (part + 1) * CLAIMS // 2])
        victim = stack.of("reporting")[part]
        wait_until(lambda: counted(reporting, world, period).created.total > 0, what="some of it to be counted")
        assert victim.pid is not None
        os.kill(victim.pid, signal.SIGKILL)
        wait_until(lambda v=victim: v.pid is None, what="its end")  # type: ignore[misc]
        stack.watch()
    outcomes = world.partner.ask(*creations)  # sent again: with the same outcomes
    converted = [world.conversion(outcome.body["claim_id"], f"N-{n}") for n, outcome in enumerate(outcomes[::3])]
    assert all(outcome.accepted for outcome in world.insurer.ask(*converted))
    wait_until(lambda: bool(stack.watch()) or all(i.pid for i in stack.of("reporting")), what="all instances")
    reporting.all_read()
    figures = counted(reporting, world, period)
    assert (figures.created.total, figures.converted, figures.waiting) == (CLAIMS, CLAIMS // 3, CLAIMS - CLAIMS // 3)
    assert figures.tasks.assigned == CLAIMS


def counted(reporting: Reporting, world: World, period: Period) -> Figures:
    return reporting.in_database(lambda t: t.counting.figures(world.insurer_id, period, closed_at=None))
