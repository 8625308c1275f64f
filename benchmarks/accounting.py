"""What processes cost, from the kernel's own accounting: CPU time with all children, and resident memory.

A process's children count with it, those that have ended too: PostgreSQL has a process for each connection, and the
kernel adds what an ended child has used to the parent that waited for it.
"""

import os
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_KIB_PER_MIB = 1024

Processes = Mapping[str, Collection[int]]
"""Process ids by the name under which they are accounted for."""


@dataclass(frozen=True)
class ProcessTimes:
    """A line of /proc/<pid>/stat; times are in ticks."""

    pid: int
    parent: int
    own: int
    ended_children: int

    @property
    def all(self) -> int:
        """Its own, and that of its children that have ended."""
        return self.own + self.ended_children


def process_times(stat: str) -> ProcessTimes:
    """Read /proc/<pid>/stat. A program's name, in brackets, may itself have brackets and spaces."""
    pid, _, rest = stat.partition(" (")
    fields = rest[rest.rindex(")") + 2 :].split()
    user, system, children_user, children_system = (int(field) for field in fields[11:15])
    return ProcessTimes(int(pid), int(fields[1]), user + system, children_user + children_system)


def busy_ticks(stat: str) -> int:
    """Read from /proc/stat how long all cores have done something, for whomever (guests are in user time)."""
    user, nice, system, _idle, _waiting, interrupts, soft_interrupts, stolen = (
        int(field) for field in stat.split("\n", 1)[0].split()[1:9]
    )
    return user + nice + system + interrupts + soft_interrupts + stolen


def tree(root: int, times: Mapping[int, ProcessTimes]) -> set[int]:
    """A process with all that descend from it."""
    found = {root} & times.keys()
    while more := {each.pid for each in times.values() if each.parent in found} - found:
        found |= more
    return found


def resident_kib(statuses: Collection[str]) -> int:
    """Read the memory of processes from /proc/<pid>/status; what they share with each other counts once."""
    fields = [dict(line.split(":", 1) for line in status.splitlines() if ":" in line) for status in statuses]

    def kib(each: Mapping[str, str], name: str) -> int:
        return int(each.get(name, "0 kB").split()[0])

    shared = [kib(each, "RssShmem") for each in fields]
    return sum(kib(each, "VmRSS") for each in fields) - sum(shared) + max(shared, default=0)


@dataclass(frozen=True)
class Usage:
    """What was used between two looks."""

    seconds: float
    cpu_s: dict[str, float]
    other_s: float
    """CPU seconds of everything that is not accounted for."""

    @property
    def other_cores(self) -> float:
        """How many cores other work kept busy."""
        return max(0.0, self.other_s) / self.seconds


@dataclass(frozen=True)
class Look:
    """The counters at a moment."""

    at: float
    cpu: dict[str, int]
    busy: int
    itself: int

    def since(self, earlier: "Look") -> Usage:
        """What was used since an earlier look; a process that was not looked at then is taken for a new one."""
        cpu_s = {name: (ticks - earlier.cpu.get(name, 0)) / _TICKS_PER_S for name, ticks in self.cpu.items()}
        ours = sum(cpu_s.values()) + (self.itself - earlier.itself) / _TICKS_PER_S
        return Usage(self.at - earlier.at, cpu_s, (self.busy - earlier.busy) / _TICKS_PER_S - ours)


def look(processes: Processes) -> Look:
    """Read the counters of processes now. Raises ProcessLookupError if one of them is gone."""
    times = {each.pid: each for each in _all_times()}
    cpu = {}
    for name, pids in processes.items():
        if gone := set(pids) - times.keys():
            raise ProcessLookupError(f"{name} has ended: {gone}")
        cpu[name] = sum(times[pid].all for root in pids for pid in tree(root, times))
    itself = times[os.getpid()].own
    return Look(time.monotonic(), cpu, busy_ticks((_PROC / "stat").read_text()), itself)


def memory_mib(processes: Processes) -> dict[str, float]:
    """Each one's resident memory now, with that of its children."""
    times = {each.pid: each for each in _all_times()}
    return {
        name: round(sum(resident_kib(_statuses(tree(root, times))) for root in pids) / _KIB_PER_MIB, 1)
        for name, pids in processes.items()
    }


def _all_times() -> Iterator[ProcessTimes]:
    for folder in _PROC.iterdir():
        if folder.name.isdecimal() and (stat := _read(folder / "stat")):
            yield process_times(stat)


def _statuses(pids: Collection[int]) -> list[str]:
    return [status for pid in pids if (status := _read(_PROC / str(pid) / "status"))]


def _read(file: Path) -> str | None:
    """Read a file of a process, which may have ended meanwhile."""
    try:
        return file.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
