"""A minute of random faults, always the same ones, of nearly every kind."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.random_faults.running import run
from tests.random_faults.schedule import Extra, Kind, schedule
from tests.shared_stack import new_folder

SEED, SECONDS = 6932, 38.0


@pytest.fixture
def emptied() -> Iterator[Path]:
    folder = new_folder()
    yield folder
    shutil.rmtree(folder)


@pytest.mark.promise(
    "Whatever is killed, hangs or is cut off at random, each request has one outcome, and all gets well by itself.",
    about="running",
)
def test_random_clients_and_random_faults_break_nothing(emptied: Path) -> None:
    found = run(emptied, SEED, SECONDS)
    assert not found.violations, str(found)
    assert not found.not_provoked, str(found)
    assert any(count for name, count in found.provoked.items() if name.startswith("crashed")), str(found)


def test_the_same_seed_makes_the_same_schedule() -> None:
    assert schedule(SEED, 600) == schedule(SEED, 600)
    assert schedule(SEED, 600) != schedule(SEED + 1, 600)


def test_a_run_has_every_kind_of_fault_and_those_that_are_extra_where_it_is_told_so() -> None:
    def kinds(*extras: Extra) -> set[Kind]:
        return {fault.kind for fault in schedule(SEED, 3600, extras)}

    assert kinds(*Extra) == set(Kind)
    of_extras = [kinds(extra) - kinds() for extra in Extra]
    assert all(of_extras)
    assert set(Kind) - kinds() == {kind for its in of_extras for kind in its}
