"""Which peers there are, how each is run, and what it needs."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from operations.options import err

FLOOR = "floor"
SPRING_BATCH = "spring-batch"

_BY_MESSAGE = 1_000
"""A thousand are enough of what does some fifty each second."""
_SPRING = Path(__file__).parent / "spring"
_JAR = _SPRING / "target" / "peer.jar"
_OLDEST_JAVA = 17
_JVM = ("-Xmx384m", "-XX:+UseSerialGC")
"""What Java itself chooses on a machine of two cores with less than two gigabytes, as a container has."""


class Missing(Exception):
    """Something that a peer needs is not on this machine; the message says what."""


@dataclass(frozen=True)
class PeerEntry:
    """A peer."""

    name: str
    command: Callable[[], list[str | Path]]
    """Prepares it and says how a process of it is started, without the stage. Raises Missing."""
    at_most: int | None = None


def _python(module: str) -> Callable[[], list[str | Path]]:
    return lambda: [sys.executable, "-m", f"benchmarks.peers.{module}"]


def _spring(listener: str) -> Callable[[], list[str | Path]]:
    def command() -> list[str | Path]:
        _build()
        return ["java", *_JVM, "-jar", _JAR, listener]

    return command


def _build() -> None:
    """Have Maven build the jar, unless it is newer than all that it is built of."""
    if shutil.which("java") is None or shutil.which("mvn") is None:
        raise Missing("there is no java and mvn on the path")
    version = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(\d+)', version)
    if found is None or int(found[1]) < _OLDEST_JAVA:
        raise Missing(f"it needs Java {_OLDEST_JAVA}")
    sources = [_SPRING / "pom.xml", *(file for file in (_SPRING / "src").rglob("*") if file.is_file())]
    if _JAR.exists() and all(_JAR.stat().st_mtime > source.stat().st_mtime for source in sources):
        return
    err.print("building the Spring peer with Maven …")
    built = subprocess.run(["mvn", "-q", "-B", "package"], cwd=_SPRING, capture_output=True, text=True, check=False)
    if built.returncode:
        last = next(iter(re.findall(r"^\[ERROR\] (.*)$", built.stdout, re.MULTILINE)), "mvn failed")
        raise Missing(f"Maven could not build it: {last}")


PEERS = {
    peer.name: peer
    for peer in (
        PeerEntry(FLOOR, _python("floor")),
        PeerEntry(SPRING_BATCH, _spring("batch")),
        PeerEntry("spring-record", _spring("record"), at_most=_BY_MESSAGE),
        PeerEntry("faststream", _python("faststream_by_message"), at_most=_BY_MESSAGE),
    )
}
"""By name, in the order in which they are measured."""
