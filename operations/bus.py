"""A company on the bus, as its own systems would be: it sends requests on its topic and reads its events."""

import json
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from pydantic_core import from_json, to_json

from operations.connection import Connection, Unreachable
from operations.patience import ask
from shared.contract import ids
from shared.contract.envelope import Headers
from shared.contract.outcomes import OUTCOMES
from shared.contract.requests import REQUESTS as REQUESTS_BY_TYPE
from shared.contract.requests import DirectoryRequest
from shared.contract.topics import EVENTS, REQUESTS

_POLL_S = 0.05
_TIMEOUT_S = 30.0
_CONNECTED_S = 10.0
_LEADER_S = 10.0


class NoAnswer(Exception):
    """An outcome did not come in time."""


@dataclass(frozen=True)
class NewRequest:
    """A request to send; `body` is what to write as JSON, or bytes as they are."""

    name: str
    body: Any
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    actor: str | None = None
    key: str | None = None
    extra_headers: tuple[tuple[str, bytes], ...] = ()

    @property
    def type(self) -> str:
        """The CloudEvents type."""
        return f"claimbus.{self.name}.v1"

    def key_for(self, company: str) -> str:
        """The message's key: the claim, where the request is about one or creates one."""
        if self.key is not None:
            return self.key
        body = self.body if isinstance(self.body, dict) else {}
        request = REQUESTS_BY_TYPE.get(self.type)
        if request is not None and issubclass(request, DirectoryRequest):
            return company  # one key for all, so that they are settled in the order in which they are sent
        return str(body.get("claim_id") or ids.claim_id(company, self.id))

    def headers(self, company: str) -> list[tuple[str, str | bytes | None]]:
        """Write the CloudEvents headers."""
        headers: list[tuple[str, str | bytes | None]] = [
            ("ce_specversion", b"1.0"),
            ("ce_id", self.id.encode()),
            ("ce_source", f"/{company}/claimbus".encode()),
            ("ce_type", self.type.encode()),
            ("content-type", b"application/json"),
        ]
        if self.actor is not None:
            headers.append(("ce_actor", self.actor.encode()))
        return [*headers, *self.extra_headers]

    def value(self) -> bytes:
        """Write the body."""
        if isinstance(self.body, bytes):
            return self.body
        try:
            return to_json(self.body)
        except ValueError:  # half a character, which JSON can say and UTF-8 cannot
            return json.dumps(self.body).encode()


@dataclass(frozen=True)
class Delivered:
    """A message from the company's events: an outcome, or what happened to a claim."""

    type: str
    """The name in the contract, such as temporary-claim-created."""
    id: str
    body: dict[str, Any]
    appended_at_ms: int
    headers: dict[str, str]

    @property
    def is_outcome(self) -> bool:
        """Whether it answers a request."""
        return f"claimbus.{self.type}.v1" in OUTCOMES

    @property
    def accepted(self) -> bool:
        """Whether it says that a request took effect."""
        return self.type == "request-accepted"


class Company:
    """A company's connection: what it sends, and everything on its events topic from the moment that it connects."""

    def __init__(self, connection: Connection, company: str, *, from_start: bool = False) -> None:
        """Raises Unreachable if the brokers do not answer or do not know the company's password."""
        self.id = company
        self._problems: list[str] = []
        self._client = connection.client(company) | {"error_cb": self._note_problem}
        self._consumer = Consumer(
            self._client | {"group.id": f"{company}.claimbus", "enable.auto.commit": False, "fetch.wait.max.ms": 50}
        )
        self.received: list[Delivered] = []
        self._next: dict[int, int] = {}
        """The offset that comes next, by partition."""
        self._assign(from_start=from_start)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        if "_producer" in vars(self):
            self._producer.flush(_TIMEOUT_S)
        self._consumer.close()

    @cached_property
    def _producer(self) -> Producer:
        """Made when something is sent, since many only read. Raises KafkaException if the brokers do not answer."""
        producer = Producer(self._client | {"acks": "all", "enable.idempotence": True, "linger.ms": 5})
        # What is given to one that has no connection yet waits for the next look at what is waiting, a second later.
        producer.list_topics(REQUESTS.of(self.id), timeout=_TIMEOUT_S)
        return producer

    def send(self, requests: Iterable[NewRequest], topic: str | None = None) -> None:
        """Send requests and wait until the brokers have them. Raises KafkaException where they refuse."""
        errors: list[Any] = []

        def noted(error: Any, _message: Message) -> None:
            if error is not None:
                errors.append(error)

        for request in requests:
            while True:
                try:
                    self._producer.produce(
                        topic or REQUESTS.of(self.id),
                        key=request.key_for(self.id),
                        value=request.value(),
                        headers=request.headers(self.id),
                        on_delivery=noted,
                    )
                    break
                except BufferError:
                    self._producer.poll(_POLL_S)
            self._producer.poll(0)
        self._producer.flush(_TIMEOUT_S)
        if errors:
            raise KafkaException(errors[0])

    def ask(self, *requests: NewRequest, timeout_s: float = _TIMEOUT_S) -> list[Delivered]:
        """Send requests and wait for their outcomes, in the requests' order. Raises NoAnswer."""
        begin = len(self.received)
        self.send(requests)
        wanted = {request.id for request in requests}
        found: dict[str, Delivered] = {}

        def all_arrived(_: Sequence[Delivered]) -> bool:
            for message in self.received[begin:]:
                if message.is_outcome and message.body["request_id"] in wanted:
                    found.setdefault(message.body["request_id"], message)
            return len(found) == len(wanted)

        self.wait_until(all_arrived, timeout_s=timeout_s, what=f"{len(wanted)} outcomes")
        return [found[request.id] for request in requests]

    def outcomes_of(
        self, requests: Sequence[NewRequest], late: Callable[[str], None]
    ) -> Iterator[tuple[NewRequest, Delivered]]:
        """Send requests and yield their outcomes as they arrive, however many and however long that takes.

        `late` is called again and again with what has not arrived since the last outcome; it raises to give up. What
        has been received is let go of.
        """
        self.send(requests)
        left = {request.id: request for request in requests}
        while left:
            self.read()
            received, self.received = self.received, []
            found = [m for m in received if m.is_outcome and m.body["request_id"] in left]
            if not found:
                late(f"{len(left)} outcomes for {self.id}")
            for message in found:
                if (request := left.pop(message.body["request_id"], None)) is not None:
                    yield request, message

    def wait_until(
        self, condition: Callable[[Sequence[Delivered]], bool], *, timeout_s: float = _TIMEOUT_S, what: str = "that"
    ) -> None:
        """Read events until a condition on all that was received holds. Raises NoAnswer."""
        deadline = time.monotonic() + timeout_s
        while not condition(self.received):
            if time.monotonic() > deadline:
                raise NoAnswer(f"{self.id} waited {timeout_s:g} s for {what}, and it did not come")
            self.read()

    def read(self, wait_s: float = _POLL_S) -> None:
        """Read what is there."""
        for message in self._consumer.consume(500, wait_s):
            if message.error() is None:
                self.received.append(delivered(message))
                self._next[message.partition() or 0] = (message.offset() or 0) + 1

    def read_to_end(self) -> None:
        """Read all that is on its topic now. Raises NoAnswer."""
        ends = {p.partition: self._bounds(p)[1] for p in self._consumer.assignment()}
        self.wait_until(lambda _: all(self._next[n] >= end for n, end in ends.items()), what="the end of its topic")

    def error_reading(self, topic: str) -> str | None:
        """Try to read another topic; return the name of the brokers' error, or None if they let us."""
        try:
            metadata = self._consumer.list_topics(topic, timeout=10).topics[topic]
        except KafkaException as error:
            return str(error.args[0].name())
        return None if metadata.error is None else str(metadata.error.name())

    def _assign(self, *, from_start: bool) -> None:
        topic = EVENTS.of(self.id)
        try:
            metadata = ask(lambda wait_s: self._consumer.list_topics(topic, timeout=wait_s), _CONNECTED_S).topics[topic]
            if metadata.error is not None:
                raise Unreachable(f"{self.id} cannot read {topic}: {metadata.error.str()}")
            partitions = []
            for number in metadata.partitions:
                first, last = self._bounds(TopicPartition(topic, number))
                self._next[number] = first if from_start else last
                partitions.append(TopicPartition(topic, number, self._next[number]))
        except KafkaException as error:
            why = self._problems[-1] if self._problems else error.args[0].str()
            raise Unreachable(f"{self.id} cannot reach the bus: {why}") from error
        self._consumer.assign(partitions)

    def _bounds(self, partition: TopicPartition) -> tuple[int, int]:
        """Where a partition begins and ends; a broker that has just started leads it a little later."""
        deadline = time.monotonic() + _LEADER_S
        while True:
            try:
                first, last = self._consumer.get_watermark_offsets(partition, timeout=10)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.NOT_LEADER_FOR_PARTITION or time.monotonic() > deadline:
                    raise
                time.sleep(_POLL_S)
            else:
                return first, last

    def _note_problem(self, error: Any) -> None:
        self._problems.append(error.str())


def delivered(message: Message) -> Delivered:
    """Read a message of `events.<company>`."""
    headers = {name: bytes(value or b"").decode() for name, value in cast("Headers", message.headers() or [])}
    return Delivered(
        type=headers["ce_type"].removeprefix("claimbus.").removesuffix(".v1"),
        id=headers["ce_id"],
        body=from_json(message.value() or b"null"),
        appended_at_ms=message.timestamp()[1],
        headers=headers,
    )
