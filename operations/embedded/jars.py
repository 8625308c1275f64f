"""Kafka's jars, resolved once into the user's cache; after that no network is needed."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import platformdirs
from jgo.maven import MavenContext, PythonResolver
from jgo.parse import Coordinate

from operations.embedded.processes import NotStarted

KAFKA_VERSION = "4.1.0"

_COORDINATES = (f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}", "org.apache.logging.log4j:log4j-slf4j-impl:2.24.3")
_DOWNLOADS_AT_ONCE = 8
_TIMEOUT_S = 60


def kafka_jars() -> list[Path]:
    """Tell Kafka's class path, downloading what is not in the cache. Raises NotStarted if that cannot be had."""
    cache = platformdirs.user_cache_path("claimbus")
    index = cache / f"kafka-{KAFKA_VERSION}.json"
    known = _known(cache, index)
    if known is not None:
        return known
    cache.mkdir(parents=True, exist_ok=True)
    try:
        jars = _resolved(cache / "jars")
    except Exception as error:
        raise NotStarted(f"Kafka {KAFKA_VERSION} could not be downloaded: {error}") from error
    unfinished = index.with_suffix(".part")
    unfinished.write_text(json.dumps([str(jar.relative_to(cache)) for jar in jars]))
    unfinished.replace(index)
    return jars


def _known(cache: Path, index: Path) -> list[Path] | None:
    try:
        jars = [cache / name for name in json.loads(index.read_text())]
    except (FileNotFoundError, ValueError):
        return None
    return jars if all(jar.is_file() for jar in jars) else None


def _resolved(folder: Path) -> list[Path]:
    maven = MavenContext(repo_cache=folder, resolver=PythonResolver(), timeout=_TIMEOUT_S)
    artifacts: dict[str, Any] = {}
    for coordinate in _COORDINATES:
        # One at a time: together, jgo lets the versions that log4j's parent manages decide for Kafka, and takes the
        # clients of another Kafka (3.8.0).
        wanted = maven.create_dependency(Coordinate.parse(coordinate))
        direct, transitive = maven.resolver.resolve([wanted])
        for dependency in (*direct, *transitive):
            if dependency.scope in (None, "compile", "runtime"):
                artifacts.setdefault(f"{dependency.groupId}:{dependency.artifactId}", dependency.artifact)
    with ThreadPoolExecutor(_DOWNLOADS_AT_ONCE) as pool:
        return [Path(jar) for jar in pool.map(lambda artifact: artifact.resolve(), artifacts.values())]
