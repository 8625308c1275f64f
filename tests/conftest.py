"""One real Kafka, PostgreSQL and set of services for the whole run, and companies of its own for each test."""

import os
import re
import shutil
import tempfile
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path

import pytest
from xdist.remote import Producer

from operations.connection import Connection
from operations.stack import Stack
from tests.containers.engine import missing
from tests.containers.servers import ContainerKafka, ContainerPostgres
from tests.lanes import Lanes, place_of
from tests.world import World, Worlds

# A test waits for each new company's topic to be seen.
os.environ["CLAIMBUS_METADATA_MAX_AGE_MS"] = "1000"
# Tests kill services, and wait until what they had is given to others.
os.environ["CLAIMBUS_SESSION_TIMEOUT_MS"] = "2500"
# Tests take rights away, and wait until readers are made anew.
os.environ["CLAIMBUS_RENEW_AFTER_S"] = "4"
# All tests come from one address.
os.environ["CLAIMBUS_PORTAL_LOG_INS_PER_MINUTE"] = "1000"


PERSONAL = re.compile(r"Anne Berg|91234567|91 23 45 67|Strandgata|Bryggen|anne@", re.IGNORECASE)
"""What the tests' claims say of people and where they live, whatever is provoked: no log may have it."""


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """A folder that PostgreSQL's unprivileged user can reach when the tests run as root, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="claimbus-test-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def stack(folder: Path) -> Iterator[Stack]:
    """Everything, started once."""
    yield from run_stack(folder)


def run_stack(folder: Path, instances: Mapping[str, int] | None = None) -> Iterator[Stack]:
    """Run a stack, on containers instead of embedded servers with CLAIMBUS_TEST_STACK=containers."""
    if os.environ.get("CLAIMBUS_TEST_STACK") == "containers":
        if reason := missing():
            pytest.skip(reason)
        stack = Stack(folder, instances, kafka=ContainerKafka, postgres=ContainerPostgres)
    else:
        stack = Stack(folder, instances)
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()
    told = [
        line for log in (folder / "logs").iterdir() for line in log.read_text().splitlines() if PERSONAL.search(line)
    ]
    assert not told, "logs tell of people"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests in their order."""
    items.sort(key=lambda item: place_of(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Lanes | None:
    """Have `--dist loadscope` go by lanes."""
    return Lanes(config, log) if config.getoption("dist") == "loadscope" else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the end of each service's log below a test that failed."""
    report = yield
    stack = getattr(item, "funcargs", {}).get("stack")
    if report.failed and isinstance(stack, Stack):
        report.sections += [(f"log of {instance.name}", instance.log_tail()) for instance in stack.instances]
    return report


@pytest.fixture
def connection(stack: Stack) -> Connection:
    """How to reach it; whatever an earlier test broke on purpose is up again."""
    stack.wait_until_ready(patience_s=120)
    return stack.connection


@pytest.fixture(scope="session")
def worlds() -> Worlds:
    """Companies for all tests."""
    return Worlds()


@pytest.fixture
def world(connection: Connection, worlds: Worlds) -> Iterator[World]:
    """New companies: an insurer, a partner with two offices, another partner."""
    world = worlds.next(connection)
    yield world
    world.close()
