"""The way of what one subscriber reads: its steps, in their order, and two ways of working.

| step | what is done | if it crashes after this, the next reader of the partition |
|---|---|---|
| 1. fetched | the consumer hands over records, and is past them | fetches them again |
| 2. decoded | each becomes a message, or a dead letter with its reason | does it all again |
| 3. put aside | the dead letters are published, within the limit | publishes them again: their ids are their places |
| 4. decided | the handler, in one transaction of its database | finds the answers remembered, with the same ids |
| 5. published | what it returned, acknowledged by all replicas in sync; half of it may be | publishes all of it again |
| 6. committed | the next offsets to be read | goes on behind them |

A batch is finished when it is published: nothing waits for the commit, which may be of several at once.

*In order* finishes a batch before it takes the next. *Concurrently* finishes each message in its own time, and commits
up to a partition's oldest unfinished one, so that a message that takes minutes holds up nothing but the offset.

What fails for a reason of ours (Kafka, a database, another instance in the way) is tried again, 4 and 5 together, for
as long as it takes. A message on which the service itself fails is found by taking its batch apart, and put aside. When
partitions are revoked, what is in hand is finished within half a session timeout, or given up there and then: nothing
of a partition that was given away is published or committed afterwards.

A database that has lost what it had is found out by its own positions (positions.py): in each transaction, when
partitions are assigned, and every few seconds while nothing comes. What it has lost is read again.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from shared.contract.envelope import Outgoing, Undecodable, read_envelope
from shared.errors import Conflict, Misconfigured, Stopping, TryAgain, kind_and_place
from shared.messaging.dead_letters import DeadLetterLimit, TooManyDeadLetters, Why, dead_letter, is_outsiders
from shared.messaging.offsets import OffsetsInHand
from shared.messaging.positions import Behind, Positions
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
"""Nobody else can be in the way for longer: then it conflicts with itself."""
_REASONS_OF_OURS = (KafkaError, OSError, TimeoutError, TryAgain)
_LAST_COMMIT_S = 1.0
_COMPARED_EVERY_S = 5.0
_FINAL = (Stopping, TooManyDeadLetters, Misconfigured, Behind)


@dataclass(frozen=True, slots=True)
class Concurrency:
    """How much may be in hand at once; then no more is read until some of it is finished."""

    messages: int
    bytes: int


@dataclass(eq=False)
class Loop(ConsumerRebalanceListener, Generic[T]):
    """Takes what a subscriber reads through the steps, in order or concurrently."""

    service: str
    settings: ServiceSettings
    publisher: Publisher
    decode: Decode[T]
    handler: Handler[T]
    instead: Instead[T]
    """Returns what is sent of a message put aside."""
    concurrency: Concurrency | None
    positions: Positions | None
    """Of what is read in order; None if nothing of it is kept in a database."""
    give_up: Callable[[str], None]
    """Stops the service, for a fault that somebody has to mend."""

    def __post_init__(self) -> None:
        self.working: set[asyncio.Task[None]] = set()
        """On a batch; concurrently on a message each."""
        self.retrying: set[object] = set()
        """Attempts at batches or messages that have failed, and are made again."""
        self.offsets = OffsetsInHand()
        self.assigned_at = time.monotonic()
        """When partitions were last assigned."""
        self.begins_again = False
        """Whether it has to read with a new consumer, or after a rebalance, from where the group has committed."""
        self.stopping = asyncio.Event()
        self._fails = f"the service {self.service} fails on it; see its log"
        self._limit = DeadLetterLimit(share=self.settings.dead_letter_share, window=self.settings.dead_letter_window)
        self._consumer: Any = None
        self._began_at = 0.0
        self._revoked_at = 0.0
        self._paused: set[TopicPartition] = set()
        self._committing: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self._knows_positions = False
        self._compared_at = 0.0

    async def take(self, records: Sequence[Record], consumer: Any) -> None:
        """Take what was fetched: until it is finished, or concurrently until it is begun. Nothing is raised."""
        self._consumer = consumer
        if self.stopping.is_set() or self.begins_again or consumer.polled_at < self._revoked_at:
            return  # it is fetched again: after the next start, or by its partition's new owner
        self.offsets.take(records)
        if self.concurrency is None:
            await asyncio.wait({self._begin(records)})
            if len(records) < self.settings.batch_max_records:
                await self._stopping_within(rest_s(self.settings, time.monotonic() - self._began_at))
            return
        for record in records:
            self._begin([record])
        if self._is_full():
            self._paused |= consumer.assignment()
            consumer.pause(*self._paused)

    def batch_since(self) -> float | None:
        """Since when the batch has been in hand that must be finished before more is read."""
        return self._began_at if self.working and self.concurrency is None else None

    async def on_partitions_revoked(self, _revoked: Collection[TopicPartition]) -> None:
        """Finish what is in hand, or give it up: called before the partitions, all of them, are reassigned.

        A member that its group no longer knows learns of it too late: another has them already.
        """
        self._revoked_at = time.monotonic()
        is_expelled = self._consumer is not None and self._consumer.coordination_problem() is not None
        await self._end(0 if is_expelled else self.settings.session_timeout_ms / 2000)
        self.offsets.forget()
        self._paused.clear()
        self.begins_again = False

    async def on_partitions_assigned(self, _assigned: Collection[TopicPartition]) -> None:
        """Note when; the consumer begins where the group has committed."""
        self.assigned_at = time.monotonic()
        self._knows_positions = False

    def compare_positions(self, consumer: Any) -> None:
        """Begin to find out whether the database is where it was, unless a batch in hand does, or that was just now."""
        self._consumer = consumer
        is_due = time.monotonic() - self._compared_at > _COMPARED_EVERY_S or not self._knows_positions
        is_free = not self.working and not self.begins_again and not self.stopping.is_set()
        if self.positions is not None and is_due and is_free:
            self._start(self._keep_in_step(self.positions, ()))

    async def stop(self) -> None:
        """Finish a batch that is in hand, or give it up; it is fetched again after the next start."""
        self.stopping.set()
        await self._end(self.settings.stop_timeout_s if self.concurrency is None else 0)

    async def _end(self, patience_s: float) -> None:
        """Wait until all that is in hand is finished, give up what is not then, and commit the rest."""
        if self.working:
            _, late = await asyncio.wait(self.working, timeout=patience_s)
            if late:
                log.info("what is in hand is given up, and read again by whoever reads on", messages=len(late))
                await _cancelled(late)
        if self._committing is not None:
            await _cancelled({self._committing})
        if ready := self.offsets.ready():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_COMMIT_S):
                    await self._consumer.commit_held(ready)

    # The steps

    async def _finish(self, records: Sequence[Record]) -> None:
        if self.positions is None:
            await self._take_steps(records)
        else:
            await self._keep_in_step(self.positions, records)

    async def _take_steps(self, records: Sequence[Record]) -> None:
        began = time.monotonic()
        decoded, unfit = self._decode(records)
        await self._put_aside(unfit)
        await self._decide_and_publish(decoded, records)
        self._commit(records)
        metrics.BATCH_SECONDS.observe(time.monotonic() - began)
        metrics.BATCH_MESSAGES.observe(len(records))

    def _decode(self, records: Sequence[Record]) -> tuple[list[tuple[Record, T]], list[tuple[Record, str]]]:
        """The decoded messages, and what is to be put aside, each with its reason.

        Raises Misconfigured, and TooManyDeadLetters before any of them is passed.
        """
        for topic, count in Counter(record.topic for record in records).items():
            metrics.MESSAGES_READ.labels(topic).inc(count)
        decoded: list[tuple[Record, T]] = []
        unfit: list[tuple[Record, str]] = []
        read: list[tuple[Record, bool]] = []
        for record in records:
            reason = None
            try:
                if isinstance(record, UndecodableRecord):
                    reason = record.reason
                else:
                    decoded.append((record, self.decode(record)))
            except Undecodable as problem:
                reason = str(problem)
            except Misconfigured:
                raise
            except Exception as error:  # noqa: BLE001 - a fault of ours that this message brings out
                reason = self._fails
                log.error("message fails", reason=kind_and_place(error), **_about([record]))
            if reason is not None:
                unfit.append((record, reason))
            read.append((record, reason is self._fails or (reason is not None and not is_outsiders(record))))
        self._limit.check(read)
        return decoded, unfit

    async def _put_aside(self, unfit: Sequence[tuple[Record, str]], instead: Iterable[Outgoing] = ()) -> None:
        """Publish dead letters; what cannot be kept even there stops the service, so that it is not lost."""
        if not unfit:
            return
        messages = [*instead]
        for record, reason in unfit:
            messages.append(self._dead_letter(record, reason))
        if not await self._succeeds(lambda: self.publisher.publish(messages), [record for record, _ in unfit]):
            raise Misconfigured("dead letters cannot be published; see the log")

    def _dead_letter(self, record: Record, reason: str) -> Outgoing:
        why = Why.SERVICE_FAILS if reason is self._fails else Why.NOT_UNDERSTOOD
        metrics.DEAD_LETTERS.labels(record.topic, why).inc()
        place = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
        log.warning("message is put aside", reason=reason, **place)
        return dead_letter(record, service=self.service, reason=reason)

    async def _decide_and_publish(self, decoded: Sequence[tuple[Record, T]], records: Sequence[Record]) -> None:
        """Take the batch apart where the service fails on it, and put aside what it fails on alone.

        The transaction of a whole batch moves the database's positions behind all of its records.
        """
        if len(decoded) > 1 and await self._is_handled(decoded, records):
            return
        for record, message in decoded:
            for _ in range(_TRIES_ALONE):
                if await self._is_handled([(record, message)], [record]):
                    break
            else:
                self._limit.check([(record, True)])
                await self._put_aside([(record, self._fails)], self.instead(message))
        await self._move_behind(records)

    async def _is_handled(self, decoded: Sequence[tuple[Record, T]], records: Sequence[Record]) -> bool:
        """Whether it was decided and published; else the service fails on one of these messages."""

        async def decide_and_publish() -> None:
            if self.positions is not None:
                self.positions.take(records)
            await self.publisher.publish([*await self.handler([message for _, message in decoded])])
            if self.positions is not None:
                self.positions.moved()

        return await self._succeeds(decide_and_publish, [record for record, _ in decoded])

    def _commit(self, records: Sequence[Record]) -> None:
        """Have them committed: at once, or a moment after the last commit. Nothing waits for it."""
        self.offsets.finish(records)
        if self._committing is None or self._committing.done():
            self._committing = asyncio.create_task(self._commit_finished())
            self._committing.add_done_callback(self._ended)

    async def _commit_finished(self) -> None:
        """Commit what is finished, and what is finished meanwhile, until there is nothing more.

        A commit that comes to nothing, because the coordinator is away or a topic is, is tried again.
        """
        while not self.stopping.is_set() and (ready := self.offsets.ready()):
            if is_committed := await self._consumer.commit_held(ready):
                self.offsets.committed(ready)
            await self._stopping_within(self.settings.commits_apart_s if is_committed else self.settings.retry_first_s)

    # The database's positions

    async def _keep_in_step(self, positions: Positions, records: Sequence[Record]) -> None:
        """Take records, if there are any, and go back where the database has lost what it had."""
        async with self._turn:
            if self.begins_again:
                return
            try:
                if not records or not self._knows_positions:
                    await self._must_succeed(lambda: self._compare(positions))
                if records:
                    await self._take_steps(records)
            except Behind as behind:
                await self._go_back(positions, behind)

    async def _compare(self, positions: Positions) -> None:
        """Find out whether the database is where it was, or where the group has committed. Raises Behind."""
        if not self._knows_positions:
            partitions = sorted(self._consumer.assignment())
            offsets = await asyncio.gather(*map(self._consumer.committed, partitions))
            positions.begin({at: offset or 0 for at, offset in zip(partitions, offsets, strict=True)})
            self._knows_positions = True
        positions.take_nothing()
        await positions.check()
        self._compared_at = time.monotonic()

    async def _move_behind(self, records: Sequence[Record]) -> None:
        """Have the database pass what was put aside."""
        if self.positions is None:
            return
        self.positions.take(records)
        if any(move.from_offset < move.to_offset for move in self.positions.moves):
            await self._must_succeed(self.positions.check)
            self.positions.moved()

    async def _go_back(self, positions: Positions, behind: Behind) -> None:
        """Have what the database has lost read again, by a new consumer; nothing more is taken of this one."""
        if behind.messages:
            log.error("the database is behind the topics: what it has lost is read again", messages=behind.messages)
            metrics.DATABASE_BEHIND.inc(behind.messages)
        else:
            log.info("the database is another server: it is found out whether it has lost anything")
        self.begins_again = True
        if self._committing is not None:
            await _cancelled({self._committing})
        self.offsets.forget()

        async def commit_further_back() -> None:
            offsets = await positions.recover(behind)
            if offsets and not await self._consumer.commit_held(offsets):
                raise TryAgain

        await self._must_succeed(commit_further_back)

    # What holds for all of them

    async def _must_succeed(self, attempt: Callable[[], Awaitable[None]]) -> None:
        if not await self._succeeds(attempt, ()):
            raise Misconfigured("the positions in the database cannot be kept; see the log")

    async def _succeeds(self, attempt: Callable[[], Awaitable[None]], records: Sequence[Record]) -> bool:
        """Try for as long as it fails for a reason of ours; False if the service itself fails on these records.

        Raises what stops the service.
        """
        wait_s = self.settings.retry_first_s
        conflicts = 0
        try:
            while not self.stopping.is_set():
                try:
                    await attempt()
                except _FINAL:
                    raise
                except Exception as error:  # noqa: BLE001 - a fault of the service that a message brings out
                    conflicts = conflicts + 1 if isinstance(error, Conflict) else 0
                    about = {"reason": kind_and_place(error), **_about(records)}
                    is_too_large = isinstance(error, MessageSizeTooLargeError)
                    if not isinstance(error, _REASONS_OF_OURS) or is_too_large or conflicts > _CONFLICTS_IN_A_ROW:
                        log.error("message fails" if len(records) == 1 else "batch fails", **about)
                        return False
                    metrics.RETRIES.labels(type(error).__name__).inc()
                    log.warning("batch is tried again", wait_s=wait_s, **about)
                else:
                    return True
                self.retrying.add(attempt)
                await self._stopping_within(wait_s)
                wait_s = min(wait_s * 2, self.settings.retry_longest_s)
            raise Stopping
        finally:
            self.retrying.discard(attempt)

    async def _stopping_within(self, seconds: float) -> None:
        """Wait for so long, or until it is to stop."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.stopping.wait()

    def _begin(self, records: Sequence[Record]) -> asyncio.Task[None]:
        return self._start(self._finish(records))

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        task.add_done_callback(self._ended)
        self.working.add(task)
        self._began_at = time.monotonic()
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.working.discard(task)
        if self._paused and not self._is_full():
            self._consumer.resume(*self._paused & self._consumer.assignment())
            self._paused.clear()
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, Stopping):
            self.give_up(str(error) if isinstance(error, _FINAL) else f"the loop fails: {kind_and_place(error)}")

    def _is_full(self) -> bool:
        limit = self.concurrency
        return limit is not None and (
            len(self.working) >= limit.messages
            or sum(len(record.value or b"") for record in self.offsets.unfinished()) >= limit.bytes
        )


def rest_s(settings: ServiceSettings, took_s: float) -> float:
    """Return for how long to rest after a batch that was not full and took so long, in seconds."""
    return max(settings.batches_apart_s - took_s, min(took_s, settings.rest_longest_s))


async def _cancelled(tasks: Collection[asyncio.Task[None]]) -> None:
    """Cancel tasks, and wait until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


def _about(records: Sequence[Record]) -> dict[str, Any]:
    """Log fields that identify one or several messages: partition and offset, and the key, which is an id."""
    if not records:
        return {}
    first, last = records[0], records[-1]
    about = {"first": f"{first.topic}/{first.partition}/{first.offset}", "messages": len(records)}
    if len(records) > 1:
        return about | {"last": f"{last.topic}/{last.partition}/{last.offset}"}
    request = ""
    with contextlib.suppress(Undecodable):
        request = read_envelope(first.headers, first.value).id
    return about | {"claim": (first.key or b"")[:100].decode(errors="replace"), "request": request}
