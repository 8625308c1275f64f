"""The benchmark, with sizes that measure nothing: whoever is measured does the whole job, and that is looked at."""

from collections.abc import Iterator

import pytest

from benchmarks.contestants import Contestant, Peer, all_contestants
from benchmarks.installation import apply
from benchmarks.measures.storm import storm
from benchmarks.names import ROAD
from benchmarks.options import Options
from benchmarks.peers.registry import FLOOR
from operations.demo.command import DIRECTORY
from operations.directory_file import read_directory_file
from operations.stack import Stack


@pytest.fixture
def contestants(stack: Stack) -> Iterator[list[Contestant]]:
    stack.wait_until_ready()
    apply(stack, read_directory_file(DIRECTORY))
    yield [each for each in all_contestants(stack, [FLOOR]) if each.name in (FLOOR, ROAD)]
    for instance in stack.instances:
        if instance.pid is None:
            instance.start()


def test_the_floor_and_the_outcome_road_answer_and_store_every_claim(
    stack: Stack, contestants: list[Contestant]
) -> None:
    broken = Peer(stack, "broken", ["false"], stack.folder / "sample.json")  # is left out, and stops nobody
    rows = list(storm(stack, [broken, *contestants], Options(claims=50, rounds=1)))
    assert [row.case for row in rows] == [FLOOR, ROAD]
    for row in rows:
        assert row.figures["claims"] == 50
        assert row.cpu_ms.keys() == {"kafka", "postgres", "client", "permissions", "claims", "delivery"}
        assert all(mib > 0 for mib in row.memory_mib.values())
