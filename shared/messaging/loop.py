"""The way of what one subscriber reads: its steps, in their order, and two ways of working.

| step | what is done | if it crashes after this, the next reader of the partition |
|---|---|---|
| 1. fetched | the consumer hands over records, and is past them | fetches them again |
| 2. decoded | each becomes a message, or a dead letter with its reason | does it all again |
| 3. put aside | the dead letters are published, within the limit | publishes them again: their ids are their places |
| 4. decided | the handler, in one transaction of its database | finds the answers remembered, with the same ids |
| 5. published | what it returned, acknowledged by all replicas in sync; half of it may be | publishes all of it again |
| 6. committed | the next offsets to be read | goes on behind them |

*In order* finishes a batch before it takes the next. *Concurrently* finishes each message in its own time, and commits
up to a partition's oldest unfinished one, so that a message that takes minutes holds up nothing but the offset.

What fails for a reason of ours (Kafka, a database, another instance in the way) is tried again, 4 and 5 together, for
as long as it takes. A message on which the service itself fails is found by taking its batch apart, and put aside. When
partitions are revoked, what is in hand is finished within half a session timeout, or given up there and then: nothing
of a partition that was given away is published or committed afterwards.
"""

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from pydantic_core import from_json

from shared.contract.envelope import Outgoing, Undecodable
from shared.errors import Conflict, Misconfigured, Stopping, TryAgain, kind_and_place
from shared.messaging.consumer import GroupConsumer
from shared.messaging.dead_letters import DeadLetterLimit, TooManyDeadLetters, dead_letter
from shared.messaging.publisher import Publisher
from shared.messaging.record import Record, UndecodableRecord
from shared.runtime import metrics
from shared.runtime.logs import log
from shared.runtime.settings import ServiceSettings

T = TypeVar("T")
Decode = Callable[[Record], T]
Handler = Callable[[Sequence[T]], Awaitable[Iterable[Outgoing]]]
Instead = Callable[[T], Iterable[Outgoing]]

_TRIES_ALONE = 3
_CONFLICTS_IN_A_ROW = 20
_FAILS = "the service {} fails on it; see its log"
_REASONS_OF_OURS = (KafkaError, OSError, TimeoutError, TryAgain)
_FINAL = (Stopping, TooManyDeadLetters, Misconfigured)


@dataclass(frozen=True, slots=True)
class Concurrency:
    """How much may be in hand at once; then no more is read until some of it is finished."""

    messages: int
    bytes: int


class Loop(ConsumerRebalanceListener, Generic[T]):
    """Takes what a subscriber reads through the steps, in order or concurrently."""

    def __init__(
        self,
        service: str,
        settings: ServiceSettings,
        publisher: Publisher,
        decode: Decode[T],
        handler: Handler[T],
        *,
        stop: Callable[[str], None],
        concurrency: Concurrency | None = None,
        instead: Instead[T] = lambda _: (),
    ) -> None:
        """`stop` is told of a fault that somebody has to mend; `instead` says what is sent of a message put aside."""
        self._service = service
        self._settings = settings
        self._publisher = publisher
        self._decode_message = decode
        self._handler = handler
        self._stop = stop
        self._concurrency = concurrency
        self._instead = instead
        self._limit = DeadLetterLimit(share=settings.dead_letter_share, window=settings.dead_letter_window)
        self._in_hand: dict[asyncio.Task[None], tuple[float, int]] = {}
        """What is worked on: since when, by `time.monotonic()`, and of how many bytes."""
        self._consumer: GroupConsumer | None = None
        self._paused: set[TopicPartition] = set()
        self._revoked_at = 0.0
        self._committing = asyncio.Lock()
        self.is_in_order = concurrency is None
        self.assigned_at = time.monotonic()
        """When partitions were last assigned."""
        self.offsets = OffsetsInHand()
        self.stopping = asyncio.Event()
        self.retrying = 0
        """How many batches or messages are waiting to be tried again."""

    async def take(self, records: Sequence[Record], consumer: GroupConsumer) -> None:
        """Take what was fetched: until it is finished, or concurrently until it is begun. Nothing is raised."""
        self._consumer = consumer
        if self.stopping.is_set() or consumer.polled_at < self._revoked_at:
            return  # it is fetched again, after the next start or by whoever has its partition now
        fresh = self.offsets.take(records)
        if self.is_in_order:
            if fresh:
                await asyncio.wait({self._begin(fresh, consumer)})
            return
        for record in fresh:
            self._begin([record], consumer)
        if self._is_full():
            held = consumer.assignment()
            self._paused |= held
            consumer.pause(*held)

    async def on_partitions_revoked(self, _revoked: Collection[TopicPartition]) -> None:
        """Finish what is in hand, or give it up: called before the partitions, all of them, are given out anew.

        A member that its group no longer knows hears of it too late: then they are another's already.
        """
        self._revoked_at = time.monotonic()
        is_member = self._consumer is None or self._consumer.coordination_problem() is None
        if self._in_hand:
            patience_s = self._settings.session_timeout_ms / 2000 if is_member else 0
            _, late = await asyncio.wait(set(self._in_hand), timeout=patience_s)
            if late:
                log.info("what is in hand is given up, since its partitions are revoked", messages=len(late))
                await self._give_up(late)
        self.offsets.forget()
        self._paused.clear()

    async def on_partitions_assigned(self, _assigned: Collection[TopicPartition]) -> None:
        """Note when; the consumer begins where the group has committed."""
        self.assigned_at = time.monotonic()

    async def stop(self, patience_s: float) -> None:
        """Finish a batch that is in hand, or give it up; it is fetched again after the next start."""
        self.stopping.set()
        if self._in_hand and self.is_in_order:
            await asyncio.wait(set(self._in_hand), timeout=patience_s)
        await self._give_up(set(self._in_hand))

    def in_hand_since(self) -> float | None:
        """Tell since when the oldest of what is in hand has been, by `time.monotonic()`."""
        return min((since for since, _ in self._in_hand.values()), default=None)

    # The steps

    async def _finish(self, records: Sequence[Record], consumer: GroupConsumer) -> None:
        began = time.monotonic()
        decoded, letters = self._decode(records)
        await self._put_aside(letters)
        await self._decide_and_publish(decoded)
        await self._commit(records, consumer)
        metrics.BATCH_SECONDS.observe(time.monotonic() - began)
        metrics.BATCH_MESSAGES.observe(len(records))

    def _decode(self, records: Sequence[Record]) -> tuple[list[tuple[Record, T]], list[tuple[Record, Outgoing]]]:
        """Raises TooManyDeadLetters, before any of them is passed, and Misconfigured."""
        decoded: list[tuple[Record, T]] = []
        letters: list[tuple[Record, Outgoing]] = []
        for record in records:
            metrics.MESSAGES_READ.labels(record.topic).inc()
            try:
                decoded.append((record, self._decode_record(record)))
            except Undecodable as problem:
                letters.append((record, self._letter(record, str(problem))))
            except Misconfigured:
                raise
            except Exception as error:  # noqa: BLE001 - a fault of ours that this message brings out
                log.error("message fails", reason=kind_and_place(error), **_about([record]))
                letters.append((record, self._letter(record, _FAILS.format(self._service))))
        dead = {id(record) for record, _ in letters}
        self._limit.check((record, id(record) in dead) for record in records)
        return decoded, letters

    def _decode_record(self, record: Record) -> T:
        if isinstance(record, UndecodableRecord):
            raise Undecodable(
                "a header's name in its batch is not UTF-8, so it cannot be read; it is still on its topic"
            )
        return self._decode_message(record)

    async def _put_aside(self, letters: Sequence[tuple[Record, Outgoing]], instead: Iterable[Outgoing] = ()) -> None:
        """Publish dead letters; what cannot be kept even there stops the service, so that it is not lost."""
        if not letters:
            return
        messages = [*instead, *(letter for _, letter in letters)]
        try:
            await self._until_it_works(
                lambda: self._publisher.publish(messages), _about([record for record, _ in letters])
            )
        except _FINAL:
            raise
        except Exception as error:
            raise Misconfigured(f"dead letters cannot be published: {kind_and_place(error)}") from error

    async def _decide_and_publish(self, decoded: Sequence[tuple[Record, T]]) -> None:
        """Take the batch apart where the service fails on it, and put aside what it fails on alone."""
        if len(decoded) > 1:
            try:
                await self._try(decoded)
            except _FINAL:
                raise
            except Exception as error:  # noqa: BLE001 - a fault of the service that one of these messages brings out
                log.error("batch fails", reason=kind_and_place(error), **_about([record for record, _ in decoded]))
            else:
                return
        for record, message in decoded:
            await self._decide_alone(record, message)

    async def _decide_alone(self, record: Record, message: T) -> None:
        for _ in range(_TRIES_ALONE):
            try:
                await self._try([(record, message)])
            except _FINAL:
                raise
            except Exception as error:  # noqa: BLE001 - the same fault, found
                log.error("message fails", reason=kind_and_place(error), **_about([record]))
            else:
                return
        self._limit.check([(record, True)])
        letter = self._letter(record, _FAILS.format(self._service))
        await self._put_aside([(record, letter)], self._instead(message))

    async def _try(self, decoded: Sequence[tuple[Record, T]]) -> None:
        async def decide_and_publish() -> None:
            await self._publisher.publish(list(await self._handler([message for _, message in decoded])))

        await self._until_it_works(decide_and_publish, _about([record for record, _ in decoded]))

    async def _commit(self, records: Sequence[Record], consumer: GroupConsumer) -> None:
        self.offsets.finish(records)
        async with self._committing:
            ready = self.offsets.ready(records)
            if ready and await consumer.commit_held(ready):
                self.offsets.committed(ready)

    # What holds for all of them

    async def _until_it_works(self, attempt: Callable[[], Awaitable[None]], about: dict[str, Any]) -> None:
        """Try for as long as it fails for a reason of ours; anything else is raised."""
        waits_s = self._settings.retry_first_s
        failures = conflicts = 0
        try:
            while True:
                if self.stopping.is_set():
                    raise Stopping
                try:
                    return await attempt()
                except MessageSizeTooLargeError:
                    raise
                except _REASONS_OF_OURS as error:
                    conflicts = conflicts + 1 if isinstance(error, Conflict) else 0
                    if conflicts > _CONFLICTS_IN_A_ROW:
                        raise  # nobody else can be in the way for so long: it conflicts with itself
                    failures += 1
                    self._count_retrying(failures == 1)
                    metrics.RETRIES.labels(type(error).__name__).inc()
                    log.warning("batch is tried again", reason=kind_and_place(error), wait_s=waits_s, **about)
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(waits_s):
                            await self.stopping.wait()
                    waits_s = min(waits_s * 2, self._settings.retry_longest_s)
        finally:
            self._count_retrying(-(failures > 0))

    def _count_retrying(self, change: int) -> None:
        self.retrying += change
        metrics.RETRYING.inc(change)

    def _letter(self, record: Record, reason: str) -> Outgoing:
        metrics.DEAD_LETTERS.labels(record.topic).inc()
        place = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
        log.warning("message is put aside", reason=reason, **place)
        return dead_letter(record, service=self._service, reason=reason)

    def _begin(self, records: Sequence[Record], consumer: GroupConsumer) -> asyncio.Task[None]:
        task = asyncio.create_task(self._finish(records, consumer))
        self._in_hand[task] = time.monotonic(), sum(len(record.value or b"") for record in records)
        metrics.IN_HAND.inc()
        task.add_done_callback(lambda task: self._ended(task, consumer))
        return task

    def _ended(self, task: asyncio.Task[None], consumer: GroupConsumer) -> None:
        del self._in_hand[task]
        metrics.IN_HAND.dec()
        if self._paused and not self._is_full():
            consumer.resume(*self._paused & consumer.assignment())
            self._paused.clear()
        error = None if task.cancelled() else task.exception()
        if error is None or isinstance(error, Stopping):
            return
        self._stop(str(error) if isinstance(error, _FINAL) else f"the loop fails: {kind_and_place(error)}")

    def _is_full(self) -> bool:
        limit = self._concurrency
        return limit is not None and (
            len(self._in_hand) >= limit.messages or sum(size for _, size in self._in_hand.values()) >= limit.bytes
        )

    async def _give_up(self, tasks: Collection[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(slots=True)
class _Partition:
    read_to: int = 0
    unfinished: dict[int, int] = field(default_factory=dict)
    """Append times, in milliseconds since 1970 UTC, by offset."""
    committed: int = -1

    @property
    def finished_to(self) -> int:
        return min(self.unfinished, default=self.read_to)

    def is_another_than_of(self, record: Record) -> bool:
        """Whether what is known is of no use for a record that goes back.

        Nothing is in hand; or the topic was made again and begins at 0 once more, with what was appended later.
        """
        if not self.unfinished:
            return record.offset < self.read_to
        oldest, appended = min(self.unfinished.items())
        return record.offset < oldest and record.timestamp > appended


class OffsetsInHand:
    """Of each partition read from: how far it was read, what of it is unfinished, and how far it is committed."""

    def __init__(self) -> None:
        self._partitions: defaultdict[TopicPartition, _Partition] = defaultdict(_Partition)

    def take(self, records: Iterable[Record]) -> list[Record]:
        """Tell which of these are not in hand, or finished behind one that is.

        After an error all that was not committed then is fetched again.
        """
        fresh = []
        in_hand: dict[TopicPartition, range] = {}
        for record in records:
            partition = TopicPartition(record.topic, record.partition)
            at = self._partitions[partition]
            if partition not in in_hand:
                if at.is_another_than_of(record):
                    at = self._partitions[partition] = _Partition()
                in_hand[partition] = range(at.finished_to, at.read_to)
            if record.offset not in in_hand[partition]:
                at.read_to = max(at.read_to, record.offset + 1)
                at.unfinished[record.offset] = record.timestamp
                fresh.append(record)
        return fresh

    def finish(self, records: Iterable[Record]) -> None:
        """Note that these need nothing more."""
        for record in records:
            at = self._partitions.get(TopicPartition(record.topic, record.partition))
            if at is not None:
                at.unfinished.pop(record.offset, None)

    def ready(self, records: Iterable[Record]) -> dict[TopicPartition, int]:
        """Tell what can be committed of these records' partitions: up to each one's oldest unfinished message."""
        partitions = {TopicPartition(record.topic, record.partition) for record in records}
        places = {partition: self._partitions[partition] for partition in partitions & self._partitions.keys()}
        return {partition: at.finished_to for partition, at in places.items() if at.finished_to != at.committed}

    def committed(self, offsets: dict[TopicPartition, int]) -> None:
        """Note what was committed."""
        for partition, offset in offsets.items():
            if partition in self._partitions:
                self._partitions[partition].committed = offset

    def forget(self) -> None:
        """Forget all of it, when nothing is in hand: it is read again from what is committed, here or elsewhere."""
        self._partitions.clear()

    def oldest(self, partition: TopicPartition) -> tuple[int, int] | None:
        """Tell the offset and append time, in milliseconds since 1970 UTC, of the oldest unfinished message."""
        at = self._partitions.get(partition)
        return min(at.unfinished.items(), default=None) if at is not None else None


def _about(records: Sequence[Record]) -> dict[str, Any]:
    """Tell a log which message or messages it is about: partition and offset, and the key, which is an id."""
    first, last = records[0], records[-1]
    about = {"first": f"{first.topic}/{first.partition}/{first.offset}", "messages": len(records)}
    if len(records) > 1:
        return about | {"last": f"{last.topic}/{last.partition}/{last.offset}"}
    return about | {"claim": (first.key or b"")[:100].decode(errors="replace"), "request": _id_of(first)[:100]}


def _id_of(record: Record) -> str:
    """Tell a message's CloudEvents id: of a header in binary mode, of the body in structured mode."""
    for name, value in record.headers:
        if name.lower() == "ce_id":
            return (value or b"").decode(errors="replace")
    with contextlib.suppress(ValueError, AttributeError):
        return str(from_json(record.value or b"").get("id", ""))
    return ""
