"""Connections that keep the portal waiting: how many there can be, and for how long."""

import asyncio
import resource
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

_HEAD_WITHIN_S = 20.0
"""From the connection, or the first byte after another request, until all of a request's headers are there."""
_BODY_SILENT_S = 60.0
_BODY_BYTES_EACH_S = 500
"""A body that comes more slowly than this, on the whole, is given up: so slow is no line, and it never ends."""
_OTHERS_FILES = 200
"""What else a process has open: the database, Kafka, files that are sent."""


class Connections:
    """Those of one server. Where there are too many, one on which no request is under way goes for a new one.

    So whoever opens connections and asks for nothing takes them from themselves: the ones that have waited longest.
    """

    def __init__(
        self, most: int, *, head_within_s: float = _HEAD_WITHIN_S, body_silent_s: float = _BODY_SILENT_S
    ) -> None:
        """`most` is how many there can be, if the process may have as many files open."""
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.most = most if files == resource.RLIM_INFINITY else min(most, max(files - _OTHERS_FILES, 1))
        self.head_within_s, self.body_silent_s = head_within_s, body_silent_s
        self.open: set[_Bounded] = set()
        self.without_request: dict[_Bounded, None] = {}
        """In the order in which they have begun to be so."""

    def protocol(self) -> Any:
        """Make what uvicorn makes a connection's protocol with."""
        return lambda **made: _Bounded(self, **made)


class _Bounded(H11Protocol):
    """A connection that ends when what it has begun does not go on."""

    def __init__(self, connections: Connections, **made: Any) -> None:
        super().__init__(**made)
        self._all = connections
        self._timer: asyncio.TimerHandle | None = None
        self._waits_for: object = None
        self._since = 0.0
        self._bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._all.open.add(self)
        if len(self._all.open) > self._all.most:
            goes = next(iter(self._all.without_request), self)
            goes.forget()
            goes.transport.abort()
            if goes is self:
                return
        self._all.without_request[self] = None
        self._wait_for(h11.IDLE)

    def connection_lost(self, exc: Exception | None) -> None:
        self.forget()
        super().connection_lost(exc)

    def forget(self) -> None:
        """Count it no longer: it is gone, or about to be."""
        self._all.open.discard(self)
        self._all.without_request.pop(self, None)
        self._wait_for(None)

    def data_received(self, data: bytes) -> None:
        self._bytes += len(data)
        super().data_received(data)
        state = self.conn.their_state
        self._wait_for(state if state in (h11.IDLE, h11.SEND_BODY) else None)
        if state is not h11.IDLE:
            self._all.without_request.pop(self, None)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self in self._all.open and self.conn.their_state is h11.IDLE:
            self._all.without_request[self] = None

    def _wait_for(self, state: object) -> None:
        if state is self._waits_for:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._waits_for, self._since, self._bytes, self._timer = state, self.loop.time(), 0, None
        if state is not None:
            self._timer = self.loop.call_later(self._allowed_s(), self._look)

    def _allowed_s(self) -> float:
        if self._waits_for is h11.IDLE:
            return self._all.head_within_s
        return self._all.body_silent_s + self._bytes / _BODY_BYTES_EACH_S

    def _look(self) -> None:
        now = self.loop.time()
        if self._waits_for is h11.SEND_BODY and self.flow.read_paused:  # it is us who are slow
            self._since = now
        left_s = self._since + self._allowed_s() - now
        if left_s > 0:
            self._timer = self.loop.call_later(left_s, self._look)
        else:
            self.transport.abort()
