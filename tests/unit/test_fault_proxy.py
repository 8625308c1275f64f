"""The proxy that stands before the servers while faults are provoked: each of its faults does what it says."""

import socket
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.random_faults.network import Proxy
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
