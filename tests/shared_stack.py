"""The stack that all tests share which break nothing: a process of its own, for as long as the tests run.

`python -m tests.shared_stack FOLDER` runs it until SIGTERM, and writes `connection.json` there when all is ready.
"""

import os
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from operations.connection import Connection, read_connection
from operations.embedded import ChildProcess
from operations.stack import Stack
from operations.up import Stopped, serve, until_stopped
from tests.world import wait_until

_START_S = 300.0
_STOP_S = 60.0
_USED_BY = ("tests/browser/", "tests/system/")

PERSONAL = re.compile(r"Anne Berg|91234567|91 23 45 67|Strandgata|Bryggen|anne@", re.IGNORECASE)
"""What the tests' claims say of people and where they live, whatever is provoked: no log may have it."""


def lines_about_people(folder: Path) -> list[str]:
    """Return what the services of a stack have logged of people."""
    lines = (line for log in (folder / "logs").iterdir() for line in log.read_text().splitlines())
    return [line for line in lines if PERSONAL.search(line)]


def new_folder() -> Path:
    """Make a folder that PostgreSQL's unprivileged user can reach when the tests run as root, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="claimbus-test-"))
    folder.chmod(0o711)
    return folder


class SharedStack:
    """Starts it in the process that divides the tests among others, as soon as one of them will need it.

    It is stopped behind the last that may: at rest, with the companies of all, it takes a fifth of a processor.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process: ChildProcess | None = None
        self._using: set[str] = set()

    def pytest_configure_node(self, node: object) -> None:
        """Pass its address to each process."""
        node.workerinput["shared_stack"] = str(self.folder)  # type: ignore[attr-defined]

    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        """Start it, and wait for nothing."""
        self._using = {id for id in ids if id.startswith(_USED_BY)}
        if self._using:
            self.start()

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Stop it behind the last test that may use it, and wait for nothing."""
        if nodeid in self._using:
            self._using.remove(nodeid)
            if not self._using and self._process is not None:
                self._process.ask_to_stop()

    def start(self) -> None:
        """Start it, unless it was."""
        if self._process is None:
            command = [sys.executable, "-m", "tests.shared_stack", str(self.folder)]
            self._process = ChildProcess(command, log=self.folder / "log")
            self._process.start()

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Stop it. What it has logged of people fails the run."""
        if self._process is None:
            return
        self._process.stop(_STOP_S)
        if (self.folder / "logs").exists() and (found := lines_about_people(self.folder)):
            print("the services' logs tell of people:", *found, sep="\n")
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def wait_for(folder: Path) -> Connection:
    """Wait until it is ready, and return how to reach it."""
    file = folder / "connection.json"
    try:
        wait_until(file.exists, what="the shared stack to be ready", timeout_s=_START_S)
    except AssertionError as late:
        raise AssertionError((folder / "log").read_text()[-2000:]) from late
    connection = read_connection(file)
    connection.companies_file = None  # each process adds companies of its own
    return connection


if __name__ == "__main__":
    os.environ.pop("CLAIMBUS_SESSION_TIMEOUT_MS", None)  # nothing is killed here: signs of life as rare as by default
    stack = Stack(Path(sys.argv[1]))
    try:
        with until_stopped():
            stack.start()
            serve(stack, stack.folder / "connection.json")
    except Stopped:
        pass
    finally:
        stack.stop()
