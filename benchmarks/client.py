"""The partner's system that makes the load, the same for all that are measured, in a process of its own.

It knows a claim's messages by their headers alone (`ce_type`, `ce_causationid`), so it costs little and asks of a peer
nothing but the contract's envelope. Messages are encoded before the clock starts.
"""

import contextlib
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any, cast

from confluent_kafka import (
    TIMESTAMP_LOG_APPEND_TIME,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from pydantic import BaseModel

from benchmarks.figures import percentile
from operations.storm import new_claims
from shared.contract import ids
from shared.contract.envelope import Headers

_QUIET_S = 60.0
_TIMEOUT_S = 30.0
_CHUNK = 500
_TICK_S = 0.005
_READY, _GO = "ready", "go"
_ACCEPTED, _REFUSED, _CREATED = (
    f"claimbus.{name}.v1".encode() for name in ("request-accepted", "request-refused", "temporary-claim-created")
)


class Load(BaseModel):
    """What to send, and where what comes of it is read."""

    client: dict[str, Any]
    """How confluent-kafka connects."""
    requests: str
    events: str
    partner: str
    office: str
    insurer: str
    claims: int
    rate: float | None = None
    """So many each second, whatever comes back; None sends as fast as the brokers take it."""


class Outcome(BaseModel):
    """What became of a load."""

    claims: int
    accepted: int
    refused: int
    created: int
    """Claims whose event reached the partner."""
    repeated: int
    """Messages that came again with the same id, which is allowed."""
    contradicted: int
    """Requests with two outcomes, and claims created twice."""
    seconds: float
    """From the first request that is sent to the last outcome or event that is read."""
    sender_late_ms: float
    """How far the sender was behind its plan at most."""
    latency_ms: dict[str, float]
    """Percentiles, from a request's append to its outcome's."""

    @property
    def is_complete(self) -> bool:
        """Whether every request was accepted once, and every claim's event has come."""
        return self.accepted == self.created == self.claims and not self.refused and not self.contradicted


class LoadFailed(Exception):
    """The client could not make its load; the message says why."""


@dataclass
class _Tally:
    """What has come back, by request; what others have asked for is passed over."""

    run: bytes
    appended: dict[bytes, int] = field(default_factory=dict)
    """When a request was appended, by its key."""
    outcomes: dict[bytes, tuple[bytes, int]] = field(default_factory=dict)
    """The id of each outcome, and when it was appended."""
    created: dict[bytes, bytes] = field(default_factory=dict)
    """The id of the event that created a claim."""
    counts: Counter[str] = field(default_factory=Counter)

    def note_appended(self, error: Any, message: Message) -> None:
        if error is not None:
            raise KafkaException(error)
        kind, at = message.timestamp()
        if kind != TIMESTAMP_LOG_APPEND_TIME:
            raise LoadFailed(f"{message.topic()} does not keep append times")
        self.appended[message.key() or b""] = at

    def take(self, message: Message) -> None:
        headers = {name: bytes(value or b"") for name, value in cast("Headers", message.headers() or [])}
        request, type, id = headers.get("ce_causationid", b""), headers.get("ce_type"), headers.get("ce_id", b"")
        if not request.startswith(self.run):
            return
        if type == _CREATED:
            if request in self.created:
                self._count_again(id == self.created[request])
            self.created.setdefault(request, id)
        elif type in (_ACCEPTED, _REFUSED):
            if request in self.outcomes:
                self._count_again(id == self.outcomes[request][0])
            else:
                self.counts["accepted" if type == _ACCEPTED else "refused"] += 1
            self.outcomes.setdefault(request, (id, message.timestamp()[1]))

    def is_complete(self, claims: int) -> bool:
        return len(self.outcomes) >= claims and len(self.created) >= self.counts["accepted"]

    def latencies_ms(self, partner: str) -> list[int]:
        keys = {request: str(ids.claim_id(partner, request.decode())).encode() for request in self.outcomes}
        return [
            at - self.appended[keys[request]]
            for request, (_, at) in self.outcomes.items()
            if keys[request] in self.appended
        ]

    def _count_again(self, same: bool) -> None:
        self.counts["repeated" if same else "contradicted"] += 1


class _Client:
    """Sends and reads, by turns."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._run = f"bench:{uuid.uuid4().hex[:12]}:"
        self._tally = _Tally(self._run.encode())
        self._consumer = Consumer(
            load.client
            | {"group.id": f"{load.partner}.benchmark", "enable.auto.commit": False, "fetch.wait.max.ms": 50}
        )
        self._consumer.assign(_ends(self._consumer, load.events))
        self._producer = Producer(load.client | {"acks": "all", "enable.idempotence": True, "linger.ms": 5})
        self._producer.list_topics(load.requests, timeout=_TIMEOUT_S)
        self._messages = [
            (request.key_for(load.partner), request.value(), request.headers(load.partner))
            for request in new_claims(self._run, load.office, load.insurer, load.claims)
        ]
        self._late_s = 0.0

    def run(self) -> Outcome:
        """Send all, and read until all is answered, or nothing has come for a minute after that."""
        load, tally = self._load, self._tally
        began = time.monotonic()
        sent = 0
        while sent < load.claims:
            due = load.claims if load.rate is None else int((time.monotonic() - began) * load.rate) + 1
            upto = min(due, load.claims, sent + _CHUNK)
            if load.rate is not None and upto > sent:
                self._late_s = max(self._late_s, time.monotonic() - began - sent / load.rate)
            for key, value, headers in self._messages[sent:upto]:
                self._produce(key, value, headers)
            sent = upto
            self._read(0 if load.rate is None else _TICK_S)
        last_news = time.monotonic()
        while not tally.is_complete(load.claims) and time.monotonic() - last_news < _QUIET_S:
            if self._read(_TICK_S):
                last_news = time.monotonic()
        seconds = time.monotonic() - began
        self._producer.flush(_TIMEOUT_S)
        latencies = tally.latencies_ms(load.partner) or [0]
        return Outcome(
            claims=load.claims,
            accepted=tally.counts["accepted"],
            refused=tally.counts["refused"],
            created=len(tally.created),
            repeated=tally.counts["repeated"],
            contradicted=tally.counts["contradicted"],
            seconds=seconds,
            sender_late_ms=round(self._late_s * 1000, 1),
            latency_ms={f"p{p}": percentile(latencies, p) for p in (50, 95, 99)} | {"max": max(latencies)},
        )

    def close(self) -> None:
        self._consumer.close()

    def _produce(self, key: str, value: bytes, headers: Any) -> None:
        while True:
            try:
                self._producer.produce(
                    self._load.requests, key=key, value=value, headers=headers, on_delivery=self._tally.note_appended
                )
            except BufferError:
                self._read(_TICK_S)
            else:
                return

    def _read(self, wait_s: float) -> bool:
        self._producer.poll(0)
        messages = self._consumer.consume(_CHUNK, wait_s)
        for message in messages:
            if message.error() is None:
                self._tally.take(message)
        return bool(messages)


def _ends(consumer: Consumer, topic: str) -> list[TopicPartition]:
    """Where a topic ends now; a partition that is new has no leader for a moment."""
    deadline = time.monotonic() + _TIMEOUT_S
    while True:
        try:
            partitions = [
                TopicPartition(topic, n) for n in consumer.list_topics(topic, _TIMEOUT_S).topics[topic].partitions
            ]
            for partition in partitions:
                partition.offset = consumer.get_watermark_offsets(partition, _TIMEOUT_S)[1]
        except KafkaException as error:
            if error.args[0].code() != KafkaError.NOT_LEADER_FOR_PARTITION or time.monotonic() > deadline:
                raise
            time.sleep(_TICK_S)
        else:
            return partitions


class Client:
    """The client's process, which has encoded its messages and waits."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self._said(_READY)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def run(self) -> Outcome:
        """Have it make its load, and wait for the outcome. Raises LoadFailed."""
        cast("IO[str]", self._process.stdin).write(f"{_GO}\n")
        cast("IO[str]", self._process.stdin).flush()
        return Outcome.model_validate_json(self._said("{"))

    def _said(self, begins_with: str) -> str:
        line = cast("IO[str]", self._process.stdout).readline()
        if not line.startswith(begins_with):
            raise LoadFailed("the client has ended; what it says is above")
        return line


@contextlib.contextmanager
def client(load: Load) -> Iterator[Client]:
    """Start a client; it lives until the end of the block, so that its use can be read."""
    command = [sys.executable, "-m", "benchmarks.client"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            cast("IO[str]", process.stdin).write(f"{load.model_dump_json()}\n")
            cast("IO[str]", process.stdin).flush()
            yield Client(process)
        finally:
            process.kill()


def main() -> None:
    """Be the client: a load on standard input, `go`, and the outcome on standard output."""
    made = _Client(Load.model_validate_json(sys.stdin.readline()))
    print(_READY, flush=True)
    if sys.stdin.readline().strip() == _GO:
        print(made.run().model_dump_json(), flush=True)
        sys.stdin.readline()  # its use is read before it ends
    made.close()


if __name__ == "__main__":
    main()
