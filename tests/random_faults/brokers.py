"""Three brokers and a controller, each a process of its own; their leaders can be moved, and their clocks are apart."""

import asyncio
import base64
import random
import secrets
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import AlterPartitionReassignmentsRequest
from confluent_kafka.admin import AdminClient, ClusterMetadata

from operations.connection import Connection
from operations.embedded import EmbeddedKafka, Waiting, free_port
from operations.embedded.processes import is_listening
from tests.random_faults.network import KafkaBehindProxy
from tests.random_faults.schedule import BROKERS, CONTROLLER

CLOCKS_S = (-30, 0, 30)
"""By how much the brokers' clocks are ahead: at most a minute apart."""
LED_BY_ANOTHER = "a partition got another leader"
NOT_IN_SYNC = "a partition had too few copies in sync"
CLOCKS_APART = "the audit saw that the brokers' clocks are apart"
_NODE_IDS = {CONTROLLER: 1} | {broker: 2 + number for number, broker in enumerate(BROKERS)}
_ANSWER_MS = 10_000
_CLOCK = """
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = syscall(SYS_clock_gettime, clock, now);
    if (!failed && clock == CLOCK_REALTIME) now->tv_sec += AHEAD_S;
    return failed;
}
"""


class NoClocks(Exception):
    """Clocks that are apart cannot be made here."""


def make_clocks(folder: Path, seed: int) -> dict[str, Path]:
    """Make a library for each broker that, loaded before all others, puts its clock ahead or back. Raises NoClocks."""
    if sys.platform != "linux":
        raise NoClocks("brokers' clocks can be put apart on Linux alone")
    libraries: dict[str, Path] = {}
    for broker, ahead_s in zip(BROKERS, random.Random(seed).sample(CLOCKS_S, len(BROKERS)), strict=True):
        libraries[broker] = folder / f"clock{ahead_s:+}.so"
        command = ["cc", "-shared", "-fPIC", f"-DAHEAD_S={ahead_s}", "-o", str(libraries[broker]), "-x", "c", "-"]
        try:
            subprocess.run(command, input=_CLOCK, capture_output=True, text=True, check=True)
        except OSError as error:
            raise NoClocks(f"there is no C compiler: {error}") from error
        except subprocess.CalledProcessError as error:
            raise NoClocks(f"the C compiler fails: {error.stderr.strip()[-200:]}") from error
    return libraries


@dataclass(frozen=True)
class _Shared:
    """What the nodes of a cluster have in common."""

    cluster_id: str
    password: str
    controller_port: int
    clocks: Mapping[str, Path]


class _Node(EmbeddedKafka):
    """One process of a cluster."""

    def __init__(self, name: str, shared: _Shared, folder: Path, **options: Any) -> None:
        super().__init__(folder / name.replace(" ", "-"), **options)
        self._name = name
        self._shared = shared

    def _cluster_id(self) -> str:
        return self._shared.cluster_id

    def _own_password(self) -> str:
        return self._shared.password

    def _environment(self) -> dict[str, str]:
        clock = self._shared.clocks.get(self._name)
        return super()._environment() | ({"LD_PRELOAD": str(clock)} if clock else {})

    def _settings(self) -> dict[str, str]:
        copies, in_sync = str(len(BROKERS)), str(len(BROKERS) - 1)
        return super()._settings() | {
            "node.id": str(_NODE_IDS[self._name]),
            "controller.quorum.voters": f"{_NODE_IDS[CONTROLLER]}@127.0.0.1:{self._shared.controller_port}",
            "min.insync.replicas": in_sync,
            "default.replication.factor": copies,
            "offsets.topic.replication.factor": copies,
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.min.isr": in_sync,
            # So soon the first of its brokers leads a partition again, or for the first time after `move_leaders`.
            "leader.imbalance.check.interval.seconds": "2",
            "leader.imbalance.per.broker.percentage": "0",
        }


class _Controller(_Node):
    """Leads the cluster, and carries no messages."""

    def wait_until_ready(self) -> None:
        """Wait, after `launch`, until it listens. Raises NotStarted."""
        while not is_listening(self._shared.controller_port):
            self._still_starting("the controller does not listen yet")
        self._waiting.over()

    def _settings(self) -> dict[str, str]:
        settings = super()._settings() | {
            "process.roles": "controller",
            "listeners": f"CONTROLLER://127.0.0.1:{self._shared.controller_port}",
        }
        del settings["advertised.listeners"], settings["inter.broker.listener.name"]
        return settings


class _Broker(_Node, KafkaBehindProxy):
    """Carries messages. Clients reach it through its proxy, the other brokers at a port of their own."""

    def __init__(self, name: str, shared: _Shared, folder: Path, **options: Any) -> None:
        super().__init__(name, shared, folder, **options)
        self._brokers_port = free_port()

    def _settings(self) -> dict[str, str]:
        settings = super()._settings()
        own = f"BROKERS://127.0.0.1:{self._brokers_port}"
        login = "scram-sha-512.sasl.jaas.config"
        return settings | {
            "process.roles": "broker",
            "listeners": f"CLIENT://127.0.0.1:{self._port},{own}",
            "advertised.listeners": f"{settings['advertised.listeners']},{own}",
            "listener.security.protocol.map": f"{settings['listener.security.protocol.map']},BROKERS:SASL_PLAINTEXT",
            "inter.broker.listener.name": "BROKERS",
            f"listener.name.brokers.{login}": settings[f"listener.name.client.{login}"],
        }


class KafkaCluster:
    """As EmbeddedKafka, with three copies of each partition, of which two acknowledge what is published.

    Brokers reach each other, and the controller, without proxies. Nothing is kept of it: to stop it is to kill it.
    """

    replication = len(BROKERS)

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        users: Mapping[str, str],
        waiting: Waiting | None = None,
        clocks: Mapping[str, Path] = MappingProxyType({}),
    ) -> None:
        """`clocks` are what `make_clocks` makes; `port` is the first broker's."""
        cluster_id = base64.urlsafe_b64encode(b"\0" + secrets.token_bytes(15)).decode().rstrip("=")
        shared = _Shared(cluster_id, secrets.token_urlsafe(24), free_port(), clocks)
        options: dict[str, Any] = {"users": users, "waiting": waiting}
        self.brokers = {
            name: _Broker(name, shared, folder, port=port if name == BROKERS[0] else None, **options)
            for name in BROKERS
        }
        controller = _Controller(CONTROLLER, shared, folder, port=shared.controller_port, **options)
        self.nodes: dict[str, EmbeddedKafka] = {CONTROLLER: controller, **self.brokers}
        self._down: frozenset[str] = frozenset()
        self._launching = threading.Lock()

    @property
    def bootstrap_servers(self) -> str:
        """Where clients connect."""
        return ",".join(broker.bootstrap_servers for broker in self.brokers.values())

    @property
    def pid(self) -> int:
        """The first broker's process id."""
        return self.brokers[BROKERS[0]].pid

    def is_running(self) -> bool:
        """Whether all of it that is not to be down was started and has not ended."""
        return all(node.is_running() for name, node in self.nodes.items() if name not in self._down)

    def start(self) -> None:
        """Start what does not run and is not to be down. It is not waited for: the others may answer without it."""
        self.launch()

    def launch(self) -> None:
        """Start it as `start` does. Raises NotStarted."""
        with self._launching:
            for name, node in self.nodes.items():
                if name not in self._down and not node.is_running():
                    node.launch()

    def wait_until_ready(self) -> None:
        """Wait, after `launch`, until all of it answers. Raises NotStarted."""
        for node in self.nodes.values():
            node.wait_until_ready()

    def stop(self) -> None:
        """End it."""
        self.kill()

    def kill(self) -> None:
        """End all of it at once."""
        for node in self.nodes.values():
            node.kill()

    def leave_alone(self, broker: str) -> None:
        """Kill the other brokers, and let them be started again only after `let_up`: no partition has two in sync."""
        with self._launching:
            self._down = frozenset(BROKERS) - {broker}
            for name in self._down:
                self.nodes[name].kill()

    def let_up(self) -> None:
        """Let all brokers be started again."""
        self._down = frozenset()


class Leaders:
    """Sees who leads each partition, and how many copies are in sync, each time it looks."""

    def __init__(self) -> None:
        self.provoked: Counter[str] = Counter()
        self._leaders: dict[tuple[str, int], int] = {}

    def look(self, metadata: ClusterMetadata) -> None:
        """Count the partitions that another broker leads than at the last look, and those that take no message."""
        for name, topic in metadata.topics.items():
            for number, partition in topic.partitions.items():
                before = self._leaders.get((name, number))
                if partition.leader >= 0:
                    self._leaders[name, number] = partition.leader
                    self.provoked[LED_BY_ANOTHER] += before not in (None, partition.leader)
                self.provoked[NOT_IN_SYNC] += len(partition.isrs) < len(BROKERS) - 1


def move_leaders(connection: Connection, admin: AdminClient) -> None:
    """Have each partition led by the next of its brokers, soon. Raises KafkaException or aiokafka's KafkaError."""
    topics = admin.list_topics(timeout=_ANSWER_MS / 1000).topics
    wanted: list[Any] = [
        (name, [(number, [*of.replicas[1:], of.replicas[0]], {}) for number, of in topic.partitions.items()], {})
        for name, topic in topics.items()
    ]
    asyncio.run(_reassign(connection, wanted))


async def _reassign(connection: Connection, wanted: list[Any]) -> None:
    """No other Python client offers it. The copies stay where they are: only their order is another one."""
    client: Any = AIOKafkaAdminClient(**connection.settings().client(), request_timeout_ms=_ANSWER_MS)
    await client.start()
    try:
        await client._send_request(AlterPartitionReassignmentsRequest(_ANSWER_MS, wanted, {}))
    finally:
        await client.close()
