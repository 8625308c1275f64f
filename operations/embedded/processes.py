"""Child processes that never outlive the process that started them."""

import contextlib
import ctypes
import fcntl
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_TAIL_BYTES = 64 * 1024
_LOOK_EVERY_S = 0.02
_REPORT_EVERY_S = 10.0
_OWNERS_ALONE = 0o077
"""What is stored here has people's names, addresses and photos: files 0600, folders 0700."""
_WELL = "ended with status 0"
_PORTS = range(20_000, 32_768)
"""Below those that Linux and macOS give to outgoing connections: none of these takes a port before its server does."""

_held: list[socket.socket] = []


class NotStarted(Exception):
    """A child process would not start; the message says why, with the end of its log."""


class Waiting:
    """Reports at intervals what is waited for, for as long as it takes: a busy machine is no fault."""

    def __init__(self, report: Callable[[str], None] | None = None, every_s: float = _REPORT_EVERY_S) -> None:
        """`report` takes a sentence for a person; without it nothing is reported."""
        self._report = report
        self._every_s = every_s
        self._since: float | None = None
        self._reported_at = 0.0

    def still(self, what: str) -> None:
        """Report it, if the last report was long enough ago."""
        now = time.monotonic()
        if self._since is None:
            self._since = self._reported_at = now
        elif now - self._reported_at >= self._every_s:
            self._reported_at = now
            if self._report is not None:
                self._report(f"still waiting after {now - self._since:.0f} s: {what}")

    def over(self) -> None:
        """Start afresh with what is waited for next."""
        self._since = None


class ChildProcess:
    """One command with a log file, in a process group of its own: a terminal's Ctrl-C reaches the supervisor alone.

    On Linux the kernel kills it (SIGKILL) when the supervisor is gone, however that went. "Gone" means the *thread*
    that called `start`: call it from one that lives as long as the child should, such as the main thread. Elsewhere
    a child is stopped by `stop` alone.

    What it writes, its user alone can read.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: int | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        inherits: Sequence[int] = (),
        niceness: int = 0,
    ) -> None:
        """Describe a command. `user` is the uid (and gid) that it runs as; `inherits` are open file descriptors.

        One of a higher `niceness` (0 to 19) gives way to the others where the processors do not suffice for all.
        """
        self._command = [str(part) for part in command]
        self._log = log
        self._env = env
        self._cwd = cwd
        self._user = user
        self._stop_signal = stop_signal
        self._inherits = tuple(inherits)
        self._niceness = niceness
        self._log_starts_at = 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the command, its output appended to the log. Raises NotStarted if it can't be run at all."""
        if self.is_running():
            raise RuntimeError(f"{self._command[0]} is running already")
        log = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            self._log_starts_at = os.fstat(log).st_size
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._env,
                cwd=self._cwd,
                # Not a session of its own: Linux shares processors out by session, and niceness counts only within one.
                process_group=0,
                pass_fds=self._inherits,
                # The kernel forgets the death signal when the user changes; Popen runs preexec_fn after that.
                preexec_fn=_prepare(os.getpid(), self._niceness),  # noqa: PLW1509
                umask=_OWNERS_ALONE,
                user=self._user,
                group=self._user,
                extra_groups=None if self._user is None else [],
            )
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            raise NotStarted(f"{self._command[0]} can't be run: {error}") from error
        finally:
            os.close(log)

    def run(self, waiting: Waiting, what: str) -> None:
        """Start it and wait until it has ended well, however long that takes. Raises NotStarted if it didn't."""
        self.start()
        self.finish(waiting, what)

    def finish(self, waiting: Waiting, what: str) -> None:
        """Wait until it has ended well, as `run` does, of one that was started before."""
        try:
            while self._wait(_LOOK_EVERY_S) is None:
                waiting.still(what)
        finally:
            self.kill()
        waiting.over()
        if self.end() != _WELL:
            raise NotStarted(f"{self._command[0]} {self.end()}; its log, {self._log}, ends:\n{self.tail_of_log()}")

    @property
    def pid(self) -> int:
        """The process id, also after its end. Raises RuntimeError before the first start."""
        if self._process is None:
            raise RuntimeError(f"{self._command[0]} was never started")
        return self._process.pid

    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def end(self) -> str | None:
        """How it ended, as in `ended with status 1`; None while it runs, or if it was never started."""
        status = None if self._process is None else self._process.poll()
        if status is None:
            return None
        return f"was ended by {_signal_name(-status)}" if status < 0 else f"ended with status {status}"

    def ask_to_stop(self) -> None:
        """Ask it to stop, and don't wait."""
        if self._process is not None and self.is_running():
            self._process.send_signal(self._stop_signal)

    def stop(self, timeout_s: float) -> None:
        """Ask it to stop, kill it if it hasn't after so many seconds, and wait for its end. Again does nothing."""
        if self._process is None or not self.is_running():
            return
        self.ask_to_stop()
        self._wait(timeout_s)
        self.kill()

    def kill(self) -> None:
        """End it at once (SIGKILL), as a machine that fails would. Again does nothing."""
        if self._process is not None:
            self._process.kill()  # does nothing to a process whose end is known
            self._process.wait()

    def tail_of_log(self, lines: int = 20) -> str:
        """Give the last lines that it has logged since its last start."""
        with self._log.open("rb") as log:
            log.seek(max(self._log_starts_at, log.seek(0, os.SEEK_END) - _TAIL_BYTES))
            return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])

    def _wait(self, timeout_s: float) -> int | None:
        try:
            return None if self._process is None else self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


@contextlib.contextmanager
def sole_use_of(folder: Path, timeout_s: float) -> Iterator[int]:
    """Lock a folder and give the lock's descriptor: a child that inherits it holds the lock after this one has let go.

    So the lock is free when the child and all its own children are gone, and a start right after everything was
    killed waits for what is still dying. Raises NotStarted if it isn't free in time.
    """
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + timeout_s
        while not _locked(lock):
            if time.monotonic() > deadline:
                raise NotStarted(f"{folder} is in use by another process")
            time.sleep(_LOOK_EVERY_S)
        yield lock
    finally:
        os.close(lock)


def free_port() -> int:
    """Find a port on 127.0.0.1 that nobody listens on, and keep it for this process and what it starts.

    None is given twice: of two services that start together on one port, one would end and the other answer for both.
    What keeps others of ours from it until this process ends is the UDP port of the same number.
    """
    while True:
        port = secrets.choice(_PORTS)
        held = socket.socket(type=socket.SOCK_DGRAM)
        try:
            held.bind(("127.0.0.1", port))
            with socket.socket() as attempt:
                attempt.bind(("127.0.0.1", port))
        except OSError:
            held.close()
            continue
        _held.append(held)
        return port


def is_listening(port: int) -> bool:
    """Whether somebody listens on a port of 127.0.0.1."""
    with socket.socket() as attempt:
        attempt.settimeout(1)
        return attempt.connect_ex(("127.0.0.1", port)) == 0


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _prepare(parent: int, niceness: int) -> Callable[[], None]:
    """Prepare what a child does between fork and exec, where little is safe: system calls."""
    prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None

    def prepare() -> None:
        if niceness:
            os.nice(niceness)
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:  # it died before this was set
                os._exit(1)

    return prepare
