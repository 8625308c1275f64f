"""One real Kafka, PostgreSQL and set of services for all, and companies of its own for each test.

A test that asks for `stack` may stop, starve and empty what it likes: those have one of their own, one after the other
in one process. All others share `connection`, from as many processes as run them, and with what the others do there.
"""

import gc
import os
import shutil
from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from operations.connection import Connection
from operations.stack import Stack
from tests.shared_stack import SharedStack, lines_about_people, new_folder, wait_for
from tests.world import World, Worlds

# Tests kill services, and wait until what they had is given to others.
os.environ["CLAIMBUS_SESSION_TIMEOUT_MS"] = "2500"
# Tests take rights away, and wait until readers are made anew.
os.environ["CLAIMBUS_RENEW_AFTER_S"] = "4"
# Tests expect what a form leads to, however busy the machine; what is shown meanwhile: test_late_outcomes.py.
os.environ["CLAIMBUS_PORTAL_OUTCOME_WAIT_S"] = "60"
# All tests come from one address.
os.environ["CLAIMBUS_PORTAL_LOG_INS_PER_MINUTE"] = "1000"

# No property fails because the machine is busy.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

_TOGETHER = ("faults", "containers", "system/reports", "stack", "memory", "integration")
"""What one process runs as a whole, since its tests share what takes long to start; `stack` are those of other folders
that have it."""
_LONGEST_FIRST = (
    *_TOGETHER[:4],
    "browser/test_for_everyone.py",
    "browser/test_opening_time.py",
    "browser/",
    *_TOGETHER[4:],
    "system/",
    "",
)
"""The groups in the order in which they are begun, by how their names begin."""


@pytest.fixture(autouse=True)
def environment_stays() -> Iterator[None]:
    """See to it that no test changes what the processes started by a later one find in their environment."""
    found = _environment()
    yield
    assert _environment() == found


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}


def pytest_configure(config: pytest.Config) -> None:
    """Have the shared stack run where the tests are divided among processes, or all run."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(SharedStack(new_folder()), "shared_stack")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Put a test into its group."""
    item.add_marker(pytest.mark.xdist_group(_group_of(item)))


def _group_of(item: pytest.Item) -> str:
    file = item.path.relative_to(Path(__file__).parent).as_posix()
    folder = next((folder for folder in _TOGETHER if file.startswith(f"{folder}/")), file)
    return "stack" if "stack" in _fixtures_of(item) and folder == file else folder


def _fixtures_of(item: pytest.Item) -> list[str]:
    return list(getattr(item, "fixturenames", ()))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest; apart from that the order is random, by `pytest-randomly`'s seed."""

    def place(item: pytest.Item) -> tuple[int, bool, str]:
        group = _group_of(item)
        number = next(number for number, begins in enumerate(_LONGEST_FIRST) if group.startswith(begins))
        if group not in _TOGETHER:
            return number, False, ""
        return number, item.get_closest_marker("last") is not None, str(item.path.parent)

    items.sort(key=place)


def pytest_collection_finish() -> None:
    """Keep the collector from what stays to the end, modules and tests, and collect less often.

    Going through all of that took an eighth of the time of unit and memory.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the end of each service's log below a test that failed."""
    report = yield
    stack = getattr(item, "funcargs", {}).get("stack")
    if report.failed and report.when != "teardown" and isinstance(stack, Stack):  # whose folder may be gone by then
        report.sections += [(f"log of {instance.name}", instance.log_tail()) for instance in stack.instances]
    return report


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """A folder for servers."""
    folder = new_folder()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def run_folder(request: pytest.FixtureRequest) -> Path:
    """A folder of all processes that run tests."""
    worker_input: dict[str, str] | None = getattr(request.config, "workerinput", None)
    if worker_input is not None:
        return Path(worker_input["shared_stack"])
    plugin = request.config.pluginmanager.get_plugin("shared_stack")
    assert isinstance(plugin, SharedStack)
    return plugin.folder


class StackToBreak:
    """Everything, for tests that break it: started for the first of them, and stopped behind the last."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running = ExitStack()
        self._stack: Stack | None = None

    def running(self) -> Stack:
        """Give it, and start it before."""
        if self._stack is None:
            self._stack = self._running.enter_context(contextmanager(run_stack)(self._folder))
        return self._stack

    def stop(self) -> None:
        """Stop it; safe to repeat."""
        self._stack = None
        self._running.close()


_TO_BREAK = pytest.StashKey[StackToBreak]()


@pytest.fixture(scope="session")
def to_break(request: pytest.FixtureRequest, folder: Path) -> Iterator[StackToBreak]:
    """One for all tests that break it."""
    request.config.stash[_TO_BREAK] = to_break = StackToBreak(folder)
    yield to_break
    to_break.stop()


@pytest.fixture(scope="module")
def stack(to_break: StackToBreak) -> Stack:
    """Everything, for tests that break it."""
    return to_break.running()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Stop it behind the last test that breaks it: at rest it takes a fifth of a processor."""
    to_break = item.config.stash.get(_TO_BREAK, None)
    if to_break is not None and (nextitem is None or _group_of(nextitem) != "stack"):
        to_break.stop()


def run_stack(folder: Path, instances: Mapping[str, int] | None = None) -> Iterator[Stack]:
    """Run a stack; what its services have logged of people fails the test that was the last."""
    stack = Stack(folder, instances)
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()
    assert not lines_about_people(folder), "logs tell of people"


@pytest.fixture(scope="session")
def shared(request: pytest.FixtureRequest, run_folder: Path) -> Connection:
    """How to reach the stack that all tests share."""
    plugin = request.config.pluginmanager.get_plugin("shared_stack")
    if isinstance(plugin, SharedStack):
        plugin.start()
    return wait_for(run_folder)


@pytest.fixture
def connection(request: pytest.FixtureRequest) -> Connection:
    """How to reach the test's stack; whatever an earlier test broke on purpose is up again."""
    if "stack" not in request.fixturenames:
        shared: Connection = request.getfixturevalue("shared")
        return shared
    stack: Stack = request.getfixturevalue("stack")
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
