"""What an audit reads of the topics: where their readers and their ends were, and every message between.

The readers' committed offsets are asked for first, then the ends, of what is written last first. So what follows from a
record that its reader has committed lies before the ends, and so does what a record before them follows from.
"""

import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec
from pydantic import ValidationError
from pydantic_core import from_json

from operations.connection import Connection, Unreachable
from operations.groups import Groups
from operations.records import ReadRecord, read_all
from services.permissions.claim_rules import check
from services.permissions.received import ReceivedRequest, is_settled_here
from shared.audit.directory import Entry, clocks_apart
from shared.audit.invariants import passed_by
from shared.audit.spool import Spool, digest
from shared.contract.commands import CheckedRequest
from shared.contract.dead_letters import DeadLetter
from shared.contract.directory_events import DirectoryEvent, read_directory_event
from shared.contract.envelope import Envelope, Undecodable, read_envelope, read_internal_envelope
from shared.contract.events import CLAIM_EVENTS as EVENTS_BY_TYPE
from shared.contract.linking import REMEMBERED_UNDER, STEPS_FOR_CLAIMS, LinkRequested
from shared.contract.outcomes import OUTCOMES
from shared.contract.requests import REQUESTS as REQUESTS_BY_TYPE
from shared.contract.requests import DirectoryRequest
from shared.contract.topics import (
    CLAIM_COMMANDS,
    CLAIM_EVENTS,
    DEAD_LETTERS,
    DIRECTORY,
    EVENTS,
    LINK_REQUESTS,
    OPERATOR,
    REQUEST_OUTCOMES,
    REQUESTS,
    SERVICES,
    Topic,
    company_of_requests,
)
from shared.domain.directory import Directory
from shared.messaging.record import Record

Partition = tuple[str, int]

_TIMEOUT_S = 15.0
_STANDSTILL_S = 60.0
_AT_A_TIME = 2000
_POLL_S = 0.2
_QUEUED_KIB = 32 * 1024
_ON_ITS_WAY_MS = 10 * 60 * 1000
_BROKEN = (KafkaError._BAD_COMPRESSION, KafkaError._BAD_MSG)
_IN_ORDER = (
    (EVENTS,),
    (CLAIM_EVENTS, REQUEST_OUTCOMES, LINK_REQUESTS, DEAD_LETTERS),
    (CLAIM_COMMANDS,),
    (REQUESTS,),
)
"""The topics that are read, with what is written last first."""


@dataclass(slots=True)
class Reach:
    """How far there is to read, and how far the services had come before that was asked for."""

    began: datetime
    committed: dict[str, dict[Partition, int]]
    """By service."""
    ends: dict[Partition, tuple[int, int]]
    """The first and the next offset."""
    first_times: dict[Partition, int] = field(default_factory=dict)
    """When the first record that is kept was appended, as they are read."""
    clocks_apart: dict[str, int] = field(default_factory=dict)
    """How long before its request something on a topic was appended at most, in milliseconds, as they are read."""

    @property
    def records(self) -> int:
        """How many records there are to read."""
        return sum(end - first for first, end in self.ends.values())

    def passed(self, topic: str, part: int, off: int) -> int:
        """Return which services have committed past a record, as the spool has it."""
        return passed_by(*(service for service, at in self.committed.items() if off < at.get((topic, part), 0)))

    def too_far(self) -> Iterator[tuple[str, str, int, int, int]]:
        """Yield who has committed more of a partition than there is, and how far it goes."""
        for service, places in self.committed.items():
            for (topic, part), off in places.items():
                if (topic, part) in self.ends and off > self.ends[topic, part][1]:
                    yield service, topic, part, off, self.ends[topic, part][1]

    def note_clocks(self, record: Record, requested_at: int) -> None:
        """Note when what comes of a request was appended."""
        apart = max(requested_at - record.timestamp, self.clocks_apart.get(record.topic, 0))
        if apart:
            self.clocks_apart[record.topic] = apart

    def kept_since(self) -> Iterator[tuple[str, int]]:
        """Yield, by topic, from when on it has what requests of then led to, in milliseconds since 1970.

        What retention has cut begins with its first record. What begins with the first record ever was perhaps made
        anew, and has nothing of before; what led to that record may have been asked for a while earlier.
        """
        now = round(self.began.timestamp() * 1000)
        partitions: defaultdict[str, list[Partition]] = defaultdict(list)
        for partition in self.ends:
            partitions[partition[0]].append(partition)
        for topic, its in partitions.items():
            cut = [self.first_times.get(partition, now) for partition in its if self.ends[partition][0] > 0]
            begun = min(self.first_times.get(partition, now) for partition in its)
            yield topic, max(cut) if cut else begun - (0 if topic.startswith(REQUESTS.prefix) else _ON_ITS_WAY_MS)


def is_read(name: str) -> bool:
    """Whether an audit reads every message of a topic."""
    return any(_is(topic, name) for topics in _IN_ORDER for topic in topics)


def reach_of(connection: Connection) -> Reach:
    """Ask how far the services have read, and then how far the topics go. Raises Unreachable or KafkaException."""
    problems: list[str] = []
    admin = AdminClient(connection.client() | {"error_cb": lambda error: problems.append(error.str())})
    began = datetime.now(UTC)
    try:
        names = admin.list_topics(timeout=_TIMEOUT_S).topics
        partitions = [(name, number) for name, metadata in names.items() for number in metadata.partitions]
        with Groups(connection) as groups:
            committed = {service: groups.committed(service, partitions) for service in SERVICES}
        names = admin.list_topics(timeout=_TIMEOUT_S).topics  # others were made meanwhile, perhaps
        ends: dict[Partition, tuple[int, int]] = {}
        for topics in _IN_ORDER:
            partitions = [
                (name, number)
                for name, metadata in names.items()
                if any(_is(topic, name) for topic in topics)
                for number in metadata.partitions
            ]
            last = _offsets(admin, partitions, OffsetSpec.latest())  # type: ignore[no-untyped-call]
            first = _offsets(admin, partitions, OffsetSpec.earliest())  # type: ignore[no-untyped-call]
            ends |= {partition: (min(first[partition], end), end) for partition, end in last.items()}
    except KafkaException as error:
        admin.poll(0)
        raise Unreachable(f"the bus cannot be reached: {[*problems, error.args[0].str()][0]}") from error
    return Reach(began, committed, ends)


def _offsets(admin: AdminClient, partitions: list[Partition], spec: Any) -> dict[Partition, int]:
    if not partitions:
        return {}
    asked = admin.list_offsets({TopicPartition(*partition): spec for partition in partitions})
    return {(p.topic, p.partition): done.result(timeout=_TIMEOUT_S).offset for p, done in asked.items()}


def read_directory(connection: Connection) -> list[Entry]:
    """Read all of `directory`. Raises Unreachable."""
    entries: list[Entry] = []
    for record in read_all(connection, DIRECTORY.name):
        try:
            envelope = read_internal_envelope(record.headers, record.value)
            event = read_directory_event(envelope.type, envelope.body)
        except (Undecodable, ValueError) as error:
            raise Unreachable(f"message {record.offset} of {record.topic} is broken: no service can go on") from error
        entries.append((event, _moment(record.timestamp)))
    return entries


def spool_directory(spool: Spool, entries: list[Entry]) -> Directory:
    """Lay down which requests `directory` remembers, and return the directory that it makes."""
    directory = Directory()
    for event, at in entries:
        directory.apply(event, at)
        settled = directory.settled(event.company, event.request_id)
        effective_at = at if settled is None else settled.effective_at
        spool.add("directory_entries", event.company, event.request_id, _ms(effective_at))
    if apart := clocks_apart(entries):
        spool.add("clocks", DIRECTORY.name, round(apart.total_seconds() * 1000))
    return directory


def spool_topics(
    connection: Connection, reach: Reach, spool: Spool, directory: Directory, advance: Callable[[int], None]
) -> None:
    """Read every message up to the ends, and lay down what is needed of it. Raises Unreachable or KafkaException."""
    reader = TopicSpooler(spool, reach, directory)
    for messages, broken in _messages(connection, reach):
        for message in messages:
            reader.take(message)
        for place in broken:
            reader.take_unreadable(*place, "its batch cannot be unpacked")
        advance(len(messages) + len(broken))
    spool_reach(spool, reach)


def spool_reach(spool: Spool, reach: Reach) -> None:
    """Lay down, when all messages are read, how far back the topics go, and who is past their ends."""
    for topic, since in reach.kept_since():
        spool.add("kept", topic, since)
    for place in reach.too_far():
        spool.add("too_far", *place)
    for of_topic in reach.clocks_apart.items():
        spool.add("clocks", *of_topic)


def _messages(connection: Connection, reach: Reach) -> Iterator[tuple[list[Message], list[tuple[str, int, int]]]]:
    """Yield what there is to read, and where something is in a batch that cannot be unpacked, which is passed over."""
    client = connection.client() | {
        "group.id": f"{OPERATOR}.claimbus",
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "enable.partition.eof": True,
        "queued.max.messages.kbytes": _QUEUED_KIB,
    }
    consumer = Consumer(client)
    left = {partition: end for partition, (first, end) in reach.ends.items() if end > first}
    following = {partition: reach.ends[partition][0] for partition in left}
    try:
        consumer.assign([TopicPartition(*partition, reach.ends[partition][0]) for partition in left])
        deadline = time.monotonic() + _STANDSTILL_S
        while left:
            if time.monotonic() > deadline:
                topics = ", ".join(sorted({topic for topic, _ in left}))
                raise Unreachable(f"the brokers stopped answering before the end of {topics}")
            found: list[Message] = []
            broken: dict[Partition, int] = {}
            finished: set[Partition] = set()
            for message in consumer.consume(_AT_A_TIME, _POLL_S):
                deadline = time.monotonic() + _STANDSTILL_S
                partition = str(message.topic()), int(message.partition() or 0)
                error = message.error()
                offset = int(message.offset() or 0)
                if error is not None and error.code() in _BROKEN and partition in left:
                    offset = broken[partition] = following[partition]
                elif error is not None and error.code() != KafkaError._PARTITION_EOF:
                    raise Unreachable(f"{partition[0]} cannot be read: {error.str()}")
                elif partition in left and error is None and offset < left[partition]:
                    found.append(message)
                    following[partition] = offset + 1
                if partition in left and offset + 1 >= left[partition]:
                    finished.add(partition)
            for partition, offset in broken.items():
                following[partition] = offset + 1
                if partition not in finished:
                    consumer.seek(TopicPartition(*partition, offset + 1))
            if finished:
                left = {partition: end for partition, end in left.items() if partition not in finished}
                consumer.incremental_unassign([TopicPartition(*partition) for partition in finished])
            if found or broken:
                yield found, [(*partition, offset) for partition, offset in broken.items()]
    finally:
        consumer.close()


class TopicSpooler:
    """Lays down what is needed of each message."""

    def __init__(self, spool: Spool, reach: Reach, directory: Directory) -> None:
        self._spool = spool
        self._reach = reach
        self._directory = directory

    def take(self, message: Message) -> None:
        """Lay down a message."""
        try:
            record = ReadRecord.of(message)
        except (SystemError, UnicodeDecodeError):  # confluent-kafka's way to say it
            place = str(message.topic()), int(message.partition() or 0), int(message.offset() or 0)
            self.take_unreadable(*place, "a header's name is not UTF-8")
        else:
            self.take_record(record)

    def take_unreadable(self, topic: str, part: int, off: int, reason: str) -> None:
        """Lay down where something is that cannot be read."""
        self._spool.add("unreadable", topic, part, off, reason, self._reach.passed(topic, part, off))

    def take_record(self, record: Record) -> None:
        """Lay down a message that could be read."""
        self._reach.first_times.setdefault((record.topic, record.partition), record.timestamp)
        passed = self._reach.passed(record.topic, record.partition, record.offset)
        try:
            if record.topic.startswith(REQUESTS.prefix):
                self._request(record, passed)
            elif record.topic.startswith(EVENTS.prefix):
                self._received(record, read_internal_envelope(record.headers, record.value))
            else:
                self._internal(record, read_internal_envelope(record.headers, record.value), passed)
        except (Undecodable, ValidationError, ValueError, KeyError, TypeError, AttributeError) as error:
            reason = str(error) if isinstance(error, Undecodable) else type(error).__name__
            self._spool.add("unreadable", record.topic, record.partition, record.offset, reason, passed)

    def _request(self, record: Record, passed: int) -> None:
        received = ReceivedRequest(
            company=company_of_requests(record.topic),
            at=_moment(record.timestamp),
            envelope=read_envelope(record.headers, record.value),
        )
        request = received.company, received.envelope.id
        checked: tuple[bytes, str, str] = (b"", "", "")
        about_directory = self._is_of_directory(*request, received.envelope.type, received.at)
        if about_directory:
            headers = json.dumps([(name, value.decode("latin-1")) for name, value in record.headers])
            self._spool.add("directory_requests", *request, record.timestamp, headers, record.value)
        else:
            checked = _decided(from_json(check(self._directory, received).json_bytes()))
        self._spool.add(
            "requests",
            *request,
            record.partition,
            record.offset,
            record.timestamp,
            about_directory,
            *checked,
            passed,
        )

    def _is_of_directory(self, company: str, id: str, type: str, at: datetime) -> bool:
        """Whether `directory` remembers a request that was appended at a moment, or has yet to, and not the record."""
        if is_settled_here(self._directory, company, type, at):
            return True
        model = REQUESTS_BY_TYPE.get(type)
        settled = self._directory.settled(company, id)
        if model is None or not issubclass(model, DirectoryRequest) or settled is None:
            return False
        return at >= settled.requested_at  # before that, the company had sent enough

    def _internal(self, record: Record, envelope: Envelope, passed: int) -> None:
        place = record.partition, record.offset
        if record.topic == CLAIM_EVENTS.name:
            claim, _, version = envelope.id.rpartition("/")
            if envelope.type not in EVENTS_BY_TYPE:
                raise Undecodable(f"{envelope.type} is no event of a claim")
            self._spool.add("events", _uuid(claim), int(version), *place, digest(envelope.type, envelope.body), passed)
            return
        body = from_json(envelope.body)
        if record.topic == REQUEST_OUTCOMES.name:
            company, id, type, requested_at = _outcome_of(envelope, body)
            about_directory = self._is_of_directory(company, id, type, _moment(requested_at))
            _, code, decision = _decided(body, whole=False)
            found = digest(envelope.type, envelope.body)
            self._reach.note_clocks(record, requested_at)
            self._spool.add(
                "outcomes", company, id, about_directory, *place, requested_at, found, code, decision, passed
            )
        elif record.topic == CLAIM_COMMANDS.name and envelope.type in STEPS_FOR_CLAIMS:
            step = f"{UUID(body['link_id'])}/{int(body['part'])}/{STEPS_FOR_CLAIMS[envelope.type].NAME}"
            self._spool.add("commands", REMEMBERED_UNDER, step, *place, record.timestamp, True, b"", "", "", passed)
        elif record.topic == CLAIM_COMMANDS.name:
            if envelope.type != CheckedRequest.type():
                raise Undecodable(f"{envelope.type} is no command")
            company, id, requested_at = str(body["company"]), str(body["request_id"]), _ms_of(body["requested_at"])
            self._reach.note_clocks(record, requested_at)
            self._spool.add("commands", company, id, *place, requested_at, False, *_decided(body), passed)
        elif record.topic == LINK_REQUESTS.name:
            if envelope.type != LinkRequested.type():
                raise Undecodable(f"{envelope.type} is no part of a link")
            link, part = str(UUID(body["link_id"])), int(body["part"])
            self._spool.add("link_requests", link, part, *place, record.timestamp, passed)
        elif record.topic == DEAD_LETTERS.name and envelope.type == DeadLetter.type():
            self._spool.add("letters", body["service"], body["source_topic"], body["partition"], body["offset"])

    def _received(self, record: Record, envelope: Envelope) -> None:
        receiver = record.topic.removeprefix(EVENTS.prefix)
        place = record.partition, record.offset
        found = digest(envelope.type, envelope.body)
        if envelope.type in EVENTS_BY_TYPE:
            claim, _, version = envelope.id.rpartition("/")
            self._spool.add("copies", receiver, _uuid(claim), int(version), *place, found)
            return
        body = from_json(envelope.body)
        if envelope.type in OUTCOMES:
            company, id, type, requested_at = _outcome_of(envelope, body)
            about_directory = self._is_of_directory(company, id, type, _moment(requested_at))
            row = receiver, company, id, about_directory, *place, requested_at, found
            self._spool.add("outcome_copies", *row)
        else:
            self._spool.add("others", receiver, body.get("insurer"), envelope.type, *place)


def requests_of(spool: Spool) -> Callable[[DirectoryEvent], ReceivedRequest | None]:
    """Return what finds the request that led to a message of `directory`, where it is still kept."""

    def find(event: DirectoryEvent) -> ReceivedRequest | None:
        rows = spool.query(
            "select headers, value from directory_requests where company = :company and id = :id and at = :at",
            {"company": event.company, "id": event.request_id, "at": _ms(event.requested_at)},
        )
        found = list(rows)
        if len(found) != 1:  # two in the same millisecond: which of them was decided cannot be told
            return None
        headers = [(name, value.encode("latin-1")) for name, value in json.loads(found[0][0])]
        return ReceivedRequest(event.company, event.requested_at, read_envelope(headers, found[0][1]))

    return find


def _decided(body: Any, *, whole: bool = True) -> tuple[bytes, str, str]:
    """Return what stands for all that permissions decided, the code of a refusal, and how a creation was decided."""
    stands_for = digest("", json.dumps(body, sort_keys=True).encode()) if whole else b""
    refusal = (body.get("refusal") or {}) if whole else body
    decision = body.get("decision") or {}
    return (
        stands_for,
        refusal.get("code") or "",
        " ".join(filter(None, (decision.get("rule"), decision.get("local_time")))),
    )


def _outcome_of(envelope: Envelope, body: Any) -> tuple[str, str, str, int]:
    if envelope.type not in OUTCOMES:
        raise Undecodable(f"{envelope.type} is no outcome")
    return str(body["company"]), str(body["request_id"]), str(body["request_type"]), _ms_of(body["requested_at"])


def _is(topic: Topic, name: str) -> bool:
    return name.startswith(topic.prefix) if topic.per_company else name == topic.name


def _uuid(text: str) -> bytes:
    return UUID(text).bytes


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def _ms_of(text: str) -> int:
    return _ms(datetime.fromisoformat(text))
