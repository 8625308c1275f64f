"""Traces: a span for each message and for each batch, sent over OTLP. Imported only where it is said where to.

A message's span is a child of the one that its `traceparent` names, and what comes of the message names this one: so
a partner's trace shows the way of its request. A batch's span is a trace of its own, with a link to each message's, and
each of those has one back.

A message that comes again has the same span, since its id follows from the message, and where that names no trace, the
trace's id does too: what is published of it again is the same, byte for byte.

How much is recorded, and where it goes, say the variables of OpenTelemetry (docs/operate/how-to/traces.md).
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, TypeVar

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import INVALID_SPAN, Link, Span, SpanKind, StatusCode, get_current_span, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from shared.contract.envelope import CARRIED_THROUGH, Headers, Outgoing
from shared.errors import Stopping
from shared.messaging.loop import Loop
from shared.messaging.record import Record
from shared.runtime.logs import WORKED_ON

T = TypeVar("T")

_LAST_EXPORT_S = 1.0
"""How long a stop waits for a collector."""
_LONGEST_ID = 200
_W3C = TraceContextTextMapPropagator()


class Tracing:
    """The spans of one service."""

    def __init__(self, service: str, most_links: int) -> None:
        self._service = service
        self._attributes: dict[str, AttributeValue] = {
            "messaging.system": "kafka",
            "messaging.operation.type": "process",
            "messaging.operation.name": "process",
            "messaging.consumer.group.name": service,
        }
        self._ids = _Ids()
        self._provider = TracerProvider(
            resource=Resource.create({SERVICE_NAME: service}),
            id_generator=self._ids,
            span_limits=SpanLimits(max_links=most_links),
            shutdown_on_exit=False,  # it would wait for the collector
        )
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("claimbus")

    def loop(self, *options: Any) -> Loop[Any]:
        """Make a loop whose messages and batches have spans."""
        return TracedLoop(*options, self)

    def begin(self, record: Record) -> tuple[Record, Span]:
        """Begin a message's span, and give the message with a `traceparent` that names it.

        One that is not to be recorded goes on with what it came with.
        """
        others: list[tuple[str, bytes]] = []
        carried: dict[str, str] = {}
        for name, value in record.headers:
            pattern = CARRIED_THROUGH.get(name.lower())
            if pattern is None:
                others.append((name, value))
            elif pattern.fullmatch(value or b""):
                carried[name.lower()] = value.decode()
        parent = _W3C.extract(carried, Context())
        with self._ids.following_from(record, self._service):
            span = self._tracer.start_span(
                f"process {record.topic}", parent, SpanKind.CONSUMER, {**_attributes(record), **self._attributes}
            )
        if not span.is_recording() and get_current_span(parent).get_span_context().is_valid:
            return record, span
        carrier: dict[str, str] = {}
        _W3C.inject(carrier, set_span_in_context(span))
        return _Traced(record, [*others, *((name, value.encode()) for name, value in carrier.items())]), span

    def begin_batch(self, size: int, messages: Iterable[Span], began_at_ns: int) -> Span:
        """Begin the span of so many messages, linked with the spans that are recorded; with none there is none."""
        recorded = [span for span in messages if span.is_recording()]
        if not recorded:
            return INVALID_SPAN
        batch = self._tracer.start_span(
            "process batch",
            Context(),
            SpanKind.CONSUMER,
            {**self._attributes, "messaging.batch.message_count": size},
            [Link(span.get_span_context()) for span in recorded],
            began_at_ns,
        )
        if batch.is_recording():
            for span in recorded:
                span.add_link(batch.get_span_context())
        return batch

    async def stop(self) -> None:
        """Send what there is, but wait only a moment for a collector that does not take it."""
        sending = threading.Thread(target=self._provider.shutdown, daemon=True)
        sending.start()
        await asyncio.to_thread(sending.join, _LAST_EXPORT_S)


@dataclass(eq=False)
class TracedLoop(Loop[T]):
    """A loop whose messages and batches have spans."""

    tracing: Tracing

    def __post_init__(self) -> None:
        super().__post_init__()
        self._read = self.decode
        self.decode = self._decode_traced

    async def _finish(self, records: Sequence[Record]) -> None:
        in_hand = _InHand()
        _IN_HAND.set(in_hand)
        WORKED_ON.set(in_hand.ids)
        try:
            await super()._finish(records)
        except BaseException as error:
            is_given_up = isinstance(error, asyncio.CancelledError | Stopping)
            in_hand.fail("given up" if is_given_up else type(error).__name__)
            raise
        finally:
            in_hand.end()

    def _decode(self, records: Sequence[Record]) -> tuple[list[tuple[Record, T]], list[tuple[Record, str]]]:
        began_at_ns = time.time_ns()
        in_hand = _IN_HAND.get()
        decoded, unfit = super()._decode(records)
        in_hand.batch = self.tracing.begin_batch(len(records), in_hand.messages.values(), began_at_ns)
        in_hand.name(in_hand.span_of(records[0]) if len(records) == 1 else in_hand.batch)
        return decoded, unfit

    def _decode_traced(self, record: Record) -> T:
        in_hand = _IN_HAND.get()
        traced, span = self.tracing.begin(record)
        in_hand.name(span)
        in_hand.messages[_place(record)] = span
        message = self._read(traced)
        if message is None:  # it is passed over: its span is never ended, and never sent
            del in_hand.messages[_place(record)]
        return message

    def _dead_letter(self, record: Record, reason: str) -> Outgoing:
        with _IN_HAND.get().on(record) as span:
            span.set_status(StatusCode.ERROR, reason)
            return super()._dead_letter(record, reason)

    async def _is_handled(self, decoded: Sequence[tuple[Record, T]], records: Sequence[Record]) -> bool:
        if len(decoded) > 1:
            return await super()._is_handled(decoded, records)
        with _IN_HAND.get().on(decoded[0][0]):
            return await super()._is_handled(decoded, records)


class _InHand:
    """The spans of a batch, until it has ended: a timer that was set meanwhile keeps this for longer, and empty."""

    def __init__(self) -> None:
        self.ids: dict[str, str] = {}
        """What log lines name: of what is worked on."""
        self.messages: dict[tuple[str, int, int], Span] = {}
        self.batch: Span = INVALID_SPAN

    def span_of(self, record: Record) -> Span:
        """The span of a message; one that is not recorded if it could not even be read from Kafka."""
        return self.messages.get(_place(record), INVALID_SPAN)

    def name(self, span: Span) -> None:
        """Have log lines name a span."""
        self.ids.clear()
        context = span.get_span_context()
        if context.is_valid:
            self.ids.update(trace_id=f"{context.trace_id:032x}", span_id=f"{context.span_id:016x}")

    @contextlib.contextmanager
    def on(self, record: Record) -> Iterator[Span]:
        """Have log lines name a message's span for a while."""
        before = dict(self.ids)
        span = self.span_of(record)
        self.name(span)
        try:
            yield span
        finally:
            self.ids.clear()
            self.ids.update(before)

    def fail(self, why: str) -> None:
        """Note that it comes to nothing."""
        for span in (self.batch, *self.messages.values()):
            span.set_status(StatusCode.ERROR, why)

    def end(self) -> None:
        """End all spans."""
        for span in (*self.messages.values(), self.batch):
            span.end()
        self.ids.clear()
        self.messages.clear()
        self.batch = INVALID_SPAN


_IN_HAND: ContextVar[_InHand] = ContextVar("in_hand")


class _Ids(RandomIdGenerator):
    """Ids that follow from a message, while one's span is begun, and any otherwise."""

    def __init__(self) -> None:
        self._message: tuple[Record, bytes] | None = None

    @contextlib.contextmanager
    def following_from(self, record: Record, service: str) -> Iterator[None]:
        """Give the ids of a message's trace, the same in all services, and of its span in this one."""
        self._message = record, service.encode()
        try:
            yield
        finally:
            self._message = None

    def generate_trace_id(self) -> int:
        """Give a trace's id."""
        return super().generate_trace_id() if self._message is None else _digest(self._message[0], b"", 16)

    def generate_span_id(self) -> int:
        """Give a span's id."""
        return super().generate_span_id() if self._message is None else _digest(*self._message, 8)

    def is_trace_id_random(self) -> bool:
        """Say no: a digest is as good for sampling, and is no random number."""
        return False


class _Traced:
    """A record with other headers."""

    def __init__(self, record: Record, headers: Headers) -> None:
        self.topic = record.topic
        self.partition = record.partition
        self.offset = record.offset
        self.timestamp = record.timestamp
        self.timestamp_type = record.timestamp_type
        self.key = record.key
        self.value = record.value
        self.headers = headers


def _digest(record: Record, reader: bytes, size: int) -> int:
    """Digest a message, for one reader, and not where it is: the same one may be published twice."""
    found = blake2b(digest_size=size, person=reader[: blake2b.PERSON_SIZE])
    texts = (record.topic.encode(), *(part for name, value in record.headers for part in (name.encode(), value)))
    for text in (*texts, record.key, record.value):
        found.update(b"%d:" % len(text or b""))
        found.update(text or b"")
    return int.from_bytes(found.digest()) or 1


def _place(record: Record) -> tuple[str, int, int]:
    return record.topic, record.partition, record.offset


def _attributes(record: Record) -> dict[str, AttributeValue]:
    """What a span says of its message: where it is and its id, and nothing of what is in it."""
    attributes: dict[str, AttributeValue] = {
        "messaging.destination.name": record.topic,
        "messaging.destination.partition.id": str(record.partition),
        "messaging.kafka.offset": record.offset,
    }
    for name, value in record.headers:
        if name.lower() == "ce_id" and value and len(value) <= _LONGEST_ID and value.isascii():
            attributes["messaging.message.id"] = value.decode()
    return attributes
