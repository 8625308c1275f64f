"""What everything is measured on: an embedded Kafka and PostgreSQL with all services, and the companies of the demo."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from operations.demo.command import DIRECTORY
from operations.directory_file import read_directory_file
from operations.embedded import ChildProcess, EmbeddedKafka
from operations.options import err
from operations.stack import Stack
from operations.up import apply_supervised

PARTNER, OFFICE, INSURER = "vest-skadeservice", "vest-bergen", "fjord-forsikring"
"""The demo's office that may always create."""


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


@contextlib.contextmanager
def installation(kafka: type[EmbeddedKafka] = EmbeddedKafka) -> Iterator[Stack]:
    """Run one; whatever happens, nothing of it is left behind."""
    with folder() as place:
        stack = Stack(place, report=err.print, kafka=kafka)
        try:
            stack.start()
            apply_supervised(stack, read_directory_file(DIRECTORY))
            yield stack
        finally:
            stack.stop()
