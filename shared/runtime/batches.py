"""The batch loop: decode, decide, one transaction, publish and wait, commit. A crash anywhere repeats the batch.

A batch ends in one of three ways: it is published and committed; the service stops and nothing of it is committed; or
another instance has taken the partitions over and repeats it. What fails for a reason of ours is tried again for as
long as it takes. A message on which the service itself fails is found by taking the batch apart, and put aside.
"""

import asyncio
import contextlib
import time
import traceback
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError, MessageSizeTooLargeError
from pydantic_core import from_json

from shared.contract.envelope import Outgoing, Undecodable
from shared.runtime import metrics
from shared.runtime.dead_letters import DeadLetterLimit, TooManyDeadLetters, dead_letter
from shared.runtime.logs import log
from shared.runtime.publishing import Publisher
from shared.runtime.reader import UndecodableRecord
from shared.runtime.records import Record
from shared.runtime.settings import ServiceSettings

T = TypeVar("T")
Decode = Callable[[Record], T]
Handler = Callable[[Sequence[T]], Awaitable[Iterable[Outgoing]]]

_TRIES_ALONE = 3
_CONFLICTS_IN_A_ROW = 20
_COMMIT_S = 2.0
"""How long a commit may take before it is asked whether its topics are still there."""
_FAILS = "the service {} fails on it; see its log"
_HERE = Path(__file__).parents[2]


class Stopping(Exception):
    """The service is asked to stop; the batch is left as it is and read again after the next start."""


class Misconfigured(Exception):
    """Nothing can be decided rightly until somebody mends the deployment: the service stops."""


class Conflict(Exception):
    """Another instance changed the same rows: decide again on what is there now."""


_GIVING_UP = (Stopping, TooManyDeadLetters, Misconfigured)


class BatchLoop:
    """Takes one batch at a time through its stages."""

    def __init__(
        self, name: str, settings: ServiceSettings, publisher: Publisher, away: Sequence[type[Exception]]
    ) -> None:
        self._name = name
        self._settings = settings
        self._publisher = publisher
        self._ours = (KafkaError, OSError, TimeoutError, Conflict, *away)
        self._limit = DeadLetterLimit(share=settings.dead_letter_share, window=settings.dead_letter_window)
        self.stopping = asyncio.Event()
        self.retrying = False

    async def run(
        self, records: Sequence[Record], consumer: AIOKafkaConsumer, decode: Decode[T], handler: Handler[T]
    ) -> None:
        """Take a batch from its records to its committed offsets.

        Raises Stopping, TooManyDeadLetters or Misconfigured, and then nothing is committed.
        """
        began = time.monotonic()
        for record in records:
            metrics.MESSAGES_READ.labels(record.topic).inc()
        decoded: list[tuple[Record, T]] = []
        letters: list[tuple[Record, Outgoing]] = []
        for record in records:
            try:
                decoded.append((record, _decoded(record, decode)))
            except Undecodable as problem:
                letters.append((record, self._put_aside(record, str(problem))))
            except Misconfigured:
                raise
            except Exception as error:  # noqa: BLE001 - a fault of ours that this message brings out
                log.error("message fails", reason=where(error), **_span([(record, None)]))
                letters.append((record, self._put_aside(record, _FAILS.format(self._name))))
        dead = {id(record) for record, _ in letters}
        self._limit.check((record, id(record) in dead) for record in records)
        await self._keep(letters)
        if decoded:
            await self._decide(decoded, handler)
        await self._commit(records, consumer)
        self._tell(records, len(letters), time.monotonic() - began)

    async def _decide(self, decoded: Sequence[tuple[Record, T]], handler: Handler[T]) -> None:
        """Decide and publish a batch; where the service fails on it, message by message, keeping what it fails on."""
        try:
            await self._decide_together(decoded, handler)
        except _GIVING_UP:
            raise
        except Exception as error:  # noqa: BLE001 - a fault of the service that one of these messages brings out
            log.error("batch fails", reason=where(error), **_span(decoded))
            for record, message in decoded:
                await self._decide_alone(record, message, handler)

    async def _decide_alone(self, record: Record, message: T, handler: Handler[T]) -> None:
        for _ in range(_TRIES_ALONE):
            try:
                await self._decide_together([(record, message)], handler)
            except _GIVING_UP:
                raise
            except Exception as error:  # noqa: BLE001 - the same fault, found
                log.error("message fails", reason=where(error), **_span([(record, message)]))
            else:
                return
        self._limit.check([(record, True)])
        await self._keep([(record, self._put_aside(record, _FAILS.format(self._name)))])

    async def _decide_together(self, decoded: Sequence[tuple[Record, T]], handler: Handler[T]) -> None:
        async def attempt() -> None:
            await self._publisher.publish(list(await handler([message for _, message in decoded])))

        await self._persist(attempt, _span(decoded))

    async def _keep(self, letters: Sequence[tuple[Record, Outgoing]]) -> None:
        """Publish dead letters; what cannot be kept even there stops the service, so that it is not lost."""
        if not letters:
            return

        async def attempt() -> None:
            await self._publisher.publish([letter for _, letter in letters])

        try:
            await self._persist(attempt, _span(letters))
        except _GIVING_UP:
            raise
        except Exception as error:
            raise Misconfigured(f"dead letters cannot be published: {where(error)}") from error

    async def _persist(self, attempt: Callable[[], Awaitable[None]], about: dict[str, Any]) -> None:
        """Try for as long as it fails for a reason of ours; anything else is raised."""
        wait_s = self._settings.retry_first_s
        conflicts = 0
        try:
            while True:
                self._stop_if_asked()
                try:
                    return await attempt()
                except MessageSizeTooLargeError:
                    raise
                except self._ours as error:
                    conflicts = conflicts + 1 if isinstance(error, Conflict) else 0
                    if conflicts > _CONFLICTS_IN_A_ROW:
                        raise  # nobody else can be in the way for so long: it conflicts with itself
                    self.retrying = True
                    metrics.RETRYING.set(1)
                    metrics.RETRIES.labels(type(error).__name__).inc()
                    log.warning("batch is tried again", reason=where(error), wait_s=wait_s, **about)
                    await self._pause(wait_s)
                    wait_s = min(wait_s * 2, self._settings.retry_longest_s)
        finally:
            self.retrying = False
            metrics.RETRYING.set(0)

    async def _commit(self, records: Sequence[Record], consumer: AIOKafkaConsumer) -> None:
        offsets: dict[TopicPartition, int] = {}
        for record in records:
            offsets[TopicPartition(record.topic, record.partition)] = record.offset + 1
        await commit(consumer, offsets)

    def _put_aside(self, record: Record, reason: str) -> Outgoing:
        metrics.DEAD_LETTERS.labels(record.topic).inc()
        log.warning(
            "message is put aside", reason=reason, topic=record.topic, partition=record.partition, offset=record.offset
        )
        return dead_letter(record, service=self._name, reason=reason)

    def _stop_if_asked(self) -> None:
        if self.stopping.is_set():
            raise Stopping

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self.stopping.wait()
        except TimeoutError:
            return

    def _tell(self, records: Sequence[Record], letters: int, took_s: float) -> None:
        metrics.BATCH_SECONDS.observe(took_s)
        metrics.BATCH_MESSAGES.observe(len(records))
        metrics.BEHIND_SECONDS.set(max(0.0, time.time() - max(r.timestamp for r in records) / 1000))
        log.debug(
            "batch is done",
            messages=len(records),
            dead_letters=letters,
            took_ms=round(took_s * 1000),
            partitions=sorted({f"{r.topic}/{r.partition}" for r in records}),
        )


async def commit(consumer: AIOKafkaConsumer, offsets: Mapping[TopicPartition, int]) -> bool:
    """Commit what is done, of the partitions that are still held; tell whether all of these are committed.

    What has gone to another instance is repeated there and comes to the same. For a topic that was deleted aiokafka
    tries a commit for ever (issue 1095), and that of all others with it; so it is asked which are still there.
    """
    while ours := {partition: at for partition, at in offsets.items() if partition in consumer.assignment()}:
        try:
            async with asyncio.timeout(_COMMIT_S):
                await consumer.commit(ours)
        except (KafkaError, IllegalStateError) as error:
            log.info("offsets were not committed", reason=type(error).__name__)
            return False
        except TimeoutError:
            with contextlib.suppress(KafkaError, OSError):
                there = await consumer.topics()
                offsets = {partition: at for partition, at in ours.items() if partition.topic in there}
            log.warning("offsets are committed again", without=sorted({p.topic for p in ours.keys() - offsets.keys()}))
        else:
            return True
    return False


def _decoded(record: Record, decode: Decode[T]) -> T:
    if isinstance(record, UndecodableRecord):
        raise Undecodable("a header's name in its batch is not UTF-8, so it cannot be read; it is still on its topic")
    return decode(record)


def _span(decoded: Sequence[tuple[Record, Any]]) -> dict[str, Any]:
    """Tell a log which message or messages it is about: partition and offset, and the key, which is an id."""
    if not decoded:
        return {}
    first, last = decoded[0][0], decoded[-1][0]
    about = {"first": f"{first.topic}/{first.partition}/{first.offset}", "messages": len(decoded)}
    if len(decoded) > 1:
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


def where(error: Exception) -> str:
    """Name an error and where in our code it was raised, without its text, which may hold personal data."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith(str(_HERE))]
    ours = [f for f in frames if "site-packages" not in f.filename]
    at = f" at {Path(ours[-1].filename).relative_to(_HERE)}:{ours[-1].lineno}" if ours else ""
    cause = f" from {type(error.__cause__).__name__}" if error.__cause__ else ""
    return f"{type(error).__name__}{cause}{at}"
