"""Whether a reader gets on, how far it is behind, and its renewal.

*Ready* means that it was polled a moment ago without an error, that the coordinator knows it, that fetches of all its
partitions are answered, and that what it has in hand gets finished. A reader whose trouble lasts is made anew, as the
publisher's producer is. If that does not help while the brokers answer others, the process is no longer *live*.
"""

import asyncio
import time
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from shared.errors import kind_and_place
from shared.messaging.loop import Loop
from shared.messaging.upstream import KafkaConsumer, Place
from shared.runtime import metrics
from shared.runtime.logs import log
from shared.runtime.settings import ServiceSettings

_LOOK_EVERY_S = 1.0
_A_MOMENT_S = 2.0
"""Trouble that is over sooner, as when a group rebalances, is none."""
_UNANSWERED_S = 10.0
_START_S = 10.0
_GOODBYE_S = 5.0


class NotReady(StrEnum):
    """Why an instance is not ready."""

    STARTING = "starting"
    STOPPING = "stopping"
    RETRYING = "retrying"
    STUCK = "stuck"
    FAILING = "failing"
    SILENT = "silent"
    UNCOORDINATED = "uncoordinated"
    UNANSWERED = "unanswered"
    AWAY = "away"


class Problem(NamedTuple):
    """Why something is not ready, for a metric and in words."""

    reason: NotReady
    words: str


class Lag(NamedTuple):
    """What of a partition is not finished."""

    messages: int
    oldest: float
    """The append time of the oldest one, or if it was not fetched when it was first known to be there: a Unix time."""


class Reader:
    """Watches over one subscriber of FastStream's, and replaces its consumer where it does not get on."""

    def __init__(self, subscriber: Any, loop: Loop[Any], settings: ServiceSettings) -> None:
        self._subscriber = subscriber
        self._loop = loop
        self._settings = settings
        self._trouble: Problem | None = None
        """As of the last look."""
        self._troubled_since: float | None = None
        self._renewed_at = 0.0
        self._lags: dict[TopicPartition, Lag] = {}

    def problem(self) -> Problem | None:
        """Why it is not ready."""
        if self._loop.retrying:
            return Problem(NotReady.RETRYING, "a batch is being tried again")
        now = time.monotonic()
        begun = self._loop.batch_since()
        if begun is not None and now - begun > self._settings.stuck_after_s:
            return Problem(NotReady.STUCK, f"a batch has been in hand for {now - begun:.0f} s")
        return self._trouble if self._troubled_s() > _A_MOMENT_S else None

    def is_hopeless(self) -> bool:
        """Whether it has been in trouble for so long, in spite of new consumers, that only a new process can help."""
        return self._troubled_s() > self._settings.dead_after_s

    def _troubled_s(self) -> float:
        return 0.0 if self._troubled_since is None else time.monotonic() - self._troubled_since

    async def watch(self) -> None:
        """Look every second, for ever."""
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            try:
                await self._look()
            except Exception as error:  # noqa: BLE001 - whatever it is, the next look may find the reader well
                log.error("a reader cannot be watched", reason=kind_and_place(error))

    async def _look(self) -> None:
        consumer: KafkaConsumer | None = self._subscriber.consumer
        places = consumer.places() if consumer is not None else {}
        self._measure(places)
        self._trouble = self._find_trouble(consumer, places)
        if self._loop.begins_again and self._loop.batch_since() is None:
            await self._renew()
        elif consumer is not None and self._trouble is None and places:
            self._loop.compare_positions(consumer)
        all_answered = all(place.answered_ms is not None for place in places.values())
        now = time.monotonic()
        if self._trouble is not None:
            self._troubled_since = self._troubled_since or now
            if now - max(self._troubled_since, self._renewed_at) > self._settings.renew_after_s:
                log.warning("the reader is made anew", reason=self._trouble.words)
                await self._renew()
                self._renewed_at = time.monotonic()
        elif all_answered and consumer is not None and consumer.polled_at >= self._renewed_at:
            self._troubled_since = None

    def _find_trouble(self, consumer: KafkaConsumer | None, places: Mapping[TopicPartition, Place]) -> Problem | None:
        """A problem that a new consumer may solve."""
        if consumer is None:
            return Problem(NotReady.FAILING, "the reader is not connected")
        if consumer.error is not None:
            return Problem(NotReady.FAILING, f"reading fails: {consumer.error}")
        if problem := consumer.coordination_problem():
            return Problem(NotReady.UNCOORDINATED, f"the reader cannot read: {problem}")
        now = time.monotonic()
        if self._loop.batch_since() is None and now - consumer.polled_at > _UNANSWERED_S:
            return Problem(NotReady.SILENT, f"nothing was read for {now - consumer.polled_at:.0f} s")
        if now - max(consumer.empty_since or now, self._loop.assigned_at) > _UNANSWERED_S:
            for partition, place in places.items():
                if time.time() - (place.answered_ms or 0) / 1000 > _UNANSWERED_S:
                    named = f"{partition.topic}/{partition.partition}"
                    return Problem(NotReady.UNANSWERED, f"the brokers give nothing of {named}")
        return None

    def _measure(self, places: Mapping[TopicPartition, Place]) -> None:
        """Set the metrics of lag, also while nothing is committed."""
        now, before, self._lags = time.time(), self._lags, {}
        for partition, place in places.items():
            oldest = self._loop.offsets.oldest(partition)
            unread_from = place.position if oldest is None else oldest.offset
            if unread_from is None:
                continue
            messages = max(place.end or 0, unread_from + (oldest is not None)) - unread_from
            known = before.get(partition)
            if oldest is not None:
                since = oldest.timestamp / 1000
            else:
                since = known.oldest if known is not None and known.messages else now
            self._lags[partition] = Lag(messages, since)
            if messages or known is None or known.messages:  # else they are 0 as before, of thousands of partitions
                seconds = max(0.0, now - since) if messages else 0.0
                metrics.LAG_MESSAGES.labels(partition.topic, str(partition.partition)).set(messages)
                metrics.LAG_SECONDS.labels(partition.topic, str(partition.partition)).set(seconds)
        for partition in before.keys() - self._lags.keys():
            for gauge in (metrics.LAG_MESSAGES, metrics.LAG_SECONDS):
                gauge.remove(partition.topic, str(partition.partition))

    async def _renew(self) -> None:
        """Give the consumer up and read with a new one, from what is committed."""
        metrics.CONSUMERS_RENEWED.inc()
        self._subscriber.running = False  # nothing more is taken from the old one
        await self._loop.on_partitions_revoked(())
        await self._stop_reading()
        try:
            async with asyncio.timeout(_START_S + 3 * self._settings.session_timeout_ms / 1000):
                await self._subscriber.start()
        except (KafkaError, OSError, TimeoutError) as error:
            log.warning("the new reader cannot start", reason=kind_and_place(error))
            await self._stop_reading()

    async def _stop_reading(self) -> None:
        """Have the consumer leave its group if it can, without waiting for brokers that hang."""
        try:
            async with asyncio.timeout(_GOODBYE_S):
                await self._subscriber.stop()
        except TimeoutError:
            log.info("the old reader is cut off")
        self._subscriber.consumer = None
