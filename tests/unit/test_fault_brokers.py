"""The cluster that faults are provoked on: its clocks, who leads its partitions, and when each fault happens."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from confluent_kafka.admin import ClusterMetadata, PartitionMetadata, TopicMetadata

from operations.services import REGISTRY
from tests.random_faults.brokers import CLOCKS_APART, LED_BY_ANOTHER, NOT_IN_SYNC, Leaders, NoClocks, make_clocks
from tests.random_faults.running import Found
from tests.random_faults.schedule import BROKERS, CONTROLLER, Extra, Kind, schedule

HOUR_S = 3600.0


def metadata(*partitions: tuple[int, list[int]]) -> ClusterMetadata:
    """What brokers say of a topic: who leads each of its partitions, and where there is a copy that is in sync."""
    cluster, topic = ClusterMetadata(), TopicMetadata()
    cluster.topics = {"claim-events": topic}
    for number, (leader, in_sync) in enumerate(partitions):
        topic.partitions[number] = PartitionMetadata()
        topic.partitions[number].leader, topic.partitions[number].isrs = leader, in_sync
    return cluster


def test_leaders_that_move_and_copies_that_fall_behind_are_counted() -> None:
    leaders = Leaders()
    leaders.look(metadata((2, [2, 3, 4]), (3, [3, 4])))
    assert not +leaders.provoked
    leaders.look(metadata((-1, [2]), (3, [3, 4, 2])))
    assert +leaders.provoked == {NOT_IN_SYNC: 1}
    leaders.look(metadata((4, [3, 4]), (3, [3, 4, 2])))
    leaders.look(metadata((4, [3, 4]), (3, [3, 4, 2])))
    assert +leaders.provoked == {NOT_IN_SYNC: 1, LED_BY_ANOTHER: 1}


def test_the_brokers_clocks_are_a_minute_apart(tmp_path: Path) -> None:
    if sys.platform != "linux" or shutil.which("cc") is None:
        with pytest.raises(NoClocks):
            make_clocks(tmp_path, seed=1)
        return
    clocks = make_clocks(tmp_path, seed=1)
    assert clocks.keys() == set(BROKERS)
    ahead: list[int] = []
    for library in clocks.values():
        before = time.time_ns()
        clock = [sys.executable, "-c", "import time; print(time.time_ns())"]
        shown = int(subprocess.run(clock, env=os.environ | {"LD_PRELOAD": str(library)}, stdout=-1, check=True).stdout)
        after = time.time_ns()
        ahead += [s for s in (-30, 0, 30) if before + s * 10**9 <= shown <= after + s * 10**9]
    assert sorted(ahead) == [-30, 0, 30]


def test_single_brokers_are_hit_where_there_are_several() -> None:
    nodes = {*BROKERS, CONTROLLER}
    assert not nodes & {fault.target for fault in schedule(1, HOUR_S, set(Extra) - {Extra.BROKERS})}
    killed = {fault.target for fault in schedule(1, HOUR_S, [Extra.BROKERS]) if fault.kind is Kind.KILL}
    assert nodes <= killed
    stalled = {fault.target for fault in schedule(1, HOUR_S, [Extra.BROKERS]) if fault.kind is Kind.STALL}
    assert nodes & stalled == set(BROKERS)


@pytest.mark.parametrize("seed", range(20))
def test_each_service_is_upgraded_once_and_back_before_the_faults_are_over(seed: int) -> None:
    faults = schedule(seed, HOUR_S, [Extra.UPGRADE])
    assert faults == sorted(faults, key=lambda fault: fault.at_s)
    upgrades = [fault for fault in faults if fault.kind is Kind.UPGRADE]
    assert sorted(fault.target for fault in upgrades) == sorted(REGISTRY)
    assert all(fault.for_s >= 0 and fault.at_s + fault.for_s < HOUR_S for fault in upgrades)
    assert [fault for fault in faults if fault not in upgrades] == schedule(seed, HOUR_S)


def test_a_run_that_provoked_nothing_of_brokers_and_versions_says_so() -> None:
    extras = [Extra.BROKERS, Extra.UPGRADE]
    found = Found(1, schedule(1, HOUR_S, extras), extras)
    expected = {CLOCKS_APART, LED_BY_ANOTHER, NOT_IN_SYNC, "leave one", "move leaders", "upgrade"}
    expected.add("an instance of the old version was started")
    assert expected <= set(found.not_provoked)
    found.provoked.update(dict.fromkeys(expected, 1))
    assert not expected & set(found.not_provoked)
    found.provoked.clear()
    found.leave_out(Kind.UPGRADE, "no older version is named")
    assert not {"upgrade", "an instance of the old version was started"} & set(found.not_provoked)
