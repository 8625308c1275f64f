"""`claimbus up`: everything on this machine, supervised, until Ctrl-C or SIGTERM."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Annotated

import platformdirs
import typer
from pydantic import ValidationError

from operations.apply import NotApplied, apply_directory
from operations.bus import NoAnswer
from operations.connection import RUN_HERE, Connection, Unreachable, local_connection_file
from operations.directory_file import WrongFile, read_directory_file
from operations.embedded import NotStarted
from operations.options import ConnectionFile, err, fail
from operations.provisioning import NotProvisioned
from operations.stack import NotUp, Stack, running

DEFAULT_DATA = platformdirs.user_data_path("claimbus")

_LOOK_EVERY_S = 0.2


class Told(BaseException):
    """SIGTERM or Ctrl-C, wherever it is met."""


def up(
    data: Annotated[Path, typer.Option(help="Where everything is kept between starts.")] = DEFAULT_DATA,
    directory: Annotated[Path | None, typer.Option(help="A directory file to apply at the start.")] = None,
    connection_file: ConnectionFile = None,
    portal_port: Annotated[int, typer.Option(min=1, max=65535, help="Where the portal is.")] = 8000,
    scale: Annotated[list[str] | None, typer.Option(help="Run so many processes of a service, as in claims=3.")] = None,
) -> None:
    """Start everything on this machine, and supervise it until Ctrl-C or SIGTERM."""
    instances = dict(_scale(wish) for wish in scale or [])
    file = local_connection_file(connection_file)
    try:
        wanted = None if directory is None else read_directory_file(directory)
        err.print("starting Kafka, PostgreSQL and the services …")
        with until_told(), running(data, instances, portal_port=portal_port) as stack:
            if wanted is not None:
                apply_directory(stack.connection, wanted, None)
            serve(stack, file)
    except Told:
        err.print("stopped")
    except (NotUp, NotStarted, WrongFile, NotProvisioned, NotApplied, NoAnswer, Unreachable) as error:
        fail(error)


def serve(stack: Stack, connection_file: Path) -> None:
    """Write the connection file, which says that all is ready, and start again what dies, for ever.

    The file is there for as long as this runs, and its processes stay true. Raises NotUp if it is another's.
    """
    if connection_file.exists() and _is_in_use(connection_file):
        raise NotUp(f"{connection_file} is another `claimbus up`'s; give this one its own with --connection-file")
    never = threading.Event()
    try:
        stack.connection.save(connection_file)
        err.print(f"ready: {connection_file}", markup=False)
        err.print(f"portal: {stack.connection.portal}", markup=False)
        err.print(f"kafka: {stack.connection.bootstrap_servers}; logs: {stack.folder / 'logs'}; stop with Ctrl-C")
        while True:
            for name in stack.watch():
                err.print(f"{name} had died and was started again", markup=False)
                stack.take_up_companies(connection_file)
                stack.connection.save(connection_file)
            never.wait(_LOOK_EVERY_S)
    finally:
        connection_file.unlink(missing_ok=True)


def _is_in_use(connection_file: Path) -> bool:
    try:
        processes = Connection.model_validate_json(connection_file.read_text()).processes
    except ValidationError:
        return False
    for pid in processes.get("kafka", []):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, 0)
            return True
    return False


@contextlib.contextmanager
def until_told() -> Iterator[None]:
    """Raise Told inside on the first SIGTERM or SIGINT; later ones don't disturb the stopping."""

    def told(number: int, _: FrameType | None) -> None:
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, signal.SIG_IGN)
        raise Told(number)

    before = {number: signal.signal(number, told) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _scale(wish: str) -> tuple[str, int]:
    service, _, count = wish.partition("=")
    if service not in RUN_HERE or not count.isdecimal() or not 0 < int(count) <= 12:
        raise typer.BadParameter(f"{wish!r} is not one of {', '.join(RUN_HERE)} with =1 to =12", param_hint="--scale")
    return service, int(count)
