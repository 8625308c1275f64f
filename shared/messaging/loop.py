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
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from shared.contract.envelope import Outgoing, Undecodable, read_envelope
from shared.errors import Conflict, Misconfigured, Stopping, TryAgain, kind_and_place
from shared.messaging.dead_letters import DeadLetterLimit, TooManyDeadLetters, Why, dead_letter, is_outsiders
from shared.messaging.offsets import OffsetsInHand
from shared.messaging.publisher import Publisher
from shared.messaging.record import Record, UndecodableRecord
from shared.messaging.upstream import KafkaConsumer
from shared.runtime import metrics
from shared.runtime.logs import log
from shared.runtime.settings import ServiceSettings

T = TypeVar("T")
Decode = Callable[[Record], T]
Handler = Callable[[Sequence[T]], Awaitable[Iterable[Outgoing]]]
Instead = Callable[[T], Iterable[Outgoing]]

_TRIES_ALONE = 3
_CONFLICTS_IN_A_ROW = 20
_REASONS_OF_OURS = (KafkaError, OSError, TimeoutError, TryAgain)
_LAST_COMMIT_S = 1.0
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
        concurrency: Concurrency | None,
        instead: Instead[T],
    ) -> None:
        """`stop` gets a fault that somebody has to mend; `instead` returns what is sent of a message put aside."""
        self._service = service
        self._settings = settings
        self._publisher = publisher
        self._decode_message = decode
        self._handler = handler
        self._stop = stop
        self._concurrency = concurrency
        self._instead = instead
        self._fails = f"the service {service} fails on it; see its log"
        self._limit = DeadLetterLimit(share=settings.dead_letter_share, window=settings.dead_letter_window)
        self._consumer: KafkaConsumer | None = None
        self._working: set[asyncio.Task[None]] = set()
        """On a batch; concurrently on a message each."""
        self._began_at = 0.0
        self._paused: set[TopicPartition] = set()
        self._revoked_at = 0.0
        self._committing: asyncio.Task[None] | None = None
        self.assigned_at = time.monotonic()
        """When partitions were last assigned."""
        self.offsets = OffsetsInHand()
        self.stopping = asyncio.Event()
        self.retrying = 0
        """How many batches or messages are waiting to be tried again."""

    async def take(self, records: Sequence[Record], consumer: KafkaConsumer) -> None:
        """Take what was fetched: until it is finished, or concurrently until it is begun. Nothing is raised."""
        self._consumer = consumer
        if self.stopping.is_set() or consumer.polled_at < self._revoked_at:
            return  # it is fetched again: after the next start, or by its partition's new owner
        self.offsets.take(records)
        if self._concurrency is None:
            await asyncio.wait({self._begin(records, consumer)})
            if len(records) < self._settings.batch_max_records:
                await self._stopping_within(rest_s(self._settings, time.monotonic() - self._began_at))
            return
        for record in records:
            self._begin([record], consumer)
        if self._is_full():
            self._paused |= consumer.assignment()
            consumer.pause(*self._paused)

    def batch_since(self) -> float | None:
        """Since when the batch has been in hand that must be finished before more is read."""
        return self._began_at if self._working and self._concurrency is None else None

    async def on_partitions_revoked(self, _revoked: Collection[TopicPartition]) -> None:
        """Finish what is in hand, or give it up: called before the partitions, all of them, are reassigned.

        A member that its group no longer knows learns of it too late: another has them already.
        """
        self._revoked_at = time.monotonic()
        is_member = self._consumer is None or self._consumer.coordination_problem() is None
        await self._end(self._settings.session_timeout_ms / 2000 if is_member else 0)
        self.offsets.forget()
        self._paused.clear()

    async def on_partitions_assigned(self, _assigned: Collection[TopicPartition]) -> None:
        """Note when; the consumer begins where the group has committed."""
        self.assigned_at = time.monotonic()

    async def stop(self) -> None:
        """Finish a batch that is in hand, or give it up; it is fetched again after the next start."""
        self.stopping.set()
        await self._end(self._settings.stop_timeout_s if self._concurrency is None else 0)

    async def _end(self, patience_s: float) -> None:
        """Wait until all that is in hand is finished, give up what is not then, and commit the rest."""
        if self._working:
            _, late = await asyncio.wait(self._working, timeout=patience_s)
            if late:
                log.info("what is in hand is given up, and read again by whoever reads on", messages=len(late))
                await _cancelled(late)
        if self._committing is not None:
            await _cancelled({self._committing})
        ready = self.offsets.ready()
        if ready and self._consumer is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_COMMIT_S):
                    await self._consumer.commit_held(ready)

    # The steps

    async def _finish(self, records: Sequence[Record], consumer: KafkaConsumer) -> None:
        began = time.monotonic()
        decoded, unfit = self._decode(records)
        await self._put_aside(unfit)
        await self._decide_and_publish(decoded)
        self._commit(records, consumer)
        metrics.BATCH_SECONDS.observe(time.monotonic() - began)
        metrics.BATCH_MESSAGES.observe(len(records))

    def _decode(self, records: Sequence[Record]) -> tuple[list[tuple[Record, T]], list[tuple[Record, str]]]:
        """The decoded messages, and what is to be put aside, each with its reason.

        Raises Misconfigured, and TooManyDeadLetters before any of them is passed.
        """
        decoded: list[tuple[Record, T]] = []
        unfit: list[tuple[Record, str]] = []
        for topic, count in Counter(record.topic for record in records).items():
            metrics.MESSAGES_READ.labels(topic).inc(count)
        for record in records:
            try:
                if isinstance(record, UndecodableRecord):
                    unfit.append((record, record.reason))
                else:
                    decoded.append((record, self._decode_message(record)))
            except Undecodable as problem:
                unfit.append((record, str(problem)))
            except Misconfigured:
                raise
            except Exception as error:  # noqa: BLE001 - a fault of ours that this message brings out
                log.error("message fails", reason=kind_and_place(error), **_about([record]))
                unfit.append((record, self._fails))
        ours = {id(record) for record, reason in unfit if reason is self._fails or not is_outsiders(record)}
        self._limit.check((record, id(record) in ours) for record in records)
        return decoded, unfit

    async def _put_aside(self, unfit: Sequence[tuple[Record, str]], instead: Iterable[Outgoing] = ()) -> None:
        """Publish dead letters; what cannot be kept even there stops the service, so that it is not lost."""
        if not unfit:
            return
        messages = [*instead]
        for record, reason in unfit:
            why = Why.SERVICE_FAILS if reason is self._fails else Why.NOT_UNDERSTOOD
            metrics.DEAD_LETTERS.labels(record.topic, why).inc()
            place = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
            log.warning("message is put aside", reason=reason, **place)
            messages.append(dead_letter(record, service=self._service, reason=reason))
        try:
            await self._until_it_works(
                lambda: self._publisher.publish(messages), _about([record for record, _ in unfit])
            )
        except _FINAL:
            raise
        except Exception as error:
            raise Misconfigured(f"dead letters cannot be published: {kind_and_place(error)}") from error

    async def _decide_and_publish(self, decoded: Sequence[tuple[Record, T]]) -> None:
        """Take the batch apart where the service fails on it, and put aside what it fails on alone."""
        if len(decoded) > 1 and await self._succeeds(decoded):
            return
        for record, message in decoded:
            for _ in range(_TRIES_ALONE):
                if await self._succeeds([(record, message)]):
                    break
            else:
                self._limit.check([(record, True)])
                await self._put_aside([(record, self._fails)], self._instead(message))

    async def _succeeds(self, decoded: Sequence[tuple[Record, T]]) -> bool:
        """Whether it was decided and published; else the service fails on one of these messages."""
        about = _about([record for record, _ in decoded])

        async def decide_and_publish() -> None:
            await self._publisher.publish(list(await self._handler([message for _, message in decoded])))

        try:
            await self._until_it_works(decide_and_publish, about)
        except _FINAL:
            raise
        except Exception as error:  # noqa: BLE001 - a fault of the service that a message brings out
            log.error("message fails" if len(decoded) == 1 else "batch fails", reason=kind_and_place(error), **about)
            return False
        return True

    def _commit(self, records: Sequence[Record], consumer: KafkaConsumer) -> None:
        """Have them committed: at once, or a moment after the last commit. Nothing waits for it."""
        self.offsets.finish(records)
        if self._committing is None or self._committing.done():
            self._committing = asyncio.create_task(self._commit_finished(consumer))
            self._committing.add_done_callback(self._committed)

    async def _commit_finished(self, consumer: KafkaConsumer) -> None:
        """Commit what is finished, and what is finished meanwhile, until there is nothing more.

        What a commit that comes to nothing was to commit is committed with what is finished next.
        """
        while (ready := self.offsets.ready()) and await consumer.commit_held(ready):
            self.offsets.committed(ready)
            await self._stopping_within(self._settings.commits_apart_s)

    # What holds for all of them

    async def _until_it_works(self, attempt: Callable[[], Awaitable[None]], about: dict[str, Any]) -> None:
        """Try for as long as it fails for a reason of ours; anything else is raised."""
        waits_s = self._settings.retry_first_s
        failures = conflicts = 0
        try:
            while not self.stopping.is_set():
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
                await self._stopping_within(waits_s)
                waits_s = min(waits_s * 2, self._settings.retry_longest_s)
            raise Stopping
        finally:
            self._count_retrying(-(failures > 0))

    async def _stopping_within(self, seconds: float) -> None:
        """Wait for so long, or until it is to stop."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.stopping.wait()

    def _count_retrying(self, change: int) -> None:
        self.retrying += change
        metrics.RETRYING.inc(change)

    def _begin(self, records: Sequence[Record], consumer: KafkaConsumer) -> asyncio.Task[None]:
        task = asyncio.create_task(self._finish(records, consumer))
        task.add_done_callback(self._ended)
        self._working.add(task)
        self._began_at = time.monotonic()
        metrics.IN_HAND.inc()
        return task

    def _committed(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._stop(f"offsets cannot be committed: {kind_and_place(error)}")

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._working.discard(task)
        metrics.IN_HAND.dec()
        if self._paused and self._consumer is not None and not self._is_full():
            self._consumer.resume(*self._paused & self._consumer.assignment())
            self._paused.clear()
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, Stopping):
            self._stop(str(error) if isinstance(error, _FINAL) else f"the loop fails: {kind_and_place(error)}")

    def _is_full(self) -> bool:
        limit = self._concurrency
        return limit is not None and (
            len(self._working) >= limit.messages
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
    first, last = records[0], records[-1]
    about = {"first": f"{first.topic}/{first.partition}/{first.offset}", "messages": len(records)}
    if len(records) > 1:
        return about | {"last": f"{last.topic}/{last.partition}/{last.offset}"}
    request = ""
    with contextlib.suppress(Undecodable):
        request = read_envelope(first.headers, first.value).id
    return about | {"claim": (first.key or b"")[:100].decode(errors="replace"), "request": request}
