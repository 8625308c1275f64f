"""`claimbus up`: everything on this machine, supervised, until Ctrl-C or SIGTERM."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Annotated

import platformdirs
import typer
from confluent_kafka import KafkaException

from operations.apply import Applied, NotApplied, Onlooker, apply_directory
from operations.bus import NoAnswer
from operations.connection import Unreachable, local_connection_file, read_connection
from operations.directory_file import DirectoryFile, read_directory_file
from operations.embedded import NotStarted, Waiting
from operations.files import WrongFile
from operations.options import ConnectionFile, err, fail, sentence_of
from operations.provisioning import BrokersLate, NotProvisioned
from operations.services import REGISTRY
from operations.stack import NotUp, Stack, running

DEFAULT_DATA = platformdirs.user_data_path("claimbus")

_LOOK_EVERY_S = 0.2
_AGAIN_S = 1.0


class Stopped(BaseException):
    """SIGTERM or Ctrl-C, wherever it is met."""


class Supervising(Onlooker):
    """Starts again what dies while a directory is applied; so there is always somebody who will answer."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._waiting = Waiting(err.print)

    def progress(self, applied: Applied) -> None:
        """Report progress where it takes long."""
        self._waiting.still(f"applying the directory: {applied}")

    def meanwhile(self) -> None:
        """Look after the services."""
        for name in self._stack.watch():
            err.print(f"{name} had died and was started again")

    def late(self, what: str, quiet_s: float) -> None:
        """Wait on: what answers is here, and is started again if it dies."""


def up(
    data: Annotated[Path, typer.Option(help="Where everything is kept between starts.")] = DEFAULT_DATA,
    directory: Annotated[Path | None, typer.Option(help="A directory file to apply at the start.")] = None,
    connection_file: ConnectionFile = None,
    portal_port: Annotated[int, typer.Option(min=1, max=65535, help="Where the portal is.")] = 8000,
    scale: Annotated[list[str] | None, typer.Option(help="Run so many processes of a service, as in claims=3.")] = None,
) -> None:
    """Start everything on this machine, and supervise it until Ctrl-C or SIGTERM."""
    instances = dict(_scale(wish) for wish in scale or [])
    try:
        file = local_connection_file(connection_file)
        wanted = None if directory is None else read_directory_file(directory)
        err.print("starting Kafka, PostgreSQL and the services …")
        with until_stopped(), running(data, instances, portal_port=portal_port, report=err.print) as stack:
            if wanted is not None:
                apply_supervised(stack, wanted)
            serve(stack, file)
    except Stopped:
        err.print("stopped")
    except (NotUp, NotStarted, WrongFile, NotProvisioned, NotApplied, Unreachable, KafkaException) as error:
        fail(error)


def apply_supervised(stack: Stack, wanted: DirectoryFile) -> None:
    """Make a directory file true on a machine that may be busy: where the bus is late, it is tried again.

    Raises NotApplied or NotProvisioned where something is refused.
    """
    while True:
        try:
            apply_directory(stack.connection, wanted, None, onlooker=Supervising(stack))
        except (Unreachable, BrokersLate, NoAnswer, KafkaException) as late:
            err.print(*sentence_of(late).splitlines(), "trying again", sep="\n")
            stack.watch()
            time.sleep(_AGAIN_S)
        else:
            return


def serve(stack: Stack, connection_file: Path) -> None:
    """Write the connection file, which says that all is ready, and start again what dies, for ever.

    The file is there for as long as this runs, and its processes stay true. What cannot be started, or written, because
    the disk is full is tried again until there is room. Raises NotUp if the file is another's.
    """
    if connection_file.exists() and _is_in_use(connection_file):
        raise NotUp(f"{connection_file} is another `claimbus up`'s; give this one its own with --connection-file")
    never = threading.Event()
    in_the_way = ""
    try:
        stack.connection.save(connection_file)
        err.print(f"ready: {connection_file}")
        err.print(f"portal: {stack.connection.portal}")
        err.print(f"kafka: {stack.connection.bootstrap_servers}; logs: {stack.folder / 'logs'}; stop with Ctrl-C")
        is_saved = True
        while True:
            try:
                for name in stack.watch():
                    err.print(f"{name} had died and was started again")
                    stack.take_up_companies(connection_file)
                    is_saved = False
                if not is_saved:
                    stack.connection.save(connection_file)
                    is_saved = True
            except OSError as error:
                if in_the_way != (in_the_way := sentence_of(error)):
                    err.print(f"{in_the_way}: trying again")
            else:
                in_the_way = ""
            never.wait(_LOOK_EVERY_S)
    finally:
        connection_file.unlink(missing_ok=True)


def _is_in_use(connection_file: Path) -> bool:
    try:
        processes = read_connection(connection_file).processes
    except WrongFile:
        return False
    for pid in processes.get("kafka", []):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, 0)
            return True
    return False


@contextlib.contextmanager
def until_stopped() -> Iterator[None]:
    """Raise Stopped inside on the first SIGTERM or SIGINT; later ones don't disturb the stopping."""

    def stop(number: int, _: FrameType | None) -> None:
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, signal.SIG_IGN)
        raise Stopped(number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _scale(wish: str) -> tuple[str, int]:
    service, _, count = wish.partition("=")
    if service not in REGISTRY or not count.isdecimal() or not 0 < int(count) <= 12:
        raise typer.BadParameter(f"{wish!r} is not one of {', '.join(REGISTRY)} with =1 to =12", param_hint="--scale")
    return service, int(count)
