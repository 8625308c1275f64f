"""PostgreSQL's notifications to every instance: changed claims, requests with outcomes, and sessions that ended."""

import asyncio
import contextlib
import json
import time
from collections import Counter, defaultdict, deque
from collections.abc import Iterator
from itertools import product
from typing import Any

import asyncpg
from sqlalchemy import make_url

from services.portal.read_model import CHANNEL
from shared.runtime.logs import log
from shared.runtime.settings import DatabaseSettings

ENDED_SESSIONS = "claimbus_ended_sessions"
"""The channel on which the id of a session is sent that somebody has ended."""
_AGAIN_S = 1.0
_READ_AGAIN_S = 10.0
"""How often the ended sessions are read again: a connection that has been cut tells of nothing, nor of that."""

_REMEMBERED = 500
_CLOCKS_DIFFER_S = 1.0


class Watch:
    """What has happened for one company since its news were last read."""

    def __init__(self) -> None:
        self._news = asyncio.Event()
        self.claims: set[str] = set()
        """The ids of the claims that have changed."""

    def notify(self, claim: str | None) -> None:
        """Note that a claim has changed, or that something else has happened."""
        if claim is not None:
            self.claims.add(claim)
        self._news.set()

    async def news(self, timeout_s: float) -> bool:
        """Wait until something has happened; False if nothing has by then."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._news.wait()
        except TimeoutError:
            return False
        self._news.clear()
        return True


class Live:
    """Listens to PostgreSQL for as long as the service runs, and passes notifications on to the watches."""

    def __init__(self, settings: DatabaseSettings) -> None:
        self._url = make_url(settings.database_url.get_secret_value()).set(drivername="postgresql")
        self._watches: defaultdict[str, set[Watch]] = defaultdict(set)
        self._lately: deque[tuple[float, str, str | None]] = deque(maxlen=_REMEMBERED)
        self._listening: asyncio.Task[None] | None = None
        self.closing = False
        self.streams: Counter[str] = Counter()
        """How many pages' streams each user has open here."""
        self.ended_sessions: set[str] = set()
        """The ids of the sessions that somebody has logged out of, here or at another instance."""

    @contextlib.contextmanager
    def watch(self, company: str, since: float | None = None) -> Iterator[Watch]:
        """Watch what happens for a company, and what has happened since a moment (Unix time, in seconds).

        A page is made before it can watch; what happens in between would pass it by.
        """
        watch = Watch()
        if since is not None:
            for at, affected, claim in self._lately:
                if affected == company and at >= since - _CLOCKS_DIFFER_S:
                    watch.notify(claim)
        self._watches[company].add(watch)
        try:
            yield watch
        finally:
            self._watches[company].discard(watch)
            if not self._watches[company]:
                del self._watches[company]

    async def start(self) -> None:
        """Begin to listen, also after a stop; safe to repeat."""
        self.closing = False
        if self._listening is None:
            self._listening = asyncio.create_task(self._listen())

    async def stop(self) -> None:
        """Stop listening, and end all watches."""
        self.closing = True
        self._notify_all()
        if self._listening is not None:
            self._listening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._listening
            self._listening = None

    async def _listen(self) -> None:
        while True:
            try:
                await self._listen_once()
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                log.warning("not listening to the database", reason=type(error).__name__, wait_s=_AGAIN_S)
            await asyncio.sleep(_AGAIN_S)

    async def _listen_once(self) -> None:
        connection = await asyncpg.connect(self._url.render_as_string(hide_password=False))
        closed = asyncio.Event()
        connection.add_termination_listener(lambda _: closed.set())
        try:
            await connection.add_listener(CHANNEL, self._notified)
            await connection.add_listener(ENDED_SESSIONS, self._session_ended)
            self._notify_all()  # something may have happened while nobody listened
            while not closed.is_set():
                await self._read_ended_sessions(connection)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_READ_AGAIN_S):
                        await closed.wait()
        finally:
            with contextlib.suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await connection.close(timeout=1)

    async def _read_ended_sessions(self, connection: Any) -> None:
        """Read them all: those that were notified of meanwhile stay, and those that are forgotten there go."""
        before = set(self.ended_sessions)
        rows = await connection.fetch("select id from ended_sessions", timeout=_READ_AGAIN_S)
        self.ended_sessions = {row["id"] for row in rows} | (self.ended_sessions - before)

    def _session_ended(self, _connection: Any, _pid: int, _channel: str, payload: Any) -> None:
        self.ended_sessions.add(payload)

    def _notified(self, _connection: Any, _pid: int, _channel: str, payload: Any) -> None:
        notification, now = json.loads(payload), time.time()
        companies = notification.get("companies") or [notification["company"]]
        claims = notification.get("claims") or [notification.get("claim")]  # an older instance notifies of one
        for company, claim in product(companies, claims):
            self._lately.append((now, company, claim))
            for watch in self._watches.get(company, ()):
                watch.notify(claim)

    def _notify_all(self) -> None:
        for watches in self._watches.values():
            for watch in watches:
                watch.notify(None)
