"""A run: clients and faults for a while, then none of them, and whether all has come to what it must."""

import contextlib
import json
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from operations.connection import write_privately
from operations.stack import Stack
from operations.under_way import wait_until_finished
from tests.random_faults.clients import Client, insurers_requests, partners_requests
from tests.random_faults.crashing import CRASHING_WHILE, PLACES
from tests.random_faults.network import PostgresBehindProxy, Proxy
from tests.random_faults.schedule import KAFKA, POSTGRES, Fault, Kind, schedule
from tests.world import World, Worlds, claimbus

_TURN_S = 0.1
_LATE_S = 0.05
_WATCH_EVERY_S = 0.2
_CRASH_ON_ONE_IN = 150
"""Publishes; a service makes a few each second."""
_RECOVERY_S = 300.0
"""The session timeout, twice the longest pause of a retry, and what is left to do, however busy the machine."""
SOMETIMES = {
    "batch is tried again": "a batch was tried again",
    "what is in hand is given up, and read again by whoever reads on": "partitions were revoked in mid-batch",
    "offsets were not committed": "offsets were not committed",
    "the reader is made anew": "a reader was made anew",
    **{place: f"crashed: {place}" for place in PLACES},
}
"""What a run has to have provoked, by what services log then."""


@dataclass
class Found:
    """What became of a run."""

    seed: int
    faults: Sequence[Fault]
    requests: int = 0
    provoked: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"seed {self.seed}: {self.requests} requests, {len(self.faults)} faults"]
        lines += [f"  {name}: {count}" for name, count in sorted(self.provoked.items())]
        lines += [f"  VIOLATED: {violation}" for violation in self.violations]
        return "\n".join(lines)


def run(folder: Path, seed: int, seconds: float, report: Callable[[str], None] = lambda _: None) -> Found:
    """Run a stack, clients and faults for so many seconds; what is found is returned, not raised."""
    found = Found(seed, schedule(seed, seconds))
    crashing = folder / "crashing"
    os.environ[CRASHING_WHILE] = str(crashing)
    stack = Stack(
        folder,
        {"claims": 2, "permissions": 2},
        postgres=PostgresBehindProxy,
        module_of=lambda _: "tests.random_faults.crashing",
    )
    try:
        stack.start()
        assert isinstance(stack.postgres, PostgresBehindProxy)
        assert stack.postgres.proxy is not None
        faulty = _Faulty(stack, stack.postgres.proxy, report)
        worlds = [Worlds(2).next(stack.connection) for _ in range(2)]
        clients = list(_clients(stack, worlds, seed))
        with _watched(stack):
            crashing.write_text(str(_CRASH_ON_ONE_IN))
            crashing.chmod(0o644)
            _torment(clients, faulty, found, seconds)
            crashing.unlink()
            faulty.end()
            _let_finish(stack, clients, found)
            found.violations += _audited(stack, folder / "audit.json")
        found.requests = sum(len(client.asked) for client in clients)
        found.violations += [each for client in clients for each in _broken(client)]
        found.provoked += _provoked(folder / "logs") + Counter(faulty.done)
        found.provoked["the answer to a COMMIT was lost"] = faulty.proxy.answers_dropped
        for world in worlds:
            world.close()
    finally:
        stack.stop()
        proxy = getattr(getattr(stack, "postgres", None), "proxy", None)
        if proxy is not None:
            proxy.close()
    return found


def _clients(stack: Stack, worlds: Sequence[World], seed: int) -> Iterator[Client]:
    for number, world in enumerate(worlds):
        chance, run = random.Random(f"{seed}/{number}"), f"seed{seed}:{number}"
        client, is_patient = stack.connection.client, number == 0
        requests = partners_requests(world, chance, f"{run}:p")
        partner = Client(world.partner, requests, client(world.partner_id), is_patient=is_patient)
        yield partner
        requests = insurers_requests(world, partner, chance, f"{run}:i")
        yield Client(world.insurer, requests, client(world.insurer_id), is_patient=is_patient)


def _torment(clients: Sequence[Client], faulty: "_Faulty", found: Found, seconds: float) -> None:
    began = time.monotonic()
    waiting = list(found.faults)
    chance = random.Random(found.seed)
    while (now := time.monotonic() - began) < seconds:
        while waiting and waiting[0].at_s <= now:
            faulty.begin(waiting.pop(0))
        faulty.end_what_is_over()
        for client in clients:
            client.send(chance.randrange(4))
            client.read()
        time.sleep(_TURN_S)


def _let_finish(stack: Stack, clients: Sequence[Client], found: Found) -> None:
    """Wait until everything is ready and nothing is under way; what does not get there is a violation."""
    for client in clients:
        client.finish()
    deadline = time.monotonic() + _RECOVERY_S
    left = len(clients)
    while left and time.monotonic() < deadline:
        for client in clients:
            client.send(0)
            client.read()
        left = sum(len(client.unanswered()) for client in clients)
        time.sleep(_TURN_S)
    try:
        wait_until_finished(stack.connection, timeout_s=max(10.0, deadline - time.monotonic()))
        stack.wait_until_ready(patience_s=max(10.0, deadline - time.monotonic()))
    except Exception as error:  # noqa: BLE001 - whatever it is, it did not get there
        found.violations.append(f"not well {_RECOVERY_S:g} s after the last fault: {error}")
    for client in clients:
        client.read()


def _audited(stack: Stack, connection_file: Path) -> Sequence[str]:
    """What `claimbus audit` finds broken in topics and tables."""
    write_privately(connection_file, stack.connection.model_dump_json())
    done = claimbus("audit", connection_file=connection_file)
    return [] if done.returncode == 0 else [done.stdout + done.stderr]


def _broken(client: Client) -> Iterator[str]:
    """What a company's own history contradicts."""
    for asked in client.asked.values():
        if len(asked.outcomes) != 1:
            yield f"{client.id} has {len(asked.outcomes)} different outcomes: {asked}"
        created = asked.request.name == "create-temporary-claim" and any(o.accepted for o in asked.outcomes)
        if created and asked.outcomes[0].body["claim_id"] not in client.events:
            yield f"{client.id} was never told of the claim of {asked}"
    for claim, versions in client.events.items():
        if versions != list(range(versions[0], versions[0] + len(versions))):
            yield f"{client.id} met claim {claim}'s events in the order {versions}"


def _provoked(logs: Path) -> Counter[str]:
    """Count what services say that they went through; a line that a kill broke off says nothing."""
    events: Counter[str] = Counter()
    for log in logs.glob("*.log"):
        for line in log.read_text(errors="replace").splitlines():
            with contextlib.suppress(ValueError, AttributeError):
                events[json.loads(line).get("event")] += 1
    return Counter({told: events[event] for event, told in SOMETIMES.items()})


class _Faulty:
    """Begins faults and ends them."""

    def __init__(self, stack: Stack, proxy: Proxy, report: Callable[[str], None]) -> None:
        self.proxy = proxy
        self.done: Counter[str] = Counter()
        self._stack = stack
        self._report = report
        self._chance = random.Random(0)
        self._ends: list[tuple[float, Callable[[], None]]] = []

    def begin(self, fault: Fault) -> None:
        """Begin one; what is not there at the moment is passed over."""
        self._report(str(fault))
        end = self._begun(fault)
        if end is not None:
            self.done[fault.kind.value] += 1
            self._ends.append((time.monotonic() + fault.for_s, end))

    def end_what_is_over(self) -> None:
        """End those whose time is over."""
        now = time.monotonic()
        over = [end for at, end in self._ends if at <= now]
        self._ends = [(at, end) for at, end in self._ends if at > now]
        for end in over:
            end()

    def end(self) -> None:
        """End them all."""
        for _, end in self._ends:
            end()
        self._ends = []

    def _begun(self, fault: Fault) -> Callable[[], None] | None:
        proxy = self.proxy
        if fault.kind is Kind.ADD:
            instance = self._stack.add(fault.target)
            return lambda: self._stack.remove(instance)
        if fault.kind is Kind.CUT:
            proxy.refusing = True
            proxy.cut()
            return lambda: setattr(proxy, "refusing", False)
        if fault.kind in _SWITCHES:
            name, on, off = _SWITCHES[fault.kind]
            setattr(proxy, name, on)
            return lambda: setattr(proxy, name, off)
        pid = self._process(fault.target)
        if pid is None:
            return None
        if fault.kind is Kind.KILL:
            if fault.target in (KAFKA, POSTGRES):
                getattr(self._stack, fault.target).kill()
            else:
                _signal([pid], signal.SIGKILL)
            return lambda: None
        family = [pid, *_children(pid)]
        _signal(family, signal.SIGSTOP)
        return lambda: _signal(family, signal.SIGCONT)

    def _process(self, target: str) -> int | None:
        if target in (KAFKA, POSTGRES):
            server = getattr(self._stack, target)
            return server.pid if server.is_running() else None
        running = [instance.pid for instance in self._stack.of(target) if instance.pid is not None]
        return self._chance.choice(running) if running else None


_SWITCHES = {
    Kind.STALL: ("stalled", True, False),
    Kind.DROP_ANSWERS: ("dropping_answers", True, False),
    Kind.SLOW: ("late_s", _LATE_S, 0.0),
}


@contextlib.contextmanager
def _watched(stack: Stack) -> Iterator[None]:
    """Start again what has died, as `claimbus up` does."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_WATCH_EVERY_S):
            stack.watch()

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield
    finally:
        over.set()
        watching.join()


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _signal(processes: Sequence[int], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)
