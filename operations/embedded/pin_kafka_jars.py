"""Resolve a version of Kafka, and pin its jars: `python -m operations.embedded.pin_kafka_jars 4.1.0`."""

import sys
from collections.abc import Iterator

from jgo.maven import MavenContext
from jgo.parse import Coordinate

from operations.embedded.kafka_jars import LOCK_FILE, TIMEOUT_S, Jar, remote_repositories, sha256_of


def resolve(kafka_version: str) -> Iterator[Jar]:
    """Find what the server needs at run time, and the jar that makes it log through the log4j that it comes with."""
    context = MavenContext(remote_repos=remote_repositories(), timeout=TIMEOUT_S)
    server = context.create_dependency(Coordinate("org.apache.kafka", "kafka_2.13", kafka_version))
    _, needed = context.resolver.resolve([server])
    artifacts = [server.artifact, *(each.artifact for each in needed if each.scope in {"compile", "runtime"})]
    log4j = next(artifact for artifact in artifacts if artifact.artifactId == "log4j-core")
    # Not resolved together with Kafka: jgo would take the versions that log4j's parent manages for Kafka's own jars.
    artifacts.append(context.project(log4j.groupId, "log4j-slf4j-impl").at_version(log4j.version).artifact())
    for artifact in artifacts:
        yield Jar(artifact.groupId, artifact.artifactId, artifact.version, sha256_of(artifact.resolve()))


if __name__ == "__main__":
    pinned = sorted(str(jar) for jar in resolve(sys.argv[1]))
    LOCK_FILE.write_text("\n".join(["# Written by python -m operations.embedded.pin_kafka_jars VERSION", *pinned, ""]))
