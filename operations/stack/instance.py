"""One process of one service, and when it is started again."""

import os
import re
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path

from operations.embedded import ChildProcess
from operations.services import REGISTRY
from shared.runtime.process import HELD_BY

_GIVES_WAY = 10
"""The niceness of a read model: in a storm it gives way to the services that a partner's outcome passes through."""
_HEALTH_S = 2.0
_STOP_S = 20.0
_FIRST_BACKOFF_S = 0.2
_LONGEST_BACKOFF_S = 30.0
_HEALTHY_AFTER_S = 30.0


class Backoff:
    """When to start again what has died: soon at first, then later and later; soon again after a healthy while."""

    def __init__(self) -> None:
        self._wait_s = _FIRST_BACKOFF_S
        self._started_at = 0.0
        self._again_at = 0.0

    def started(self) -> None:
        """Note a start."""
        self._started_at = time.monotonic()

    def is_due(self) -> bool:
        """Whether the time has come to start again what is found dead."""
        now = time.monotonic()
        if not self._again_at:
            if now - self._started_at > _HEALTHY_AFTER_S:
                self._wait_s = _FIRST_BACKOFF_S
            self._again_at = now + self._wait_s
            self._wait_s = min(self._wait_s * 2, _LONGEST_BACKOFF_S)
        if now < self._again_at:
            return False
        self._again_at = 0.0
        return True


class Instance:
    """One process of one service, started again with backoff when it dies."""

    def __init__(self, service: str, number: int, environment: Mapping[str, str], log: Path, module: str) -> None:
        self.service = service
        self.name = f"{service}-{number}"
        self.health = f"http://127.0.0.1:{environment['CLAIMBUS_HEALTH_PORT']}"
        self.wanted = True
        self.log = log
        self._command = [sys.executable, "-m", module]
        self._environment = dict(environment)
        self._backoff = Backoff()
        self._process: ChildProcess | None = None

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process is not None and self._process.is_running() else None

    def start(self, held_by: int | None = None) -> None:
        """Start the process, and have it started again whenever it dies.

        It does nothing but import for as long as somebody has the other end of the pipe `held_by`.
        """
        self.wanted = True
        held = {} if held_by is None else {HELD_BY: str(held_by)}
        self._process = ChildProcess(
            self._command,
            log=self.log,
            env=os.environ | self._environment | held,
            inherits=[] if held_by is None else [held_by],
            niceness=_GIVES_WAY if REGISTRY[self.service].is_read_model else 0,
        )
        self._process.start()
        self._backoff.started()

    def ask_to_stop(self) -> None:
        """Ask it to stop, for good, and don't wait."""
        self.wanted = False
        if self._process is not None:
            self._process.ask_to_stop()

    def stop(self) -> None:
        """Stop it cleanly, for good."""
        self.wanted = False
        if self._process is not None:
            self._process.stop(_STOP_S)

    def watch(self) -> bool:
        """Start it again if it has died and its time has come; return whether it was started."""
        if not self.wanted or self.pid is not None:
            return False
        if not self._backoff.is_due():
            return False
        self.start()
        return True

    def is_ready(self) -> bool:
        """Ask the service itself; one that has ended is not ready, even if another answers on its port."""
        return self.why_not_ready() is None

    def why_not_ready(self) -> str | None:
        """Ask the service itself what it waits for; None if it is ready."""
        if self.pid is None:
            return self.end() or "not started"
        try:
            with urllib.request.urlopen(f"{self.health}/health/ready", timeout=_HEALTH_S) as answer:  # noqa: S310
                return None if answer.status == 200 else str(answer.status)
        except urllib.error.HTTPError as error:
            return error.read().decode(errors="replace").strip() or str(error.code)
        except (OSError, HTTPException):
            return "does not answer yet"

    def end(self) -> str | None:
        """How it ended, as in `ended with status 1`; None while it runs."""
        return None if self._process is None else self._process.end()

    def log_tail(self) -> str:
        """The end of its log."""
        return self._process.tail_of_log(20) if self._process is not None else ""

    def obituary(self) -> str:
        """How it ended and why, as its log has it."""
        tail = self.log_tail()
        return f"{self.name} {self.end()}: {_last_words(tail)}\nits log, {self.log}, ends:\n{tail}"


def _last_words(log: str) -> str:
    """The last line of a log, or all of the error that it ends with."""
    lines = [line.strip() for line in log.splitlines() if line.strip() and "errors.pydantic.dev" not in line]
    raised = [number for number, line in enumerate(lines) if re.match(r"[\w.]*(Error|Exception)\b", line)]
    return " ".join(lines[raised[-1] if raised else -1 :]) or "it has said nothing"
