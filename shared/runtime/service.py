"""A service: FastStream subscribers over the batch loop, with health and metrics beside them, until it is stopped."""

import asyncio
import contextlib
import functools
import logging
import re
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any, TypeVar, cast

import uvicorn
from aiokafka.errors import KafkaError
from faststream import AckPolicy
from faststream.asgi import AsgiFastStream, AsgiResponse, get
from faststream.kafka import KafkaBroker
from faststream.kafka.annotations import KafkaMessage
from faststream.kafka.message import KafkaAckableMessage
from faststream.security import SASLScram256, SASLScram512
from prometheus_client import make_asgi_app

from shared.contract.topics import Topic
from shared.runtime.batches import BatchLoop, Decode, Handler, Misconfigured, Stopping, where
from shared.runtime.dead_letters import TooManyDeadLetters
from shared.runtime.logs import configure_logs, log
from shared.runtime.publishing import Publisher
from shared.runtime.reader import PatientConsumer
from shared.runtime.records import Record
from shared.runtime.settings import ServiceSettings

T = TypeVar("T")
Check = Callable[[], Awaitable[None]]
Consume = Callable[[KafkaMessage], Awaitable[None]]
Hook = Callable[[], Awaitable[None]]

_CHECK_TIMEOUT_S = 3.0
_SLEEP_MS = 20
"""How long FastStream sleeps when the reader has waited in vain."""
_FETCHED_OF_A_PARTITION = 64 * 1024
_FETCHED_AT_ONCE = 1024 * 1024
"""What is read ahead and held in memory, in bytes; a larger message is fetched all the same."""


class Service:
    """One instance of one service.

    *Live* means that the process answers: restart it if not. *Ready* means that it reads and can finish what it
    reads: Kafka and the database answer, and no batch is being tried again.
    """

    def __init__(self, name: str, settings: ServiceSettings, *, away: Sequence[type[Exception]] = ()) -> None:
        """`away` are the errors that say that something of ours cannot be reached, beside Kafka's own."""
        self.name = name
        self.settings = settings.model_copy(update={"username": settings.username or name})
        self.publisher = Publisher(self.settings)
        self.loop = BatchLoop(name, self.settings, self.publisher, away)
        self._away = tuple(away)
        self.on_start: list[Hook] = []
        """Run once before the first message is read, and again if it fails: migrations, connections."""
        self.on_stop: list[Hook] = []
        self.checks: dict[str, Check] = {"kafka": self.publisher.answers}
        self.notes: list[Callable[[], Sequence[str]]] = []
        """Tell what somebody has to look at although the service is ready; the health answer repeats it."""
        self.fault: str | None = None
        self.health_url = ""
        self._started = False
        self._stop = asyncio.Event()
        self._broker = KafkaBroker(
            self.settings.bootstrap_servers,
            consumer_only=True,
            client_id=self.settings.username,
            security=_security(self.settings),
            metadata_max_age_ms=self.settings.metadata_max_age_ms,
            graceful_timeout=self.settings.stop_timeout_s,
            logger=logging.getLogger("claimbus.faststream"),
            log_level=logging.DEBUG,
        )

    def subscriber(self, *topics: Topic) -> Callable[[Consume], Consume]:
        """Read topics, or every company's, in the consumer group of the service's name: FastStream's subscriber."""

        async def unparsed(records: tuple[Record, ...]) -> KafkaAckableMessage:
            # FastStream's own parser and decoder read all headers and bodies before a handler is called, and one that
            # cannot be read would take its whole batch with it.
            return KafkaAckableMessage(body=b"", raw_message=records, consumer=subscriber.consumer)

        subscriber = self._broker.subscriber(
            *(topic.name for topic in topics if not topic.per_company),
            pattern=next((re.escape(topic.prefix) + ".*" for topic in topics if topic.per_company), None),
            group_id=self.name,
            batch=True,
            max_records=self.settings.batch_max_records,
            batch_timeout_ms=_SLEEP_MS,
            max_partition_fetch_bytes=_FETCHED_OF_A_PARTITION,
            fetch_max_bytes=_FETCHED_AT_ONCE,
            auto_offset_reset="earliest",
            ack_policy=AckPolicy.MANUAL,
            session_timeout_ms=self.settings.session_timeout_ms,
            heartbeat_interval_ms=self.settings.session_timeout_ms // 3,
            parser=unparsed,
            decoder=_undecoded,
        )
        return cast("Callable[[Consume], Consume]", subscriber)

    def published_before_committed(self, decode: Decode[T]) -> Callable[[Handler[T]], Consume]:
        """Turn a handler of decoded messages into one that FastStream can call.

        What the handler returns is published after its transaction is in, and offsets are committed after that.
        """

        def around(handler: Handler[T]) -> Consume:
            @functools.wraps(handler)
            async def consume(message: KafkaMessage) -> None:
                try:
                    await self.loop.run(message.raw_message, message.consumer, decode, handler)
                except Stopping:
                    return
                except (TooManyDeadLetters, Misconfigured) as fault:
                    self.give_up(str(fault))
                except Exception as error:  # noqa: BLE001 - FastStream would go on, and the next commit pass this batch
                    self.give_up(f"the batch loop fails: {where(error)}")

            del consume.__wrapped__  # FastStream reads the signature: a message, not the handler's own parameters
            consume.__annotations__ = {"message": KafkaMessage, "return": None}
            return consume

        return around

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT, or until it gives up (then `fault` says why)."""
        stopping = asyncio.create_task(self._stop.wait())
        async with self._health_server():
            running = asyncio.create_task(self._start())
            await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                running.result()
                await stopping
            else:
                running.cancel()
            await self._shut_down()

    def stop(self) -> None:
        """Ask it to stop: it finishes the batch it is in, or leaves it uncommitted if that cannot be finished."""
        self.loop.stopping.set()
        self._stop.set()

    async def _start(self) -> None:
        wait_s = self.settings.retry_first_s
        while True:
            try:
                for hook in self.on_start:
                    await hook()
                await self._connect()
                await self._broker.start()
            except (KafkaError, OSError, *self._away) as error:
                log.warning("not started yet", reason=type(error).__name__, wait_s=wait_s)
                await self._broker.stop()
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, self.settings.retry_longest_s)
            else:
                self._started = True
                log.info("started", health=self.health_url)
                return

    async def _connect(self) -> None:
        """Connect the broker, and have it read with our consumer in the place of aiokafka's."""
        await self._broker.connect()
        config = self._broker.config.broker_config
        if isinstance(config.builder, functools.partial):
            config.builder = functools.partial(PatientConsumer, **config.builder.keywords)

    async def _shut_down(self) -> None:
        self.loop.stopping.set()
        await self._broker.stop()
        for hook in self.on_stop:
            await hook()
        await self.publisher.stop()
        log.info("stopped", fault=self.fault)

    def give_up(self, fault: str) -> None:
        """Stop, with a fault that somebody has to mend."""
        log.critical("the service stops", reason=fault)
        self.fault = fault
        self.stop()

    async def _problems(self) -> dict[str, str]:
        if not self._started or self.loop.stopping.is_set():
            return {"service": "stopping" if self.loop.stopping.is_set() else "starting"}
        problems = {"batches": "a batch is being tried again"} if self.loop.retrying else {}
        for name, check in self.checks.items():
            try:
                async with asyncio.timeout(_CHECK_TIMEOUT_S):
                    await check()
            except Exception as error:  # noqa: BLE001 - whatever it is, the answer is: not ready
                problems[name] = type(error).__name__
        return problems

    @contextlib.asynccontextmanager
    async def _health_server(self) -> AsyncIterator[None]:
        @get
        async def live(_scope: Any) -> AsgiResponse:
            return AsgiResponse(b"live", 200)

        @get
        async def ready(_scope: Any) -> AsgiResponse:
            problems = await self._problems()
            text = [f"{name}: {problem}" for name, problem in problems.items()] or ["ready"]
            text += [note for notes in self.notes for note in notes()]
            return AsgiResponse("; ".join(text).encode(), 503 if problems else 200)

        routes: list[tuple[str, Any]] = [
            ("/health/live", live),
            ("/health/ready", ready),
            ("/metrics", make_asgi_app()),
        ]
        config = uvicorn.Config(
            AsgiFastStream(asgi_routes=routes, logger=None),
            host=self.settings.health_host,
            port=self.settings.health_port,
            lifespan="off",
            log_config=None,
            access_log=False,
        )
        server = QuietServer(config)
        socket = config.bind_socket()
        self.health_url = "http://{}:{}".format(*socket.getsockname()[:2])
        serving = asyncio.create_task(server.serve(sockets=[socket]))
        try:
            yield
        finally:
            server.should_exit = True
            await serving


def run(build: Callable[[], Service]) -> None:
    """Run a service as this process; the exit status is 1 if it gave up."""

    async def main() -> Service:
        service = build()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, service.stop)
        configure_logs(service.name, service.settings.log_level)
        await service.run()
        return service

    sys.exit(1 if asyncio.run(main()).fault else 0)


class QuietServer(uvicorn.Server):
    """A server that leaves the process's signals to the service."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them as they are."""
        yield


async def _undecoded(_message: KafkaAckableMessage) -> None:
    return None


def _security(settings: ServiceSettings) -> SASLScram512 | SASLScram256:
    client = settings.client()
    scram = SASLScram512 if settings.sasl_mechanism == "SCRAM-SHA-512" else SASLScram256
    return scram(
        username=settings.username,
        password=settings.password.get_secret_value(),
        ssl_context=client["ssl_context"],  # type: ignore[arg-type]
        use_ssl=client["ssl_context"] is not None,
    )
