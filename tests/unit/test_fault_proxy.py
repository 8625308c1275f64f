"""The proxy that stands before the servers while faults are provoked: each of its faults does what it says."""

import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from tests.random_faults.network import Proxy, StoreProxy
from tests.world import wait_until

_SOON_S = 10.0
_NOTHING_S = 0.05


class Echo:
    """A server that answers what it is sent, and keeps its connections."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.connections: list[socket.socket] = []
        self.received = b""
        self.ended = 0
        """Connections that somebody else has ended."""
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        try:
            while True:
                connection, _ = self.listener.accept()
                connection.settimeout(_SOON_S)
                self.connections.append(connection)
                threading.Thread(target=self._answer, args=[connection], daemon=True).start()
        except OSError:
            return

    def _answer(self, connection: socket.socket) -> None:
        try:
            while piece := connection.recv(1024):
                self.received += piece
                connection.sendall(piece)
        except OSError:
            pass
        self.ended += 1


@pytest.fixture
def echo() -> Iterator[Echo]:
    echo = Echo()
    yield echo
    echo.listener.close()
    for connection in echo.connections:
        connection.close()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    with closing(Proxy(echo.port, lambda piece: b"COMMIT" in piece)) as proxy:
        yield proxy


@pytest.fixture
def client(proxy: Proxy) -> Iterator[socket.socket]:
    """A client that has had one answer."""
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=_SOON_S) as client:
        assert asks(client, b"hello") == b"hello"
        yield client


def asks(client: socket.socket, words: bytes) -> bytes:
    client.sendall(words)
    return answer(client, len(words))


def answer(client: socket.socket, length: int) -> bytes:
    found = b""
    while len(found) < length and (piece := client.recv(length - len(found))):
        found += piece
    return found


def is_refused(port: int) -> bool:
    """Whether a new connection is reset: as soon as it is there, or before `connect` has seen that it is."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=_SOON_S) as another:
            return has_ended(another)
    except ConnectionResetError:
        return True


def has_ended(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_what_drips_and_comes_late_is_the_same(proxy: Proxy, client: socket.socket) -> None:
    proxy.dripping, proxy.late_s = True, 0.01
    assert asks(client, b"one" * 200) == b"one" * 200


@pytest.mark.parametrize("requests", [True, False], ids=["nothing", "no answers"])
def test_what_is_held_comes_later(proxy: Proxy, client: socket.socket, echo: Echo, requests: bool) -> None:
    proxy.hold(requests=requests)
    client.sendall(b"one")
    if not requests:
        wait_until(lambda: echo.received.endswith(b"one"), what="the request to pass")
    client.settimeout(_NOTHING_S)
    with pytest.raises(TimeoutError):
        client.recv(3)
    assert echo.received.endswith(b"hello") is requests
    client.settimeout(_SOON_S)
    proxy.let_through()
    assert answer(client, 3) == b"one"


def test_the_answer_to_a_change_is_lost_and_the_change_is_not(proxy: Proxy, client: socket.socket, echo: Echo) -> None:
    proxy.dropping_answers = True
    assert asks(client, b"select") == b"select"
    client.sendall(b"COMMIT")
    assert has_ended(client)
    assert echo.received.endswith(b"COMMIT")
    assert proxy.answers_dropped == 1


def test_all_connections_are_cut_and_new_ones_refused(proxy: Proxy, client: socket.socket, echo: Echo) -> None:
    proxy.refusing = True
    proxy.cut()
    assert has_ended(client)
    assert is_refused(proxy.port)
    assert len(echo.connections) == 1


def test_one_side_of_a_connection_takes_it_for_open(proxy: Proxy, client: socket.socket, echo: Echo) -> None:
    proxy.forget_clients()
    assert has_ended(client)
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=_SOON_S) as another:
        assert asks(another, b"two") == b"two"
        proxy.forget_servers()
        wait_until(lambda: echo.ended == 1, what="the server to lose the second connection, and not the first")
        another.sendall(b"three")
        another.settimeout(_NOTHING_S)
        with pytest.raises(TimeoutError):
            another.recv(1)
        proxy.end_half_open()
        another.settimeout(_SOON_S)
        assert has_ended(another)
    assert b"three" not in echo.received


FILE = b"bytes of a file" * 10_000


class Files(BaseHTTPRequestHandler):
    """A store that takes any file, and gives it back."""

    protocol_version = "HTTP/1.1"
    kept: dict[str, bytes]

    def do_PUT(self) -> None:
        """Take it, if it is whole."""
        length = int(self.headers["content-length"])
        content = self.rfile.read(length)
        if len(content) == length:
            self.kept[self.path] = content
            self._answer(b"")

    def do_GET(self) -> None:
        """Give it."""
        self._answer(self.kept[self.path])

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _answer(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def kept() -> dict[str, bytes]:
    """What the store has."""
    return {"/kept": FILE}


@pytest.fixture
def store(kept: dict[str, bytes]) -> Iterator[StoreProxy]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("TheseFiles", (Files,), {"kept": kept}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with closing(StoreProxy(server.server_port)) as proxy:
        yield proxy
    server.shutdown()
    server.server_close()


@pytest.fixture
def user(store: StoreProxy) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{store.port}", timeout=_SOON_S) as user:
        yield user


def test_files_go_through_as_they_are(user: httpx.Client, kept: dict[str, bytes]) -> None:
    assert user.put("/sent", content=FILE).status_code == 200
    assert kept["/sent"] == user.get("/kept").content == FILE


def test_a_store_that_fails_or_is_full_says_so_and_goes_on_later(
    user: httpx.Client, store: StoreProxy, kept: dict[str, bytes]
) -> None:
    store.full = True
    assert user.put("/sent", content=FILE).status_code == 507
    assert user.get("/kept").content == FILE
    store.failing = True
    assert user.get("/kept").status_code == 503
    assert "/sent" not in kept
    store.failing = store.full = False
    assert user.put("/sent", content=FILE).status_code == 200
    assert store.provoked == {"the store answered 507 Insufficient Storage": 1, "the store answered 503 Slow Down": 1}


def test_what_is_read_has_wrong_bytes_and_the_right_length(user: httpx.Client, store: StoreProxy) -> None:
    store.spoiling = True
    spoilt = user.get("/kept").content
    assert spoilt != FILE
    assert len(spoilt) == len(FILE)


def test_half_of_what_is_sent_arrives(user: httpx.Client, store: StoreProxy, kept: dict[str, bytes]) -> None:
    store.halving = True
    with pytest.raises(httpx.TransportError):
        user.put("/sent", content=FILE)
    assert user.get("/kept").content == FILE
    assert "/sent" not in kept
