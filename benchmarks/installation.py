"""What everything is measured on: an embedded Kafka and PostgreSQL with all services, and the companies of the demo."""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from operations.demo.command import DIRECTORY
from operations.directory_file import DirectoryFile, read_directory_file
from operations.options import err
from operations.stack import Stack, running
from operations.up import apply_supervised

PARTNER, OFFICE, INSURER = "vest-skadeservice", "vest-bergen", "fjord-forsikring"
"""The demo's office that may always create."""


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A temporary folder that PostgreSQL's unprivileged user can reach where this runs as root."""
    with tempfile.TemporaryDirectory(prefix="claimbus-benchmark-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@contextlib.contextmanager
def installation(instances: Mapping[str, int] | None = None, more: DirectoryFile | None = None) -> Iterator[Stack]:
    """Run one, with `more` companies than those of the demo; whatever happens, nothing of it is left behind."""
    with folder() as place, running(place, instances, report=err.print) as stack:
        wanted = read_directory_file(DIRECTORY)
        apply_supervised(stack, DirectoryFile(companies=[*wanted.companies, *(more.companies if more else ())]))
        yield stack
