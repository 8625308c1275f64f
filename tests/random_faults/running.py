"""A run: clients and faults for a while, then none of them, and whether all has come to what it must."""

import contextlib
import faulthandler
import json
import os
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from confluent_kafka import OFFSET_END, ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from operations.bus import Company, NewRequest
from operations.connection import write_privately
from operations.groups import Groups
from operations.provisioning import provision_companies
from operations.services import REGISTRY, WITH_DATABASE
from operations.stack import Instance, Stack
from operations.stack.servers import KafkaServer, Server
from operations.under_way import ends_of, wait_until_finished
from shared.audit.liveness import Look, lag_of, standstills
from shared.contract.topics import (
    CLAIM_COMMANDS,
    CLAIM_EVENTS,
    EVENTS,
    LINK_REQUESTS,
    REQUEST_OUTCOMES,
    REQUESTS,
    Topic,
)
from tests.random_faults.brokers import (
    CLOCKS_APART,
    LED_BY_ANOTHER,
    NOT_IN_SYNC,
    KafkaCluster,
    Leaders,
    NoClocks,
    make_clocks,
    move_leaders,
)
from tests.random_faults.clients import COPIED, Client, insurers_requests, partners_requests, refused_requests
from tests.random_faults.crashing import CRASHING_WHILE, PLACES
from tests.random_faults.network import KafkaBehindProxy, PostgresBehindProxy, Proxy, StoreProxy
from tests.random_faults.schedule import KAFKA, POSTGRES, SERVERS, STORE, Extra, Fault, Kind, schedule
from tests.random_faults.uploads import UPLOADED, Uploader
from tests.random_faults.version import OLD_VERSION, STARTED, NoOldVersion, OldVersion
from tests.s3 import BUCKET, s3_server
from tests.world import Names, World, Worlds, as_json, claimbus, register, wait_until

_TURN_S = 0.1
_LATE_S = 0.2
_PIECE = 64 * 1024
_FLOOD = 300
_DISK_MIB, _WAL_MIB = 768, 128
_UNREAD_S = 2.0
"""For so long nobody reads what is deleted then."""
_ERRAND_S = 10
_LOOK_EVERY_S = 2.0
_STANDSTILL_S = 70.0
"""A batch that is in hand for more than a minute makes its instance unready, and all else does so earlier."""
_WATCH_EVERY_S = 0.2
_CRASHING = "crashing"
"""The file in a stack's folder that is there while services end themselves."""
_CRASH_ON_ONE_IN = 75
"""Publishes; a service makes a few each second."""
_RECOVERY_S = 300.0
"""The session timeout, twice the longest pause of a retry, and what is left to do, however busy the machine."""
UNREAD = "messages were deleted before they were read"
LOST = "a database had lost its last commits"
SOMETIMES = {
    "batch is tried again": "a batch was tried again",
    "what is in hand is given up, and read again by whoever reads on": "partitions were revoked in mid-batch",
    "offsets were not committed": "offsets were not committed",
    "the reader is made anew": "a reader was made anew",
    "message is put aside": "a message was put aside",
    "messages were deleted before they were read": UNREAD,
    "the database is behind the topics: what it has lost is read again": LOST,
    STARTED: STARTED,
    **{place: f"crashed: {place}" for place in PLACES},
}
"""What services log when a run has provoked it."""


SOMETIMES_WANTED = (
    "a batch was tried again",
    "a message was put aside",
    "rubbish sent",
    "appended twice",
    "sent in another order",
)
"""What every run provokes, however short, beside the faults of its schedule."""
ANSWER_LOST = {
    KAFKA: "the answer to a publish was lost",
    POSTGRES: "the answer to a COMMIT was lost",
    STORE: "the store's answer was lost",
}
WITHIN_A_WHILE = {
    Kind.FAIL_STORE: "the store answered 503 Slow Down",
    Kind.FILL_STORE: "the store answered 507 Insufficient Storage",
    Kind.SPOIL_STORE: "the store gave wrong bytes",
    Kind.HALVE_UPLOADS: "half a file was sent to the store",
    Kind.LEAVE_ONE: NOT_IN_SYNC,
}
"""What comes of a kind that lasts for a while, in all."""
COMES_OF = {Kind.MOVE_LEADERS: LED_BY_ANOTHER, Kind.UPGRADE: STARTED}
"""What comes of a kind however short the run is."""
_A_WHILE_S = 15
_SEVERAL = 3


@dataclass
class Found:
    """What became of a run."""

    seed: int
    faults: Sequence[Fault]
    extras: Collection[Extra]
    left_out: dict[str, str] = field(default_factory=dict)
    """Kinds that this machine does not allow, and why."""
    requests: int = 0
    provoked: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def leave_out(self, kind: Kind, reason: str) -> None:
        """Have no fault of a kind."""
        self.left_out[kind] = reason
        self.faults = [fault for fault in self.faults if fault.kind is not kind]

    @property
    def not_provoked(self) -> Sequence[str]:
        """What should have happened and never did: a run that has not provoked it shows nothing of it."""
        wanted = {*SOMETIMES_WANTED, *(fault.kind.value for fault in self.faults)}
        lost = {fault.target for fault in self.faults if fault.kind is Kind.DROP_ANSWERS}
        wanted |= {ANSWER_LOST[target] for target in lost & ANSWER_LOST.keys()}
        wanted |= {UPLOADED, COPIED} if Extra.MEDIA in self.extras else set()
        wanted |= {CLOCKS_APART} if Extra.BROKERS in self.extras else set()
        wanted |= {what for kind, what in COMES_OF.items() if any(fault.kind is kind for fault in self.faults)}
        lasting: Counter[Kind] = Counter()
        for fault in self.faults:
            lasting[fault.kind] += round(fault.for_s)
        if sum(fault.kind is Kind.EXPIRE for fault in self.faults) >= _SEVERAL:
            wanted.add(UNREAD)
        if sum(fault.kind is Kind.FAIL_OVER for fault in self.faults) >= _SEVERAL:
            wanted.add(LOST)
        wanted |= {WITHIN_A_WHILE[kind] for kind in WITHIN_A_WHILE if lasting[kind] >= _A_WHILE_S}
        return sorted(name for name in wanted - self.left_out.keys() if not self.provoked[name])

    def __str__(self) -> str:
        lines = [f"seed {self.seed}: {self.requests} requests, {len(self.faults)} faults"]
        lines += [f"  {name}: {count}" for name, count in sorted(self.provoked.items())]
        lines += [f"  left out: {name}: {reason}" for name, reason in self.left_out.items()]
        lines += [f"  NEVER HAPPENED: {name}" for name in self.not_provoked]
        lines += [f"  VIOLATED: {violation}" for violation in self.violations]
        return "\n".join(lines)


def run(
    folder: Path,
    seed: int,
    seconds: float,
    extras: Collection[Extra] = (),
    report: Callable[[str], None] = lambda _: None,
    old: str | None = None,
) -> Found:
    """Run a stack, clients and faults for so many seconds; what is found is returned, not raised.

    `old` is the commit that is run beside this version.
    """
    found = Found(seed, schedule(seed, seconds, extras), extras)
    with (
        store_behind_proxy(folder) if Extra.MEDIA in extras else contextlib.nullcontext() as store,
        small_disk(folder / "postgres") if Extra.DATABASE in extras else contextlib.nullcontext() as why_not,
        pytest.MonkeyPatch.context() as environment,
    ):
        if why_not is not None:
            found.leave_out(Kind.FILL_DISK, why_not)
        old_version = _old_version(folder, old, found)
        environment.setenv(CRASHING_WHILE, str(folder / _CRASHING))
        if old_version is not None:
            environment.setenv(OLD_VERSION, str(old_version.folder))
        _run(folder, seed, seconds, store, old_version, found, report)
    return found


def _old_version(folder: Path, ref: str | None, found: Found) -> OldVersion | None:
    """Take the code of the version that upgrades begin with, and have all services run that."""
    if Extra.UPGRADE not in found.extras:
        return None
    if ref is None:
        found.leave_out(Kind.UPGRADE, "no older version is named")
        return None
    old = OldVersion(folder / "old")
    try:
        old.take(ref)
    except NoOldVersion as error:
        found.leave_out(Kind.UPGRADE, str(error))
        return None
    for service in REGISTRY:
        old.run_by(service, is_old=True)
    return old


def _kafka_with(extras: Collection[Extra], folder: Path, found: Found) -> Callable[..., KafkaServer]:
    """Return what to run Kafka with: one broker, or three whose clocks are apart if that is possible."""
    if Extra.BROKERS not in extras:
        return KafkaBehindProxy
    try:
        return partial(KafkaCluster, clocks=make_clocks(folder, found.seed))
    except NoClocks as error:
        found.left_out[CLOCKS_APART] = str(error)
        return KafkaCluster


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[str | None]:
    """Make a folder a disk of its own, in memory, for as long as it lasts; yield why that is not possible."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_MIB}m,mode=700", "claimbus-tests", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except OSError as error:
        yield f"a small disk cannot be made: {error}"
        return
    if done.returncode != 0:
        yield f"a small disk cannot be made: {done.stderr.strip()}"
        return
    try:
        yield None
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextlib.contextmanager
def store_behind_proxy(folder: Path) -> Iterator[StoreProxy]:
    """Run a store of media with S3's API, and have all that is started meanwhile reach it through a proxy."""
    with (
        s3_server(folder / "s3.log") as variables,
        contextlib.closing(StoreProxy(urlsplit(variables["AWS_ENDPOINT_URL"]).port or 0)) as proxy,
        pytest.MonkeyPatch.context() as environment,
    ):
        for name, value in (variables | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{proxy.port}"}).items():
            environment.setenv(name, value)
        yield proxy


def _run(
    folder: Path,
    seed: int,
    seconds: float,
    store: StoreProxy | None,
    old: OldVersion | None,
    found: Found,
    report: Callable[[str], None],
) -> None:
    crashing = folder / _CRASHING
    stack = Stack(
        folder,
        dict.fromkeys(REGISTRY, 2) if old else {"claims": 2, "permissions": 2},
        media=BUCKET if store else None,
        kafka=_kafka_with(found.extras, folder, found),
        postgres=PostgresBehindProxy,
        module_of=lambda _: f"tests.random_faults.{'version' if old else 'crashing'}",
    )
    faulty: _Faulty | None = None
    try:
        stack.start()
        faulty = _Faulty(stack, store, old, seed, report)
        if Extra.DATABASE in found.extras:
            faulty.bound_database()
        if Extra.FAILOVER in found.extras:
            faulty.write_commits_late()
        worlds = Worlds(2, replicas=stack.kafka.replication)
        for world in [worlds.next(stack.connection) for _ in range(2)]:
            faulty.take_in(world)
        with _watched(stack, faulty.restarting), faulty.looked_at():
            crashing.write_text(str(_CRASH_ON_ONE_IN))
            crashing.chmod(0o644)
            _torment(faulty, found, seconds)
            crashing.unlink()
            found.violations += faulty.end()
            _let_finish(stack, faulty.clients, found)
            audited = list(_audited(stack, folder / "audit.json", faulty.unlucky.id, with_media=store is not None))
            if Extra.BROKERS in found.extras and CLOCKS_APART not in found.left_out:
                seen = [each for each in audited if each.startswith("clocks-agree: ")]
                found.provoked[CLOCKS_APART] = len(seen)
                audited = [each for each in audited if each not in seen]
            found.violations += audited
        found.requests = sum(len(client.asked) for client in faulty.clients)
        found.violations += [each for client in faulty.clients for each in _broken(client)]
        found.violations += [f"{each.about}: {each.sentence}" for each in standstills(faulty.looks, _STANDSTILL_S)]
        found.provoked += _provoked(folder / "logs") + Counter(faulty.done)
        for client in faulty.clients:
            found.provoked += client.provoked
        for uploader in faulty.uploaders:
            found.provoked += uploader.provoked
            found.violations += uploader.problems
        for server, lost in ANSWER_LOST.items():
            found.provoked[lost] = sum(proxy.answers_dropped for proxy in faulty.proxies.get(server, ()))
        found.provoked += faulty.leaders.provoked
        found.provoked += store.provoked if store else Counter()
    finally:
        if faulty is not None:
            faulty.close()
        stack.stop()
        for server in SERVERS:
            for proxy in _proxies_of(getattr(stack, server, None)):
                proxy.close()


def _proxies_of(server: object) -> Sequence[Proxy]:
    """Return those through which clients reach a server."""
    if isinstance(server, KafkaCluster):
        return [broker.proxy for broker in server.brokers.values()]
    proxy: Proxy | None = getattr(server, "proxy", None)
    return [] if proxy is None else [proxy]


def _torment(faulty: "_Faulty", found: Found, seconds: float) -> None:
    began = time.monotonic()
    waiting = list(found.faults)
    chance = random.Random(found.seed)
    while (now := time.monotonic() - began) < seconds:
        while waiting and waiting[0].at_s <= now:
            faulty.begin(waiting.pop(0))
        faulty.end_what_is_over()
        faulty.take_in_the_new()
        for client in faulty.clients:
            client.send(chance.randrange(3))
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


def _audited(stack: Stack, connection_file: Path, unlucky: str, *, with_media: bool) -> Iterator[str]:
    """What `claimbus audit` finds broken; what was on the topic of the unlucky company went away with it."""
    write_privately(connection_file, stack.connection.model_dump_json())
    words = ["audit", "--json", *(["--media"] if with_media else [])]
    done = claimbus(*words, connection_file=connection_file)
    if not done.stdout:
        yield done.stderr
        return
    for each in as_json(done)["violations"]:
        if each["invariant"] != "outcome-copies-agree" or not each["about"].startswith(f"{unlucky}/"):
            yield "{invariant}: {about}: {sentence}".format(**each)


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
    """Begins faults and ends them, and knows the companies that they happen to."""

    def __init__(
        self,
        stack: Stack,
        store: StoreProxy | None,
        old: OldVersion | None,
        seed: int,
        report: Callable[[str], None],
    ) -> None:
        self.proxies: dict[str, Sequence[Proxy]] = {server: _proxies_of(getattr(stack, server)) for server in SERVERS}
        """Before each server; Kafka's are those of all its brokers."""
        if store is not None:
            self.proxies[STORE] = [store]
        self.leaders = Leaders()
        self.restarting = threading.Lock()
        """Held while instances are started: of two started at once nobody would know one, nor end it."""
        self._cluster = stack.kafka if isinstance(stack.kafka, KafkaCluster) else None
        if self._cluster is not None:
            self.proxies |= {name: _proxies_of(broker) for name, broker in self._cluster.brokers.items()}
        self._old = old
        self.uploaders: list[Uploader] = []
        self.done: Counter[str] = Counter()
        self.clients: list[Client] = []
        self.looks: list[Look] = []
        self._worlds: list[World] = []
        self._new: list[World] = []
        self._seed = seed
        self._stack = stack
        self._report = report
        self._chance = random.Random(0)
        self._ends: list[tuple[float, Callable[[], None]]] = []
        assert isinstance(stack.postgres, PostgresBehindProxy)
        self._postgres = stack.postgres
        self._added: list[Instance] = []
        self._errands = ThreadPoolExecutor(max_workers=1)
        self._on_errands: list[Future[None]] = []

    @property
    def unlucky(self) -> Client:
        """The company whose topic goes away at times."""
        return self.clients[0]

    def take_in(self, world: World) -> None:
        """Let the companies of a world send requests; of the first one the other partner too, who is the unlucky one.

        Those of the first two worlds send in different ways: the second one's send again what is late.
        """
        number = len(self._worlds)
        self._worlds.append(world)
        chance, run = random.Random(f"{self._seed}/{number}"), f"seed{self._seed}:{number}"

        def client(company: Company, requests: Iterator[NewRequest], *, is_patient: bool) -> Client:
            how = self._stack.connection.client(company.id)
            self.clients.append(Client(company, requests, how, chance, is_patient=is_patient))
            return self.clients[-1]

        if number == 0:
            client(world.other, refused_requests(world, f"{run}:o"), is_patient=False)
        partner = client(
            world.partner,
            partners_requests(world, chance, f"{run}:p", self._files_of(world.partner.id, run)),
            is_patient=number == 0,
        )
        client(world.insurer, insurers_requests(world, partner, chance, f"{run}:i"), is_patient=number == 0)

    def _files_of(self, company: str, run: str) -> Callable[[], list[dict[str, Any]]]:
        """What a company has uploaded, where there is a store that faults happen to."""
        if STORE not in self.proxies:
            return list
        self.uploaders.append(Uploader(self._stack.connection, company, random.Random(f"{run}/files")))
        return self.uploaders[-1].next

    def take_in_the_new(self) -> None:
        """Let those send requests that were registered meanwhile."""
        while self._new:
            self.take_in(self._new.pop())

    def close(self) -> None:
        """Close the companies' connections."""
        self._errands.shutdown(cancel_futures=True)
        for uploader in self.uploaders:
            uploader.stop()
        for client in self.clients:
            client.close()

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

    def end(self) -> Sequence[str]:
        """End them all; return which errands could not be run even then."""
        for _, end in self._ends:
            end()
        self._ends = []
        if self._old is not None:
            for service in REGISTRY:
                self._run_until_done(self._to_version(service, is_old=False))
        done, late = wait(self._on_errands, timeout=_RECOVERY_S)
        self.take_in_the_new()
        problems = [f"an errand failed: {each.exception()!r}" for each in done if each.exception() is not None]
        if late:
            faulthandler.dump_traceback()  # which call of it hangs
        return [*problems, *(f"an errand is not done {_RECOVERY_S:g} s after the last fault" for _ in late)]

    @contextlib.contextmanager
    def looked_at(self) -> Iterator[None]:
        """Look at each service every now and then."""
        over = threading.Event()
        admin = AdminClient(self._stack.connection.client())

        def look() -> None:
            while not over.wait(_LOOK_EVERY_S):
                with contextlib.suppress(KafkaException, TimeoutError):  # the brokers are away
                    self.looks += [*_looks(self._stack, admin, groups)]

        def look_at_leaders() -> None:
            while self._cluster is not None and not over.wait(_LOOK_EVERY_S):
                with contextlib.suppress(KafkaException):
                    self.leaders.look(admin.list_topics(timeout=_LOOK_EVERY_S))

        with Groups(self._stack.connection) as groups:
            looking = [threading.Thread(target=each) for each in (look, look_at_leaders)]
            for thread in looking:
                thread.start()
            try:
                yield
            finally:
                over.set()
                for thread in looking:
                    thread.join()

    def _begun(self, fault: Fault) -> Callable[[], None] | None:
        if fault.kind in _ERRANDS:
            return _ERRANDS[fault.kind](self)
        if fault.kind in (Kind.FORGET_OFFSETS, Kind.REWIND):
            return self._forget_offsets(fault.target, of_all=fault.kind is Kind.FORGET_OFFSETS)
        if fault.kind is Kind.LEAVE_ONE:
            return self._leave_one(fault.target)
        if fault.kind is Kind.UPGRADE:
            return self._upgrade(fault.target)
        if fault.kind is Kind.ADD:
            instance = self._stack.add(fault.target)
            self._added.append(instance)
            return lambda: self._stack.remove(instance)
        if fault.kind in (Kind.KILL, Kind.HANG, Kind.FAIL_OVER):
            return self._kill_or_hang(fault)
        ends = ExitStack()
        for proxy in self.proxies[fault.target]:
            ends.callback(_disturb(proxy, fault.kind))
        return ends.close

    def _kill_or_hang(self, fault: Fault) -> Callable[[], None] | None:
        servers = [server for server in self._servers(fault.target) if server.is_running()]
        pids = [server.pid for server in servers] or self._instance_of(fault.target)
        if not pids:
            return None
        if fault.kind is not Kind.HANG:
            for server in servers:
                server.kill()
            if not servers:
                _signal(pids, signal.SIGKILL)
            return lambda: None
        family = [each for pid in pids for each in (pid, *_children(pid))]
        _signal(family, signal.SIGSTOP)
        return lambda: _signal(family, signal.SIGCONT)

    def _servers(self, target: str) -> Sequence[Server]:
        """Return what is ended when a server is: of several brokers all."""
        if self._cluster is not None and target == KAFKA:
            return list(self._cluster.nodes.values())
        if self._cluster is not None and target in self._cluster.nodes:
            return [self._cluster.nodes[target]]
        return [getattr(self._stack, target)] if target in SERVERS else []

    def _instance_of(self, service: str) -> Sequence[int]:
        """Return the process of one of a service's instances, if any runs."""
        running = [instance.pid for instance in self._stack.of(service) if instance.pid is not None]
        return [self._chance.choice(running)] if running else []

    def _flood(self) -> Callable[[], None]:
        self._chance.choice(self.clients).send(_FLOOD)
        return lambda: None

    def _register(self) -> Callable[[], None]:
        names = Names()

        def register_and_connect() -> None:
            register(self._stack.connection, [names], self._stack.kafka.replication)
            world = World(self._stack.connection, names)
            assert world.partner
            assert world.insurer
            self._new.append(world)

        self._run_until_done(register_and_connect)
        return lambda: None

    def _delete_topic(self, kind: Topic = EVENTS) -> Callable[[], None]:
        company, connection = self.unlucky.id, self._stack.connection
        topic = kind.of(company)
        admin = AdminClient(connection.client())

        def delete() -> None:
            if topic in admin.list_topics(timeout=_ERRAND_S).topics:
                admin.delete_topics([topic], operation_timeout=_ERRAND_S)[topic].result(_ERRAND_S)
                raise TimeoutError  # it is looked for again, until it is gone

        def make_again() -> None:
            provision_companies(connection, [company], replication=self._stack.kafka.replication)
            if kind is EVENTS:
                self.unlucky.read_from(Company(connection, company, from_start=True))

        self._run_until_done(delete)
        return lambda: self._run_until_done(make_again)

    def _move_leaders(self) -> Callable[[], None]:
        connection = self._stack.connection
        self._run_until_done(lambda: move_leaders(connection, AdminClient(connection.client())))
        return lambda: None

    def _leave_one(self, broker: str) -> Callable[[], None]:
        assert self._cluster is not None
        self._cluster.leave_alone(broker)
        return self._cluster.let_up

    def _upgrade(self, service: str) -> Callable[[], None]:
        self._run_until_done(self._to_version(service, is_old=False))
        return lambda: self._run_until_done(self._to_version(service, is_old=True))

    def _to_version(self, service: str, *, is_old: bool) -> Callable[[], None]:
        """Restart a service's instances, each when the one before it is ready, or has had time to be."""
        assert self._old is not None
        old = self._old

        def restart() -> None:
            old.run_by(service, is_old=is_old)
            for instance in [each for each in self._stack.of(service) if each not in self._added]:
                self._stop(instance)
                self._start(instance)
                with contextlib.suppress(AssertionError):
                    wait_until(instance.is_ready, what="it", timeout_s=_ERRAND_S, look_every_s=_WATCH_EVERY_S)

        return restart

    def _stop(self, instance: Instance) -> None:
        with self.restarting:
            instance.ask_to_stop()
        instance.stop()

    def _start(self, instance: Instance) -> None:
        with self.restarting:
            instance.start()

    def _forget_offsets(self, service: str, *, of_all: bool) -> Callable[[], None]:
        instances = [instance for instance in self._stack.of(service) if instance not in self._added]

        def forget() -> None:
            for instance in instances:
                self._stop(instance)
            admin = AdminClient(self._stack.connection.client())  # one that was left without an answer is of no use
            if not of_all:
                return self._rewind(admin, service)
            try:
                admin.delete_consumer_groups([service], request_timeout=_ERRAND_S)[service].result(_ERRAND_S)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.GROUP_ID_NOT_FOUND:
                    raise

        def start_again() -> None:
            for instance in instances:
                self._start(instance)

        self._run_until_done(forget, finally_=start_again)
        return lambda: None

    def _rewind(self, admin: AdminClient, group: str) -> None:
        partitions = sorted(ends_of(admin, [group])[group])
        begin = [TopicPartition(*partition, 0) for partition in partitions[::2]]
        wanted = ConsumerGroupTopicPartitions(group, begin)
        (done,) = admin.alter_consumer_group_offsets([wanted], request_timeout=_ERRAND_S).values()
        done.result(_ERRAND_S)

    def _expire(self) -> Callable[[], None]:
        connection = self._stack.connection
        admin = AdminClient(connection.client())
        asking_again = [REQUESTS.of(client.id) for client in self.clients if not client.is_patient]

        def expire() -> None:
            readers = [pid for instance in self._stack.of("permissions") if (pid := instance.pid) is not None]
            _signal(readers, signal.SIGSTOP)
            try:
                time.sleep(_UNREAD_S)
                wanted = [TopicPartition(t, n, OFFSET_END) for t in asking_again for n in range(REQUESTS.partitions)]
                there = admin.list_topics(timeout=_ERRAND_S).topics
                wanted = [partition for partition in wanted if partition.topic in there]
                with Groups(connection) as groups:
                    wanted += _read_by_all(groups)
                for deleted in admin.delete_records(wanted, request_timeout=_ERRAND_S).values():
                    deleted.result(_ERRAND_S)
            finally:
                _signal(readers, signal.SIGCONT)

        self._run_until_done(expire)
        return lambda: None

    def _refuse_connections(self) -> Callable[[], None]:
        """PostgreSQL gives the same answer to one connection more than a database may have as to one more in all."""

        def limit_to(number: int, *more: str) -> Callable[[], None]:
            limits = [f'alter database "{name}" connection limit {number}' for name in WITH_DATABASE]
            return lambda: self._postgres.execute(*limits, *more)

        ending = "select pg_terminate_backend(pid) from pg_stat_activity where datname <> 'postgres'"
        self._run_until_done(limit_to(0, ending))
        return lambda: self._run_until_done(limit_to(-1))

    def bound_database(self) -> None:
        """See to it that the small disk is not filled by what the database logs ahead of its tables."""
        self._postgres.execute(f"alter system set max_wal_size = '{_WAL_MIB}MB'", "select pg_reload_conf()")

    def write_commits_late(self) -> None:
        """Let the database answer a commit seconds before it has written it: what ends it then loses it."""
        late = {"synchronous_commit": "off", "wal_writer_delay": "10s", "wal_writer_flush_after": "1GB"}
        settings = (f"alter system set {name} = '{value}'" for name, value in late.items())
        self._postgres.execute(*settings, "select pg_reload_conf()")

    def _fill_disk(self) -> Callable[[], None]:
        ballast = self._stack.folder / "postgres" / "ballast"
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while file.write(bytes(_PIECE)):
                pass
        return lambda: ballast.unlink(missing_ok=True)

    def _run_until_done(self, errand: Callable[[], None], finally_: Callable[[], None] = lambda: None) -> None:
        """Run an errand in the background, behind those before it, again and again until the servers let it."""

        def run() -> None:
            deadline = time.monotonic() + _RECOVERY_S
            try:
                while True:
                    try:
                        return errand()
                    except Exception:
                        if time.monotonic() > deadline:
                            raise
                    time.sleep(_WATCH_EVERY_S)
            finally:
                finally_()

        self._on_errands.append(self._errands.submit(run))


_ERRANDS: dict[Kind, Callable[[_Faulty], Callable[[], None]]] = {
    Kind.FLOOD: _Faulty._flood,
    Kind.REGISTER: _Faulty._register,
    Kind.DELETE_TOPIC: _Faulty._delete_topic,
    Kind.DELETE_REQUESTS: lambda faulty: faulty._delete_topic(REQUESTS),
    Kind.EXPIRE: _Faulty._expire,
    Kind.MOVE_LEADERS: _Faulty._move_leaders,
    Kind.REFUSE_CONNECTIONS: _Faulty._refuse_connections,
    Kind.FILL_DISK: _Faulty._fill_disk,
}
_SWITCHES: dict[Kind, tuple[str, object, object]] = {
    Kind.DROP_ANSWERS: ("dropping_answers", True, False),
    Kind.DRIP: ("dripping", True, False),
    Kind.SLOW: ("late_s", _LATE_S, 0.0),
    Kind.FAIL_STORE: ("failing", True, False),
    Kind.FILL_STORE: ("full", True, False),
    Kind.SPOIL_STORE: ("spoiling", True, False),
    Kind.HALVE_UPLOADS: ("halving", True, False),
}


def _disturb(proxy: Proxy, kind: Kind) -> Callable[[], None]:
    """Begin what happens to the network; return what ends it."""
    if kind is Kind.CUT:
        proxy.refusing = True
        proxy.cut()
        return lambda: setattr(proxy, "refusing", False)
    if kind is Kind.FORGET_CLIENTS:
        proxy.forget_clients()
        return proxy.end_half_open
    if kind is Kind.FORGET_SERVERS:
        proxy.forget_servers()
        return proxy.end_half_open
    if kind in (Kind.STALL, Kind.ONE_WAY):
        proxy.hold(requests=kind is Kind.STALL)
        return proxy.let_through
    name, on, off = _SWITCHES[kind]
    setattr(proxy, name, on)
    return lambda: setattr(proxy, name, off)


def _read_by_all(groups: Groups) -> list[TopicPartition]:
    """Up to where everybody who reads them has finished the topics that are shared."""
    found: list[TopicPartition] = []
    for topic in (CLAIM_COMMANDS, CLAIM_EVENTS, REQUEST_OUTCOMES, LINK_REQUESTS):
        partitions = [(topic.name, number) for number in range(topic.partitions)]
        places = [groups.committed(reader, partitions) for reader in topic.read_by]
        read = [partition for partition in partitions if all(partition in its for its in places)]
        found += [TopicPartition(*partition, min(its[partition] for its in places)) for partition in read]
    return found


def _looks(stack: Stack, admin: AdminClient, groups: Groups) -> Iterator[Look]:
    """Look at each service: what it has committed, how much there is, and whether all its instances are ready."""
    for service, ends in ends_of(admin, tuple(REGISTRY)).items():
        committed = groups.committed(service, ends)
        progress = frozenset(committed.items())
        instances = [instance for instance in stack.of(service) if instance.wanted]
        all_ready = bool(instances) and all(instance.is_ready() for instance in instances)
        yield Look(time.monotonic(), service, lag_of(ends, committed), progress, all_ready)


@contextlib.contextmanager
def _watched(stack: Stack, restarting: threading.Lock) -> Iterator[None]:
    """Start again what has died, as `claimbus up` does."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_WATCH_EVERY_S):
            with restarting:
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
