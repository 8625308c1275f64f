"""TLS between services and PostgreSQL, with real certificates that are replaced while both run."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import make_url, text

from shared.runtime.tls import server_context
from shared.storage.database import DatabaseAway, transaction
from tests.builders.certificates import Authority
from tests.integration.conftest import Databases, engine_of

_ASKS_FOR_TLS = (8).to_bytes(4, "big") + (80877103).to_bytes(4, "big")

pytestmark = pytest.mark.promise(
    "Services speak to PostgreSQL over TLS, and go on when its certificate, or who signs it, is replaced meanwhile.",
    about="running",
)


class TlsInFront:
    """Speaks TLS as PostgreSQL does, before one: that of the tests was built without."""

    def __init__(self, certificate: Path, url: str) -> None:
        address = make_url(url)
        self._server = address.host or "", address.port or 0
        self._context = server_context(str(certificate), str(certificate))
        self._tasks: set[asyncio.Task[None]] = set()
        self.let_in = 0
        """How many connections came over TLS, and trusted the certificate."""
        self.plain = 0
        """How many asked for no TLS."""

    @contextlib.asynccontextmanager
    async def listening(self, url: str) -> AsyncIterator[str]:
        """Listen; gives the address of the database through it, which asks for TLS."""
        server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            through = make_url(url).set(port=port, query={"ssl": "verify-full"})
            yield through.render_as_string(hide_password=False)
        finally:
            server.close()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            if await reader.readexactly(8) != _ASKS_FOR_TLS:
                self.plain += 1
                writer.close()
                return
            writer.write(b"S")
            await writer.start_tls(self._context)
            self.let_in += 1
            there = await asyncio.open_connection(*self._server)
            await asyncio.gather(_pass_on(reader, there[1]), _pass_on(there[0], writer))


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while some := await reader.read(64 * 1024):
        writer.write(some)
        await writer.drain()
    writer.close()


async def test_services_go_on_when_certificates_and_authorities_are_replaced(
    databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, certificate, authority = Authority(), Authority(), tmp_path / "server.pem", tmp_path / "ca.pem"
    first.write(authority)
    first.write_server(certificate)
    monkeypatch.setenv("PGSSLROOTCERT", str(authority))
    url = databases.new()
    proxy = TlsInFront(certificate, url)
    async with proxy.listening(url) as through, engine_of(through) as engine, transaction(engine) as open_before:
        assert await open_before.scalar(text("select 1")) == 1
        assert proxy.let_in == 1

        first.write_server(certificate)
        async with transaction(engine) as renewed:
            assert await renewed.scalar(text("select 2")) == 2
        await engine.dispose()
        second.write_server(certificate)
        with pytest.raises((DatabaseAway, OSError)):  # who has signed it now is a stranger
            async with transaction(engine):
                pass
        second.write(authority)
        async with transaction(engine) as of_another:
            assert await of_another.scalar(text("select 3")) == 3
        assert await open_before.scalar(text("select 4")) == 4
    assert (proxy.let_in, proxy.plain) == (3, 0)


async def test_what_is_not_for_this_server_is_not_trusted(
    databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, certificate = Authority(), tmp_path / "server.pem"
    authority.write(tmp_path / "ca.pem")
    authority.write_server(certificate)
    monkeypatch.setenv("PGSSLROOTCERT", str(tmp_path / "ca.pem"))
    url = databases.new()
    proxy = TlsInFront(certificate, url)
    async with proxy.listening(url) as through:
        elsewhere = make_url(through).set(host="localhost").render_as_string(hide_password=False)
        async with engine_of(elsewhere) as engine:
            with pytest.raises((DatabaseAway, OSError)):
                async with transaction(engine):
                    pass
    assert (proxy.let_in, proxy.plain) == (0, 0)
