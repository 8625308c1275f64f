"""Structured logs: one JSON object a line on standard output, with ids and never with personal data."""

import logging
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from contextvars import ContextVar

import structlog
from aiokafka.errors import KafkaError
from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

WORKED_ON: ContextVar[Mapping[str, str]] = ContextVar("worked_on")
"""What each line says of what is being worked on. Whoever sets it empties it in the end, since tasks that were begun
meanwhile keep it."""


class RepeatedSentences(logging.Filter):
    """Lets a library say a sentence only once in some seconds: it says it at each of its tries, ten times a second."""

    def __init__(self, library: str, every_s: float = 10.0, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._library = library
        self._every_s = every_s
        self._now = now
        self._logged_at: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to say it."""
        if record.name.partition(".")[0] != self._library:
            return True
        sentence, now = (record.name, str(record.msg)), self._now()
        if now - self._logged_at.get(sentence, -self._every_s) < self._every_s:
            return False
        self._logged_at[sentence] = now
        return True


class LinesOfOneSource:
    """Lets each sentence about a source be said some times in a while, and says with the next how many were left out.

    A source is a topic or a company: whoever sends rubbish by the thousand would fill the disk with what is said of it.
    How many there were the metrics say.
    """

    def __init__(self, most: int = 20, every_s: float = 10.0, now: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._every_s = every_s
        self._now = now
        self._said: dict[tuple[str, str], tuple[float, int]] = {}
        """Since when a sentence about a source was said how often, by both."""

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        """Pass a line on, or drop it."""
        source = event.get("topic") or event.get("company") or str(event.get("first", "")).partition("/")[0]
        if not source:
            return event
        about, now = (str(event["event"]), str(source)), self._now()
        since, times = self._said.get(about, (now, 0))
        left_out = max(0, times - self._most)
        if now - since >= self._every_s:
            since, times = now, 0
        self._said[about] = since, times + 1
        if times >= self._most:
            raise structlog.DropEvent
        if left_out and not times:
            event["left_out"] = left_out
        return event


class WithoutErrorTexts(logging.Filter):
    """Takes the texts of errors out of what libraries say, except those of servers that cannot be reached."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let it pass, changed."""
        if record.name == "asyncio":
            record.msg, record.args = record.getMessage().partition("\n")[0], ()  # a task's result follows
        elif isinstance(record.args, tuple):
            record.args = tuple(
                type(arg).__qualname__
                if isinstance(arg, BaseException) and not isinstance(arg, OSError | KafkaError)
                else arg
                for arg in record.args
            )
        return True


def kind_and_place(exc_info: ExcInfo) -> str:
    """Format an exception and what led to it: the kinds and the places in the code, and no texts.

    Whoever logs it, we or a library: the text of an error may hold what somebody wrote in a claim.
    """
    error: BaseException | None = exc_info[1]
    lines: list[str] = []
    while error is not None:
        lines.append(type(error).__qualname__)
        lines += [f"  {f.filename}:{f.lineno} in {f.name}" for f in traceback.extract_tb(error.__traceback__)]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n".join(lines)


def _name_what_is_worked_on(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    event.update(WORKED_ON.get({}))
    return event


def configure_logs(service: str, level: str) -> None:
    """Send everything that the service and its libraries log through one JSON renderer."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        _name_what_is_worked_on,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.ExceptionRenderer(kind_and_place),
    ]
    structlog.configure(
        processors=[LinesOfOneSource(), *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.addFilter(RepeatedSentences("aiokafka"))
    handler.addFilter(RepeatedSentences("opentelemetry", every_s=60.0))
    handler.addFilter(WithoutErrorTexts())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(ensure_ascii=False),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)  # libraries
    logging.getLogger("claimbus").setLevel(level)
    # aiokafka logs every rejoin of a group as an error of its own; ours say what follows from it.
    logging.getLogger("aiokafka.consumer.group_coordinator").setLevel(logging.CRITICAL)
    logging.getLogger("claimbus.faststream").addFilter(lambda record: "Topic creation is skipped" not in record.msg)
    structlog.contextvars.bind_contextvars(service=service)


log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger("claimbus")
