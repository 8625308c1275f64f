"""A service: FastStream's subscribers over the loop, with health and metrics beside them, until it is stopped."""

import asyncio
import contextlib
import logging
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from faststream import AckPolicy
from faststream.asgi import AsgiFastStream, AsgiResponse, get
from faststream.kafka import KafkaBroker
from faststream.kafka.message import KafkaAckableMessage
from prometheus_client import make_asgi_app

from shared.contract.envelope import Outgoing
from shared.contract.topics import Topic
from shared.errors import TryAgain, kind_and_place
from shared.messaging import upstream
from shared.messaging.dead_letters import Why
from shared.messaging.health import NotReady, Problem, Reader
from shared.messaging.loop import Concurrency, Decode, Handler, Instead, Loop
from shared.messaging.positions import Positions
from shared.messaging.publisher import Publisher
from shared.messaging.record import Record
from shared.runtime import metrics
from shared.runtime.guessable import refuse_what_can_be_guessed
from shared.runtime.logs import configure_logs, log
from shared.runtime.process import spare_the_collector
from shared.runtime.server import serving
from shared.runtime.settings import ServiceSettings

if TYPE_CHECKING:
    from shared.messaging.tracing import Tracing

T = TypeVar("T")
Hook = Callable[[], Awaitable[None]]

_CHECK_TIMEOUT_S = 3.0
_SLEEP_MS = 20
"""How long FastStream sleeps when the reader has waited in vain."""
_TRACES_GO_TO = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
_FETCHED_OF_A_PARTITION = 64 * 1024
_FETCHED_AT_ONCE = 1024 * 1024
"""What is read ahead and held in memory, in bytes; a larger message is fetched all the same."""


class Bus(NamedTuple):
    """Where messages come from and go to: Kafka, or `shared.messaging.memory` in tests."""

    consumer: Callable[..., Any] = upstream.KafkaConsumer
    producer: Callable[[ServiceSettings], Any] = upstream.KafkaProducer
    admin: Callable[..., Any] = AIOKafkaAdminClient


KAFKA = Bus()


class Service:
    """One instance of one service."""

    def __init__(self, name: str, settings: ServiceSettings, bus: Bus = KAFKA) -> None:
        self.name = name
        self.settings = settings.model_copy(update={"username": settings.username or name})
        self.bus = bus
        self.publisher = Publisher(self.settings, bus.producer)
        self.on_start: list[Hook] = []
        """Run once before the first message is read, and again if it fails: migrations, connections."""
        self.on_stop: list[Hook] = []
        self.checks: dict[str, Hook] = {"kafka": self.publisher.ping}
        self.notes: list[Callable[[], Sequence[str]]] = []
        """What somebody has to look at although the service is ready; the health answer repeats it."""
        self.fault: str | None = None
        self.health_url = ""
        self.loops: list[Loop[Any]] = []
        self.readers: list[Reader] = []
        self.is_started = False
        self._stop = asyncio.Event()
        self._tracing = _tracing(name, self.settings)
        self._broker = KafkaBroker(
            self.settings.bootstrap_servers,
            consumer_only=True,
            client_id=self.settings.username,
            graceful_timeout=self.settings.stop_timeout_s,
            logger=logging.getLogger("claimbus.faststream"),
            log_level=logging.DEBUG,
            apply_types=False,  # dependency injection would look up each argument in a thread of its own
        )

    def subscriber(
        self,
        *topics: Topic,
        decode: Decode[T],
        concurrency: Concurrency | None = None,
        instead: Instead[T] = lambda _: (),
        positions: Positions | None = None,
    ) -> Callable[[Handler[T]], Handler[T]]:
        """Read topics, or every company's, in the consumer group of the service's name.

        The handler gets messages as `decode` makes them of records: a batch, or with `concurrency` one at a time and
        many at once. What it returns is published after its transaction is in, and offsets are committed after that.
        `instead` is what is published of a message that the handler fails on, beside its dead letter. With `positions`
        the handler's transaction moves them, and what its database has lost is read again.
        """

        def subscribe(handler: Handler[T]) -> Handler[T]:
            make = Loop if self._tracing is None else self._tracing.loop
            loop: Loop[T] = make(
                self.name,
                self.settings,
                self.publisher,
                decode,
                _timed(handler),
                instead,
                concurrency,
                positions,
                self.give_up,
            )

            async def unparsed(records: tuple[Record, ...]) -> KafkaAckableMessage:
                # FastStream's own parser and decoder read all headers and bodies before a handler is called, and one
                # that cannot be read would take its whole batch with it.
                return KafkaAckableMessage(body=b"", raw_message=records, consumer=subscriber.consumer)

            async def fetched(message: KafkaAckableMessage) -> Sequence[Record]:
                # FastStream has the message in a context variable, and each timer that was set meanwhile keeps that:
                # also one that was cancelled, as those of `publish_timeout_s` are, until its time has come.
                records, message.raw_message = message.raw_message, ()
                return records

            async def take(records: Any) -> None:
                await loop.take(records, subscriber.consumer)

            instance = self.settings.instance
            subscriber = self._broker.subscriber(
                *(topic.name for topic in topics if not topic.per_company),
                pattern=next((re.escape(topic.prefix) + ".*" for topic in topics if topic.per_company), None),
                group_id=self.name,
                group_instance_id=f"{instance}.{len(self.loops)}" if instance else None,
                batch=True,
                max_records=self.settings.batch_max_records,
                batch_timeout_ms=_SLEEP_MS,
                max_partition_fetch_bytes=_FETCHED_OF_A_PARTITION,
                fetch_max_bytes=_FETCHED_AT_ONCE,
                auto_offset_reset="earliest",
                ack_policy=AckPolicy.MANUAL,
                session_timeout_ms=self.settings.session_timeout_ms,
                heartbeat_interval_ms=self.settings.session_timeout_ms // 3,
                partition_assignment_strategy=(upstream.sticky_assignor(),),
                listener=loop,
                parser=unparsed,
                decoder=fetched,
            )
            subscriber(take)
            for topic in topics:  # so that a rate can be computed from the first one on
                if not topic.per_company:
                    metrics.MESSAGES_READ.labels(topic.name)
                    for why in Why:
                        metrics.DEAD_LETTERS.labels(topic.name, why)
            self.loops.append(loop)
            self.readers.append(Reader(subscriber, loop, self.settings))
            return handler

        return subscribe

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT, or until it gives up (then `fault` says why)."""
        upstream.check()
        # Its own lifespan would begin to answer only when hooks and broker are up, and end when they cannot be yet.
        app = AsgiFastStream(asgi_routes=self._routes(), logger=None)
        at = self.settings.health_host, self.settings.health_port
        async with serving(app, *at) as self.health_url, self.running():
            await self._stop.wait()

    def stop(self) -> None:
        """Ask it to stop: it finishes the batch it is in, or leaves it uncommitted if that cannot be finished."""
        for loop in self.loops:
            loop.stopping.set()
        self._stop.set()

    def give_up(self, fault: str) -> None:
        """Stop, with a fault that somebody has to mend."""
        log.critical("the service stops", reason=fault)
        self.fault = self.fault or fault
        self.stop()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Start, in the background, so that health is answered meanwhile, and stop all of it again."""
        reading = asyncio.create_task(self._start_and_watch())
        try:
            yield
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            await asyncio.gather(*(loop.stop() for loop in self.loops))
            await self._stop_reading()
            for hook in self.on_stop:
                await hook()
            await self.publisher.stop()
            if self._tracing is not None:
                await self._tracing.stop()
            log.info("stopped", fault=self.fault)

    async def _start_and_watch(self) -> None:
        wait_s = self.settings.retry_first_s
        while not self.is_started:
            try:
                for hook in self.on_start:
                    await hook()
                await upstream.read_with(self._broker, self._consumer)
                await self._broker.start()
                self.is_started = True
            except (KafkaError, OSError, TryAgain) as error:
                log.warning("not started yet", reason=type(error).__name__, wait_s=wait_s)
                await self._stop_reading()
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, self.settings.retry_longest_s)
            except Exception as error:  # noqa: BLE001 - whatever it is, somebody has to mend it
                self.give_up(f"it cannot start: {kind_and_place(error)}: {error}")
                return
        spare_the_collector()
        log.info("started", health=self.health_url)
        await asyncio.gather(*(reader.watch() for reader in self.readers))

    async def _stop_reading(self) -> None:
        try:
            async with asyncio.timeout(self.settings.stop_timeout_s):
                await self._broker.stop()
        except Exception as error:  # noqa: BLE001 - what does not stop, since the brokers hang, ends with the process
            log.warning("the readers do not stop", reason=kind_and_place(error))

    def _consumer(self, **options: Any) -> Any:
        """Make a consumer as one of our subscribers asks for it."""
        metadata_age = {"metadata_max_age_ms": self.settings.metadata_max_age_ms}
        return self.bus.consumer(**self.settings.client(), **metadata_age, **options)

    async def problems(self) -> dict[str, Problem]:
        """Why the instance is not ready, by what is in the way."""
        if self._stop.is_set():
            return {"service": Problem(NotReady.STOPPING, "stopping")}
        if not self.is_started:
            return {"service": Problem(NotReady.STARTING, "starting")}
        found = {f"reader {n}": problem for n, r in enumerate(self.readers, 1) if (problem := r.problem())}
        for name, check in self.checks.items():
            try:
                async with asyncio.timeout(_CHECK_TIMEOUT_S):
                    await check()
            except Exception as error:  # noqa: BLE001 - whatever it is, the answer is: not ready
                found[name] = Problem(NotReady.AWAY, type(error).__name__)
        return found

    async def _is_live(self) -> bool:
        """Whether this process can still be helped: the brokers are away, or its readers get on, or will."""
        if not any(reader.is_hopeless() for reader in self.readers):
            return True
        try:
            async with asyncio.timeout(_CHECK_TIMEOUT_S):
                await self.publisher.ping()
        except (KafkaError, OSError, TimeoutError):
            return True
        return False

    def _routes(self) -> list[tuple[str, Any]]:
        @get
        async def live(_scope: Any) -> AsgiResponse:
            lives = await self._is_live()
            return AsgiResponse(b"live" if lives else b"only a restart can help", 200 if lives else 503)

        @get
        async def ready(_scope: Any) -> AsgiResponse:
            problems = await self.problems()
            text = [f"{name}: {problem.words}" for name, problem in problems.items()] or ["ready"]
            text += [note for notes in self.notes for note in notes()]
            return AsgiResponse("; ".join(text).encode(), 503 if problems else 200)

        @get
        async def asyncapi(_scope: Any) -> AsgiResponse:
            document = files("shared.contract") / "schemas" / "asyncapi.json"
            return AsgiResponse(document.read_bytes(), 200, {"content-type": "application/json"})

        exposed = make_asgi_app()

        async def measured(scope: Any, receive: Any, send: Any) -> None:
            reasons = {problem.reason for problem in (await self.problems()).values()}
            for reason in NotReady:
                metrics.NOT_READY.labels(reason).set(reason in reasons)
            metrics.IN_HAND.set(sum(len(loop.working) for loop in self.loops))
            metrics.RETRYING.set(sum(len(loop.retrying) for loop in self.loops))
            await exposed(scope, receive, send)

        return [("/health/live", live), ("/health/ready", ready), ("/metrics", measured), ("/asyncapi.json", asyncapi)]


def _tracing(service: str, settings: ServiceSettings) -> "Tracing | None":
    """The service's traces, if somewhere takes them; otherwise nothing of OpenTelemetry is even imported."""
    if not any(os.environ.get(variable) for variable in _TRACES_GO_TO):
        return None
    from shared.messaging.tracing import Tracing  # noqa: PLC0415 - see above

    return Tracing(service, settings.batch_max_records)


def _timed(handler: Handler[T]) -> Handler[T]:
    """Measure how long a handler takes, with its transaction."""
    deciding = metrics.STAGE_SECONDS.labels("decide")

    async def timed(messages: Sequence[T]) -> list[Outgoing]:
        with deciding.time():
            return list(await handler(messages))

    return timed


def run(build: Callable[[], Service]) -> None:
    """Run a service as this process; the exit status is 1 if it gave up."""

    async def main() -> Service:
        service = build()
        refuse_what_can_be_guessed(service.name, service.settings)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, service.stop)
        configure_logs(service.name, service.settings.log_level)
        await service.run()
        return service

    sys.exit(1 if asyncio.run(main()).fault else 0)
