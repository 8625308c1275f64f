"""The network between the servers and all who use them: a proxy before each, that lets through, or not quite."""

import asyncio
import contextlib
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from operations.embedded import EmbeddedKafka, EmbeddedPostgres
from operations.embedded.processes import free_port

_PIECE = 64 * 1024
_DRIPPED = 100
"""So many bytes of a piece come one by one; more would be the same again, only longer."""
_RESET = struct.pack("ii", 1, 0)
_PRODUCE = b"\0\0"
_READS, _WRITES = (b"GET ", b"HEAD "), (b"PUT ", b"POST ", b"DELETE ")
_LISTS = b"list-type="

Writer = asyncio.StreamWriter


@dataclass(eq=False)
class _Connection:
    client: Writer
    server: Writer
    awaits_answer: bool = False
    """Whether something was passed on whose answer is to be lost."""

    def reset(self) -> None:
        """End it on both sides."""
        _reset(self.client)
        _reset(self.server)


class Proxy:
    """Passes on what comes to one port to another, in a thread of its own, on the loopback address alone."""

    def __init__(self, to_port: int, changes_something: Callable[[bytes], bool]) -> None:
        """`changes_something` tells of what a client sends whether its answer says that something was changed."""
        self.port = free_port()
        self.late_s = 0.0
        """How late each piece is."""
        self.dripping = False
        """Whether the beginning of each piece comes byte by byte."""
        self.refusing = False
        """Whether a new connection is reset at once."""
        self.dropping_answers = False
        """Whether a connection on which something was changed is reset instead of passing on the answer."""
        self.answers_dropped = 0
        self._to_port = to_port
        self._changes_something = changes_something
        self._connections: set[_Connection] = set()
        self._half_open: list[Writer] = []
        self._requests_pass, self._answers_pass = asyncio.Event(), asyncio.Event()
        self._requests_pass.set()
        self._answers_pass.set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()

    def hold(self, *, requests: bool) -> None:
        """Let nothing through that the server answers, or nothing at all, with all connections open."""
        self._soon(self._answers_pass.clear)
        if requests:
            self._soon(self._requests_pass.clear)

    def let_through(self) -> None:
        """Let everything through again."""
        self._soon(self._answers_pass.set)
        self._soon(self._requests_pass.set)

    def cut(self) -> None:
        """Reset every connection."""
        self._soon(self._cut)

    def forget_clients(self) -> None:
        """End every connection on the client's side, while the server's side stays as it is: half open."""
        self._soon(self._forget_clients)

    def forget_servers(self) -> None:
        """End every connection on the server's side, while the client's side stays as it is."""
        self._soon(self._forget_servers)

    def end_half_open(self) -> None:
        """End what was left half open."""
        self._soon(self._end_half_open)

    def close(self) -> None:
        """End it, with all connections."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _soon(self, do: Callable[[], None]) -> None:
        self._loop.call_soon_threadsafe(do)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, backlog=128)

    async def _end(self) -> None:
        self._server.close()
        self._cut()
        self._end_half_open()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _accept(self, from_client: asyncio.StreamReader, client: Writer) -> None:
        if self.refusing:
            _reset(client)
            return
        try:
            from_server, server = await asyncio.open_connection("127.0.0.1", self._to_port)
        except OSError:
            _reset(client)
            return
        connection = _Connection(client, server)
        self._connections.add(connection)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass_on(connection, from_client, server))
                both.create_task(self._answer(connection, from_server, client))
        except* (OSError, EOFError):
            pass
        finally:
            if connection in self._connections:
                self._connections.remove(connection)
                connection.reset()

    async def _pass_on(self, connection: _Connection, client: asyncio.StreamReader, server: Writer) -> None:
        while piece := await client.read(_PIECE):
            await self._requests_pass.wait()
            connection.awaits_answer |= self.dropping_answers and self._changes_something(piece)
            await self._write(server, piece)
        raise EOFError

    async def _answer(self, connection: _Connection, server: asyncio.StreamReader, client: Writer) -> None:
        while piece := await server.read(_PIECE):
            await self._answers_pass.wait()
            if connection.awaits_answer:
                self.answers_dropped += 1
                break
            await self._write(client, piece)
        raise EOFError

    async def _write(self, writer: Writer, piece: bytes) -> None:
        if self.late_s:
            await asyncio.sleep(self.late_s)
        if self.dripping:
            for byte in piece[:_DRIPPED]:
                if writer.is_closing():
                    raise EOFError
                writer.write(bytes([byte]))
                await asyncio.sleep(0)
            piece = piece[_DRIPPED:]
        writer.write(piece)
        await writer.drain()

    def _cut(self) -> None:
        for connection in self._connections:
            connection.reset()

    def _forget_clients(self) -> None:
        for connection in self._connections:
            self._half_open.append(connection.server)
            _reset(connection.client)
        self._connections.clear()

    def _forget_servers(self) -> None:
        for connection in self._connections:
            self._half_open.append(connection.client)
            _reset(connection.server)
        self._connections.clear()

    def _end_half_open(self) -> None:
        for writer in self._half_open:
            _reset(writer)
        self._half_open.clear()


class StoreProxy(Proxy):
    """Before a store of media that is spoken to as S3 is: it knows requests, their bodies, and files in answers."""

    def __init__(self, to_port: int) -> None:
        super().__init__(to_port, lambda piece: piece.startswith(_WRITES))
        self.failing = False
        """Whether each request is answered with 503."""
        self.full = False
        """Whether each request to write is answered with 507, as a store whose disks are full does."""
        self.spoiling = False
        """Whether files that are read have wrong bytes. What is written wrong, S3 refuses: requests are signed."""
        self.halving = False
        """Whether of each file that is sent half goes through before its connection is reset."""
        self.provoked: Counter[str] = Counter()
        self._reading: set[_Connection] = set()
        """Those on which a file was asked for."""

    async def _pass_on(self, connection: _Connection, client: asyncio.StreamReader, server: Writer) -> None:
        while piece := await client.read(_PIECE):
            await self._requests_pass.wait()
            if piece.startswith((*_READS, *_WRITES)):
                head = await _head(piece, client)
                if self.failing or (self.full and piece.startswith(_WRITES)):
                    status = b"503 Slow Down" if self.failing else b"507 Insufficient Storage"
                    self.provoked[f"the store answered {status.decode()}"] += 1
                    await _swallow(client, _left_of(head))
                    await self._write(connection.client, b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\n\r\n")
                    continue
                left = _left_of(head)
                if self.halving and left > 0:
                    self.provoked["half a file was sent to the store"] += 1
                    await self._write(server, head + await client.readexactly(left // 2))
                    raise EOFError
                connection.awaits_answer |= self.dropping_answers and self._changes_something(head)
                is_file = head.startswith(b"GET ") and _LISTS not in head.partition(b"\r\n")[0]
                (self._reading.add if is_file else self._reading.discard)(connection)
                piece = head
            await self._write(server, piece)
        raise EOFError

    async def _answer(self, connection: _Connection, server: asyncio.StreamReader, client: Writer) -> None:
        try:
            while piece := await server.read(_PIECE):
                await self._answers_pass.wait()
                if connection.awaits_answer:
                    self.answers_dropped += 1
                    break
                if self.spoiling and connection in self._reading and not piece.endswith(b"\r\n\r\n"):
                    self.provoked["the store gave wrong bytes"] += 1
                    piece = piece[:-1] + bytes([piece[-1] ^ 1])
                await self._write(client, piece)
        finally:
            self._reading.discard(connection)
        raise EOFError


async def _head(piece: bytes, client: asyncio.StreamReader) -> bytes:
    """Read on to where the head of a request ends."""
    while b"\r\n\r\n" not in piece:
        more = await client.read(_PIECE)
        if not more:
            raise EOFError
        piece += more
    return piece


def _left_of(request: bytes) -> int:
    """How many bytes of a request's body are still to come."""
    head, _, body = request.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value) - len(body)
    return 0


async def _swallow(client: asyncio.StreamReader, left: int) -> None:
    while left > 0 and (piece := await client.read(min(left, _PIECE))):
        left -= len(piece)


class PostgresBehindProxy(EmbeddedPostgres):
    """PostgreSQL, which services reach through a proxy."""

    proxy: Proxy | None = None

    def url(self, database: str, user: str, password: str) -> str:
        """Give the proxy's address, which is there from the first time on."""
        if self.proxy is None:
            self.proxy = Proxy(self._port, lambda piece: b"COMMIT" in piece)
        return super().url(database, user, password).replace(f":{self._port}/", f":{self.proxy.port}/")

    def execute(self, *statements: str) -> None:
        """Execute statements as the superuser, each by itself. Raises OSError, or what asyncpg does."""

        async def execute(connection: Any) -> None:
            for statement in statements:
                await connection.execute(statement)

        self._as_superuser(execute)


class KafkaBehindProxy(EmbeddedKafka):
    """Kafka, which all its clients reach through a proxy."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.proxy = Proxy(self._port, _is_produce_request)

    @property
    def bootstrap_servers(self) -> str:
        """The proxy's address, which the broker gives to its clients too."""
        return f"127.0.0.1:{self.proxy.port}"


def _is_produce_request(piece: bytes) -> bool:
    """Whether a client's request, from its length on, is one to append something."""
    return piece[4:6] == _PRODUCE


def _reset(writer: Writer) -> None:
    found: socket.socket | None = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        if found is not None:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
