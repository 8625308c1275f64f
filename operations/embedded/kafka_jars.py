"""Apache Kafka's server as a class path: jars from Maven Central, each checked against `kafka-jars.lock`.

`python -m operations.embedded.pin_kafka_jars 4.1.0` resolves a version of Kafka anew and writes that file.
"""

import fcntl
import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import platformdirs
from rich.console import Console
from rich.progress import track

from operations.embedded.processes import NotStarted

LOCK_FILE = Path(__file__).with_name("kafka-jars.lock")

_AT_ONCE = 8
_TRIES = 3
TIMEOUT_S = 60


@dataclass(frozen=True)
class Jar:
    """A jar by its Maven coordinates, and what must be in it."""

    group: str
    artifact: str
    version: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version} sha256:{self.sha256}"

    def within(self, repository: Path) -> Path:
        """Where it lies in a folder that is laid out as Maven does."""
        folder = repository.joinpath(*self.group.split("."), self.artifact, self.version)
        return folder / f"{self.artifact}-{self.version}.jar"


def kafka_class_path() -> list[Path]:
    """Give the jars of the Kafka server, fetched into the user's cache the first time; later no network is needed.

    Any number of processes may ask at once. Raises NotStarted if a jar is missing and can't be had.
    """
    lock = LOCK_FILE.read_text()
    jars = list(_parse(lock))
    repository = platformdirs.user_cache_path("claimbus") / "maven"
    paths = [jar.within(repository) for jar in jars]
    checked = repository / f"{hashlib.sha256(lock.encode()).hexdigest()[:16]}.checked"
    if not (checked.exists() and all(path.exists() for path in paths)):
        repository.mkdir(parents=True, exist_ok=True)
        with (repository / "lock").open("w") as other_processes:
            fcntl.flock(other_processes, fcntl.LOCK_EX)
            with ThreadPoolExecutor(_AT_ONCE) as executor:
                fetched = executor.map(lambda jar: _fetch(jar, repository), jars)
                for _ in track(fetched, "fetching Kafka, once", len(jars), console=Console(stderr=True)):
                    pass
            checked.touch()
    return paths


def _parse(lock: str) -> Iterator[Jar]:
    for line in lock.splitlines():
        if line and not line.startswith("#"):
            coordinates, checksum = line.split()
            group, artifact, version = coordinates.split(":")
            yield Jar(group, artifact, version, checksum.removeprefix("sha256:"))


def _fetch(jar: Jar, repository: Path) -> None:
    """Make sure that the jar is there and right: an interrupted download leaves a wrong one."""
    from jgo.maven import MavenContext  # noqa: PLC0415 (slow to import, and needed once only)

    path = jar.within(repository)
    problem = ""
    context = MavenContext(repo_cache=repository, remote_repos=remote_repositories(), timeout=TIMEOUT_S)
    for _ in range(_TRIES):
        if path.exists():
            if sha256_of(path) == jar.sha256:
                return
            problem = "it has not the content that kafka-jars.lock says"
            path.unlink()
        try:
            context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve()
        except (OSError, RuntimeError) as error:
            problem = str(error)
    if path.exists() and sha256_of(path) == jar.sha256:
        return
    raise NotStarted(
        f"Kafka's {path.name} can't be fetched from Maven Central, which is needed once (it is then kept in "
        f"{repository}): {problem}"
    )


def remote_repositories() -> dict[str, str]:
    """Maven Central, after what the user has configured for jgo, such as a company's mirror."""
    from jgo.config import GlobalSettings  # noqa: PLC0415
    from jgo.constants import MAVEN_CENTRAL_URL  # noqa: PLC0415

    return {**GlobalSettings.load().repositories, "central": MAVEN_CENTRAL_URL}


def sha256_of(path: Path) -> str:
    """Hash a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
