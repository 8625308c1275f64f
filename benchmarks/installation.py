"""What everything is measured on: an embedded Kafka and PostgreSQL with all services, and the companies of the demo."""

import contextlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from confluent_kafka import KafkaException

from operations.apply import apply_directory
from operations.bus import NoAnswer
from operations.connection import Unreachable
from operations.demo.command import DIRECTORY
from operations.directory_file import DirectoryFile, read_directory_file
from operations.embedded import ChildProcess, EmbeddedKafka
from operations.options import err
from operations.provisioning import BrokersLate
from operations.stack import Stack
from operations.up import Supervising

PARTNER, OFFICE, INSURER = "vest-skadeservice", "vest-bergen", "fjord-forsikring"
"""The demo's office that may always create."""


_TRIES = 5
_AGAIN_S = 5.0
_QUIET_S = 300.0


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A temporary folder that PostgreSQL's unprivileged user can reach where this runs as root."""
    with tempfile.TemporaryDirectory(prefix="claimbus-benchmark-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


class RoomyKafka(EmbeddedKafka):
    """A Kafka for thousands of topics: with half a gigabyte, which is for trying, it has no time but for collecting."""

    def _java(self, class_path: list[Path], *arguments: str, cwd: Path, lock: int) -> ChildProcess:
        return super()._java(class_path, "-Xmx2g", *arguments, cwd=cwd, lock=lock)


class _Bounded(Supervising):
    """Looks after the services, and gives up when no outcome has come for five minutes."""

    def late(self, what: str, quiet_s: float) -> None:
        if quiet_s > _QUIET_S:
            raise NoAnswer(f"nothing has come for {quiet_s:.0f} s of {what}")


def apply(stack: Stack, wanted: DirectoryFile) -> None:
    """Make a directory true, with some patience for brokers that are late. Raises what `apply_directory` raises."""
    for _ in range(_TRIES - 1):
        with contextlib.suppress(Unreachable, BrokersLate, KafkaException):
            apply_directory(stack.connection, wanted, None, onlooker=_Bounded(stack))
            return
        time.sleep(_AGAIN_S)
    apply_directory(stack.connection, wanted, None, onlooker=_Bounded(stack))


@contextlib.contextmanager
def installation(kafka: type[EmbeddedKafka] = EmbeddedKafka) -> Iterator[Stack]:
    """Run one; whatever happens, nothing of it is left behind."""
    with folder() as place:
        stack = Stack(place, report=err.print, kafka=kafka)
        try:
            stack.start()
            apply(stack, read_directory_file(DIRECTORY))
            yield stack
        finally:
            stack.stop()
