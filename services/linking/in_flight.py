"""Many messages worked on at once: a partition's offset is committed up to its oldest unfinished message.

The batch loop takes one batch after the other, so one link with a large video would hold up all links behind it. Here
a message that takes long holds up nothing but the offset: after a crash what comes after it is done again, which finds
its copies made and sends the same steps with the same ids.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from faststream.kafka.annotations import KafkaMessage

from services.linking.settings import LinkingSettings
from shared.contract.envelope import Outgoing, Undecodable
from shared.runtime import metrics
from shared.runtime.batches import Decode, Misconfigured, commit, where
from shared.runtime.dead_letters import DeadLetterLimit, TooManyDeadLetters, dead_letter
from shared.runtime.logs import log
from shared.runtime.records import Record
from shared.runtime.service import Service

T = TypeVar("T")

_TRIES = 3


@dataclass(slots=True)
class _Progress:
    """How far a partition is read, and what of it is not finished."""

    read_to: int = 0
    unfinished: set[int] = field(default_factory=set)
    committed: int = -1

    @property
    def finished_to(self) -> int:
        return min(self.unfinished, default=self.read_to)


class InFlight(Generic[T]):
    """Takes messages in as they come, and finishes each in its own time."""

    def __init__(
        self,
        service: Service,
        decode: Decode[T],
        *,
        answer: Callable[[T], Awaitable[Iterable[Outgoing]]],
        give_up: Callable[[T], Iterable[Outgoing]],
        settings: LinkingSettings,
    ) -> None:
        """`answer` is tried three times when it fails; then `give_up` says what is sent beside the dead letter.

        It also is where what `answer` gives is larger than its topic takes.
        """
        self._service = service
        self._decode = decode
        self._answer = answer
        self._give_up = give_up
        self._settings = settings
        self._limit = DeadLetterLimit(
            share=service.settings.dead_letter_share, window=service.settings.dead_letter_window
        )
        self._progress: defaultdict[TopicPartition, _Progress] = defaultdict(_Progress)
        self._tasks: set[asyncio.Task[None]] = set()
        self._bytes = 0
        self._paused: set[TopicPartition] = set()
        self._publishing = asyncio.Lock()
        self._committing = asyncio.Lock()

    async def consume(self, message: KafkaMessage) -> None:
        """Take a batch of records in; FastStream calls this. Nothing escapes it."""
        consumer: AIOKafkaConsumer = message.consumer
        for record in message.raw_message:
            progress = self._progress[TopicPartition(record.topic, record.partition)]
            if record.offset < progress.read_to:
                continue  # it is being worked on, or was: the partition went to another instance and came back
            metrics.MESSAGES_READ.labels(record.topic).inc()
            progress.read_to = record.offset + 1
            progress.unfinished.add(record.offset)
            self._bytes += len(record.value or b"")
            task = asyncio.create_task(self._finish(record, consumer))
            self._tasks.add(task)
            task.add_done_callback(self._ended)
        if self._is_full():
            self._paused |= consumer.assignment()
            consumer.pause(*consumer.assignment())

    async def stop(self) -> None:
        """Leave what is unfinished; it is read again after the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _finish(self, record: Record, consumer: AIOKafkaConsumer) -> None:
        partition = TopicPartition(record.topic, record.partition)
        with metrics.IN_FLIGHT.track_inprogress():
            await self._answered(record)
        progress = self._progress[partition]
        progress.unfinished.discard(record.offset)
        self._bytes -= len(record.value or b"")
        if self._paused and not self._is_full():
            consumer.resume(*self._paused & consumer.assignment())
            self._paused.clear()
        await self._commit(partition, consumer)

    async def _answered(self, record: Record) -> None:
        """Publish what a message leads to, or what is left to send where the service fails on it."""
        try:
            message = self._decode(record)
        except Undecodable as problem:
            await self._put_aside(record, str(problem))
            return
        self._limit.check([(record, False)])
        for _ in range(_TRIES):
            try:
                await self._publish(list(await self._answer(message)))
            except MessageSizeTooLargeError:
                await self._put_aside(record, "what it leads to is larger than its topic takes", message)
            except Exception as error:  # noqa: BLE001 - a fault of ours that this message brings out
                about = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
                log.error("message fails", reason=where(error), **about)
                continue
            return
        await self._put_aside(record, f"the service {self._service.name} fails on it; see its log", message)

    async def _put_aside(self, record: Record, reason: str, message: T | None = None) -> None:
        """Raises TooManyDeadLetters, and Misconfigured where the letter cannot be kept: then nothing is lost."""
        metrics.DEAD_LETTERS.labels(record.topic).inc()
        self._limit.check([(record, True)])
        instead = [] if message is None else list(self._give_up(message))
        try:
            await self._publish([*instead, dead_letter(record, service=self._service.name, reason=reason)])
        except MessageSizeTooLargeError as error:
            raise Misconfigured(f"dead letters cannot be published: {where(error)}") from error

    async def _publish(self, messages: list[Outgoing]) -> None:
        """Publish for as long as it takes."""
        wait_s = self._settings.retry_first_s
        while True:
            try:
                async with self._publishing:
                    await self._service.publisher.publish(messages)
            except MessageSizeTooLargeError:
                raise
            except (KafkaError, OSError, TimeoutError) as error:
                metrics.RETRIES.labels(type(error).__name__).inc()
                log.warning("steps are published again", reason=type(error).__name__, wait_s=wait_s)
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, self._settings.retry_longest_s)
            else:
                return

    async def _commit(self, partition: TopicPartition, consumer: AIOKafkaConsumer) -> None:
        async with self._committing:
            progress = self._progress[partition]
            if progress.finished_to == progress.committed or partition not in consumer.assignment():
                return
            to = progress.finished_to
            if await commit(consumer, {partition: to}):
                progress.committed = to

    def _is_full(self) -> bool:
        unfinished = sum(len(progress.unfinished) for progress in self._progress.values())
        return unfinished >= self._settings.parts_in_flight or self._bytes >= self._settings.bytes_in_flight

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        known = isinstance(error, TooManyDeadLetters | Misconfigured)
        self._service.give_up(str(error) if known else f"a message cannot be finished: {type(error).__name__}")
