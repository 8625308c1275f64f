"""Whoever opens connections and streams and asks for nothing is bounded, and disturbs nobody else."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Message

from operations.embedded import free_port
from operations.embedded.processes import is_listening
from services.portal.connections import Connections
from services.portal.serving import WebServer
from services.portal.settings import WebSettings
from shared.runtime.server import QuietServer
from tests.unit.test_portal_log_in import application, log_in
from tests.world import wait_until

pytestmark = pytest.mark.promise(
    "Connections and streams that ask for nothing are bounded, and disturb nobody.", about="portal"
)

MOST = 20
UNFINISHED = b"GET / HTTP/1.1\r\nhost: x\r\nx-y: "

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class App:
    """Answers what it was sent, after it may."""

    def __init__(self) -> None:
        self.may, self.asked = asyncio.Event(), asyncio.Event()
        self.may.set()
        self.app = Starlette(routes=[Route("/", self.answer, methods=["GET", "POST"])])

    async def answer(self, request: Request) -> Response:
        body = await request.body()
        self.asked.set()
        await self.may.wait()
        return PlainTextResponse(str(len(body)))


@contextlib.asynccontextmanager
async def impatient(app: App, **limits: float) -> AsyncIterator[int]:
    """Serve with limits of a moment; the port."""
    port = free_port()
    protocol: Any = Connections(MOST, **limits).protocol()
    server = QuietServer(uvicorn.Config(app.app, port=port, http=protocol, lifespan="off", log_config=None))
    serving = asyncio.create_task(server.serve(sockets=[server.config.bind_socket()]))
    try:
        await until_it_listens(port)
        yield port
    finally:
        server.should_exit = True
        await serving


async def until_it_listens(port: int) -> None:
    await asyncio.to_thread(wait_until, lambda: is_listening(port), what="the server to listen")


async def is_ended(connection: Connection) -> bool:
    """Wait until the server has ended a connection."""
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(30):
            return await connection[0].read() == b""
    return True


async def test_of_many_unfinished_requests_the_oldest_go_and_others_are_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    patient = partial(Connections, head_within_s=3600)  # or they would go by the clock
    monkeypatch.setattr("services.portal.serving.Connections", patient)
    settings = WebSettings(port=free_port(), most_connections=MOST)
    server = WebServer(App().app, settings)
    await server.start()
    try:
        await until_it_listens(settings.port)
        connections = [await asyncio.open_connection("127.0.0.1", settings.port) for _ in range(10 * MOST)]
        for _, writer in connections:
            writer.write(UNFINISHED)
        async with httpx2.AsyncClient(base_url=settings.address) as client:
            for _ in range(3):
                assert (await client.get("/")).status_code == 200
        assert all([await is_ended(each) for each in connections[:-MOST]])
        for _, writer in connections:
            writer.close()
    finally:
        await server.stop()


async def test_a_head_that_never_ends_is_given_up_however_often_something_more_comes() -> None:
    async with impatient(App(), head_within_s=0.3) as port:
        dripping = await asyncio.open_connection("127.0.0.1", port)
        dripping[1].write(UNFINISHED)
        ended = asyncio.create_task(is_ended(dripping))
        while not ended.done():
            dripping[1].write(b"x")
            await asyncio.wait([ended], timeout=0.05)
        assert ended.result()


async def test_a_connection_on_which_nothing_is_asked_is_given_up() -> None:
    async with impatient(App(), head_within_s=0.1) as port:
        assert await is_ended(await asyncio.open_connection("127.0.0.1", port))


async def test_a_body_that_does_not_come_is_given_up() -> None:
    async with impatient(App(), body_silent_s=0.1) as port:
        connection = await asyncio.open_connection("127.0.0.1", port)
        connection[1].write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nx")
        assert await is_ended(connection)


async def test_an_answer_may_take_its_time_and_so_may_who_asks_again() -> None:
    app = App()
    app.may.clear()
    async with impatient(app, head_within_s=0.1, body_silent_s=0.1) as port, httpx2.AsyncClient() as client:
        address = f"http://127.0.0.1:{port}/"
        asking = asyncio.create_task(client.post(address, content=b"abc"))
        await app.asked.wait()
        for _ in range(2):
            assert await is_ended(await asyncio.open_connection("127.0.0.1", port))
        app.may.set()
        assert (await asking).text == "3"
        assert await is_ended(await asyncio.open_connection("127.0.0.1", port))
        assert (await client.post(address, content=b"abcd")).text == "4"


async def test_a_user_has_so_many_streams_and_no_more_until_one_ends(tmp_path: Path) -> None:
    portal = application(tmp_path)
    async with httpx2.AsyncClient(transport=portal, base_url="http://127.0.0.1") as browser:
        await log_in(browser)
        cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items()).encode()
    first = [await Stream.open(portal.app, cookie) for _ in range(300)]
    taken = [stream for stream in first if stream.status == 200]
    assert (len(taken), {stream.status for stream in first}) == (20, {200, 429})
    await taken[0].leave()
    assert (await Stream.open(portal.app, cookie)).status == 200
    assert (await Stream.open(portal.app, cookie)).status == 429


class Stream:
    """A request for the stream of what is new."""

    def __init__(self, status: int, task: "asyncio.Task[None]", gone: asyncio.Event) -> None:
        self.status = status
        self._task, self._gone = task, gone

    @classmethod
    async def open(cls, app: Any, cookie: bytes) -> "Stream":
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": "/direkte",
            "raw_path": b"/direkte",
            "query_string": b"",
            "root_path": "",
            "headers": [(b"host", b"127.0.0.1"), (b"cookie", cookie)],
            "client": ("127.0.0.1", 50000),
            "server": ("127.0.0.1", 8000),
        }
        started: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        gone = asyncio.Event()

        async def receive() -> Message:
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                started.set_result(message["status"])

        task = asyncio.create_task(app(scope, receive, send))
        return cls(await started, task, gone)

    async def leave(self) -> None:
        """Hang up."""
        self._gone.set()
        await self._task
