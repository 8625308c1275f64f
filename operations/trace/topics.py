"""Messages found on their topics: in the partition of their key, from a moment on, and never more than so many read."""

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from operations.connection import Connection, Unreachable
from operations.patience import ask
from operations.records import ReadRecord
from shared.contract.envelope import Undecodable, read_envelope
from shared.contract.topics import OPERATOR, REQUESTS
from shared.messaging.partitions import partition_of

_TIMEOUT_S = 15.0
_POLL_S = 0.05
_AT_A_TIME = 500
_AHEAD_KIB = 1024
"""What is fetched for a look at few messages."""
_BROKEN = (KafkaError._BAD_COMPRESSION, KafkaError._BAD_MSG)

Partition = tuple[str, int]


class Missing(StrEnum):
    """Why a message was not found."""

    NOT_THERE = "not there (yet)"
    NOT_KEPT = "older than what the topic keeps"
    TOO_FAR = "not among the messages looked through (--at-most)"
    NO_TOPIC = "there is no such topic"
    UNREADABLE = "behind a batch that cannot be unpacked"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A message: its topic, its id, and since when it can be there, in milliseconds since 1970 UTC."""

    topic: str
    id: str
    since_ms: int
    key: str | None = None
    """What its partition follows from; None where that was its sender's choice."""
    until_ms: int | None = None
    """When it was appended at the latest, where that is known."""


Found = Mapping[Wanted, ReadRecord | Missing]


@dataclass
class _Search:
    """What is looked for in one partition, and how far that has come."""

    kept: tuple[int, int]
    """The first offset that is kept, and the next one."""
    wanted: list[Wanted] = field(default_factory=list)
    """By `since_ms`."""
    read: int = 0


class Topics:
    """The topics, as the operator reads them."""

    def __init__(self, connection: Connection, at_most: int) -> None:
        """`at_most` messages of a partition are looked through for each that is wanted. Raises Unreachable."""
        problems: list[str] = []
        self._at_most = at_most
        self._consumer = Consumer(
            connection.client()
            | {
                "group.id": f"{OPERATOR}.claimbus",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "queued.max.messages.kbytes": _AHEAD_KIB,
                "fetch.wait.max.ms": 50,
                "error_cb": lambda error: problems.append(error.str()),
            }
        )
        try:
            topics = ask(lambda wait_s: self._consumer.list_topics(timeout=wait_s), _TIMEOUT_S).topics
        except KafkaException as error:
            self._consumer.poll(0)  # to hear what the problem was, such as a wrong password
            self._consumer.close()
            raise Unreachable(f"the bus cannot be reached: {[*problems, error.args[0].str()][0]}") from error
        self._partitions = {name: len(metadata.partitions) for name, metadata in topics.items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    @property
    def companies(self) -> list[str]:
        """Those that have a topic for requests."""
        return sorted(
            name.removeprefix(REQUESTS.prefix) for name in self._partitions if name.startswith(REQUESTS.prefix)
        )

    def find(self, wanted: Iterable[Wanted]) -> Found:
        """Look for messages; of one that is there several times, the first. Raises KafkaException, Unreachable."""
        found: dict[Wanted, ReadRecord | Missing] = {}
        searches: defaultdict[Partition, list[Wanted]] = defaultdict(list)
        for one in wanted:
            found[one] = Missing.NO_TOPIC
            for number in self._places(one):
                searches[one.topic, number].append(one)
                found[one] = Missing.NOT_THERE
        left = {
            partition: _Search(self._kept(partition), sorted(wanted, key=lambda one: one.since_ms))
            for partition, wanted in searches.items()
        }
        while left:
            self._look(left, found)
            left = {partition: search for partition, search in left.items() if search.wanted}
        return found

    def recent(self, names: Collection[str], since_ms: int) -> list[ReadRecord]:
        """Read what was appended to topics since a moment; of each partition the first `at_most`. Raises as `find`."""
        records: list[ReadRecord] = []
        counted: defaultdict[Partition, int] = defaultdict(int)

        def take(record: ReadRecord) -> bool:
            records.append(record)
            counted[record.topic, record.partition] += 1
            return counted[record.topic, record.partition] >= self._at_most

        places = {(name, number): since_ms for name in names for number in range(self._partitions.get(name, 0))}
        self._read(self._offsets(places), take)
        return records

    def _places(self, wanted: Wanted) -> Iterable[int]:
        partitions = self._partitions.get(wanted.topic, 0)
        if wanted.key is None or not partitions:
            return range(partitions)
        return [partition_of(wanted.key.encode(), partitions)]

    def _kept(self, partition: Partition) -> tuple[int, int]:
        return self._consumer.get_watermark_offsets(TopicPartition(*partition), timeout=_TIMEOUT_S)

    def _look(self, searches: Mapping[Partition, _Search], found: dict[Wanted, ReadRecord | Missing]) -> None:
        """Look for the earliest that is wanted of each partition, and pick up what else is wanted on the way."""
        earliest = {partition: search.wanted[0] for partition, search in searches.items()}
        offsets = self._offsets({partition: one.since_ms for partition, one in earliest.items()})
        for search in searches.values():
            search.read = 0

        too_far: set[Partition] = set()

        def take(record: ReadRecord) -> bool:
            partition = record.topic, record.partition
            search, one = searches[partition], earliest[partition]
            search.read += 1
            id = _id_of(record)
            for other in [other for other in search.wanted if other.id == id]:
                found[other] = record
                search.wanted.remove(other)
            if one not in search.wanted or (one.until_ms is not None and record.timestamp > one.until_ms):
                return True
            if search.read >= self._at_most:
                too_far.add(partition)
            return partition in too_far

        broken = self._read(offsets, take)
        for partition, search in searches.items():
            one = earliest[partition]
            if one in search.wanted:
                search.wanted.remove(one)
                if not isinstance(found[one], Missing):
                    continue  # another partition has it
                if partition in broken:
                    found[one] = Missing.UNREADABLE
                elif partition in too_far:
                    found[one] = Missing.TOO_FAR
                elif _is_cut(search.kept, offsets.get(partition)):
                    found[one] = Missing.NOT_KEPT

    def _offsets(self, since_ms: Mapping[Partition, int]) -> dict[Partition, int]:
        """Where each partition goes on from a moment; one that has nothing since then is left out."""
        asked = [TopicPartition(*partition, ms) for partition, ms in since_ms.items()]
        if not asked:
            return {}
        answered = self._consumer.offsets_for_times(asked, timeout=_TIMEOUT_S)
        return {(p.topic, p.partition): p.offset for p in answered if p.offset >= 0}

    def _read(self, offsets: Mapping[Partition, int], take: Callable[[ReadRecord], bool]) -> set[Partition]:
        """Read partitions until `take` says of each that it is enough, or to the end; return those with a broken batch.

        A message whose headers the client cannot read is passed over.
        """
        left, broken = set(offsets), set[Partition]()
        self._consumer.assign([TopicPartition(*partition, offset) for partition, offset in offsets.items()])
        deadline = time.monotonic() + _TIMEOUT_S
        while left:
            if time.monotonic() > deadline:
                topics = ", ".join(sorted({topic for topic, _ in left}))
                raise Unreachable(f"the brokers stopped answering before the end of {topics}")
            enough: set[Partition] = set()
            for message in self._consumer.consume(_AT_A_TIME, _POLL_S):
                deadline = time.monotonic() + _TIMEOUT_S
                partition = str(message.topic()), int(message.partition() or 0)
                error = message.error()
                if partition not in left or partition in enough:
                    continue
                if error is not None and error.code() in _BROKEN:
                    broken.add(partition)
                elif error is not None and error.code() != KafkaError._PARTITION_EOF:
                    raise Unreachable(f"{partition[0]} cannot be read: {error.str()}")
                if error is not None or _taken(message, take):
                    enough.add(partition)
            if enough:
                left -= enough
                self._consumer.incremental_unassign([TopicPartition(*partition) for partition in enough])
        return broken


def _is_cut(kept: tuple[int, int], begin: int | None) -> bool:
    """Whether retention has taken what a partition had of a moment, if what it has since then begins at an offset."""
    first, end = kept
    return first > 0 and (first == end if begin is None else begin <= first)


def _taken(message: Message, take: Callable[[ReadRecord], bool]) -> bool:
    try:
        record = ReadRecord.of(message)
    except (SystemError, UnicodeDecodeError):  # confluent-kafka's way to say that a header's name is not UTF-8
        return False
    return take(record)


def _id_of(record: ReadRecord) -> str | None:
    """Return a message's id; a request can have it in its value."""
    if not record.topic.startswith(REQUESTS.prefix):
        headers = cast("dict[str, bytes]", dict(record.headers))
        return headers.get("ce_id", b"").decode(errors="replace")
    try:
        return read_envelope(record.headers, record.value).id
    except Undecodable:
        return None
