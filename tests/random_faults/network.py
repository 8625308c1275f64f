"""The network between services and PostgreSQL: a proxy that lets through, is late, lets nothing through, or cuts."""

import contextlib
import selectors
import socket
import struct
import threading
import time
from typing import Any

from operations.embedded import EmbeddedPostgres
from operations.embedded.processes import free_port

_PIECE = 64 * 1024
_RESET = struct.pack("ii", 1, 0)


class Proxy:
    """Passes on what comes to one port to another, in a thread of its own, on the loopback address alone."""

    def __init__(self, to_port: int) -> None:
        self.port = free_port()
        self.late_s = 0.0
        """How late each piece is."""
        self.stalled = False
        """Whether nothing is let through, with all connections open."""
        self.refusing = False
        """Whether a new connection is reset at once."""
        self.dropping_answers = False
        """Whether a connection on which a COMMIT was passed on is reset instead of passing on its answer."""
        self.answers_dropped = 0
        self._doomed: set[socket.socket] = set()
        self._cutting = False
        self._to_port = to_port
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def cut(self) -> None:
        """Reset every connection, at the next look."""
        self._cutting = True

    def close(self) -> None:
        """End it, with all connections."""
        self._ended.set()
        self._thread.join()
        for one in tuple(self._pairs):
            self._reset(one)
        self._listener.close()
        self._selector.close()

    def _run(self) -> None:
        while not self._ended.is_set():
            if self._cutting:
                self._cutting = False
                for one in tuple(self._pairs):
                    self._reset(one)
            if self.stalled:
                time.sleep(0.01)
                continue
            for key, _ in self._selector.select(timeout=0.05):
                ready: Any = key.fileobj
                if ready is self._listener:
                    self._accept()
                elif ready in self._pairs:
                    self._pass_on(ready)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        if self.refusing:
            _close_with_reset(client)
            return
        try:
            server = socket.create_connection(("127.0.0.1", self._to_port), timeout=1)
        except OSError:
            _close_with_reset(client)
            return
        self._pairs |= {client: server, server: client}
        for one in (client, server):
            self._selector.register(one, selectors.EVENT_READ)

    def _pass_on(self, one: socket.socket) -> None:
        other = self._pairs[one]
        try:
            piece = one.recv(_PIECE)
        except OSError:
            piece = b""
        if not piece or one in self._doomed:
            self.answers_dropped += bool(piece)
            self._reset(one)
            return
        if self.dropping_answers and b"COMMIT" in piece:
            self._doomed.add(other)
        if self.late_s:
            time.sleep(self.late_s)
        try:
            other.sendall(piece)
        except OSError:
            self._reset(one)

    def _reset(self, one: socket.socket) -> None:
        other = self._pairs.pop(one, None)
        if other is None:
            return
        self._pairs.pop(other, None)
        self._doomed -= {one, other}
        for each in (one, other):
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(each)
            _close_with_reset(each)


class PostgresBehindProxy(EmbeddedPostgres):
    """PostgreSQL, which services reach through a proxy."""

    proxy: Proxy | None = None

    def url(self, database: str, user: str, password: str) -> str:
        """Give the proxy's address, which is there from the first time on."""
        if self.proxy is None:
            self.proxy = Proxy(self._port)
        return super().url(database, user, password).replace(f":{self._port}/", f":{self.proxy.port}/")


def _close_with_reset(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    one.close()
