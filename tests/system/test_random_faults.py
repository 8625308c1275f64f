"""A minute of random faults, always the same ones, of nearly every kind."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.random_faults.running import run
from tests.random_faults.schedule import Kind, schedule
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
    assert {fault.kind for fault in schedule(SEED, 600)} == set(Kind)
