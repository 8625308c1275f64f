"""CPU and memory by process, from the kernel's text."""

from benchmarks.accounting import Look, ProcessTimes, busy_ticks, process_times, resident_kib, tree

# Of a PostgreSQL: utime 15, stime 7, cutime 310, cstime 45.
_STAT = (
    "4711 (postgres: io (worker) 1) S 4000 4711 4711 0 -1 4194624 5000 90000 3 7 15 7 310 45 20 0 1 0 123456 "
    "230686720 2600 18446744073709551615 1 1 0 0 0 0 4194304 19935232 84487 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
)


def test_a_process_has_its_own_time_and_that_of_its_children_that_have_ended() -> None:
    times = process_times(_STAT)
    assert times == ProcessTimes(pid=4711, parent=4000, own=22, ended_children=355)
    assert times.all == 377


def test_a_tree_has_children_of_children_and_nobody_else() -> None:
    parents = {1: 0, 10: 1, 11: 10, 12: 11, 20: 1, 21: 20}
    times = {pid: ProcessTimes(pid, parent, 0, 0) for pid, parent in parents.items()}
    assert tree(10, times) == {10, 11, 12}
    assert tree(99, times) == set()


def test_the_machine_is_busy_with_all_but_idling_and_waiting() -> None:
    stat = "cpu  100 20 30 9000 400 5 6 7 50 10\ncpu0 50 10 15 4500 200 2 3 3 25 5\nintr 12345\n"
    assert busy_ticks(stat) == 100 + 20 + 30 + 5 + 6 + 7


def test_memory_that_processes_share_counts_once() -> None:
    statuses = [
        "Name:\tpostgres\nVmRSS:\t   30000 kB\nRssShmem:\t   20000 kB\n",
        "Name:\tpostgres\nVmRSS:\t   29000 kB\nRssShmem:\t   18000 kB\n",
    ]
    assert resident_kib(statuses) == 10_000 + 11_000 + 20_000


def test_a_process_without_memory_of_its_own_has_none() -> None:
    assert resident_kib(["Name:\tkworker\n"]) == 0


def test_what_is_not_accounted_for_is_other_work() -> None:
    earlier = Look(at=10.0, cpu={"kafka": 1000}, busy=50_000, itself=100)
    later = Look(at=20.0, cpu={"kafka": 1500, "new": 30}, busy=51_200, itself=110)
    usage = later.since(earlier)
    assert usage.seconds == 10.0
    assert usage.cpu_s == {"kafka": 5.0, "new": 0.3}
    assert round(usage.other_s, 9) == 6.6
    assert round(usage.other_cores, 9) == 0.66
