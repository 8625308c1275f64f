"""Certificates that are replaced while the portal and who speaks to it run."""

import asyncio
import contextlib
import os
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography import x509
from starlette.applications import Starlette

from operations.embedded import free_port
from operations.embedded.processes import is_listening
from services.portal.serving import WebServer
from services.portal.settings import WebSettings
from shared.runtime.tls import client_context
from tests.builders.certificates import Authority
from tests.world import wait_until

pytestmark = pytest.mark.promise(
    "The portal shows a certificate that was replaced while it runs, and services trust an authority that was added.",
    about="running",
)


@contextlib.asynccontextmanager
async def portal(certificate: Path, key: Path | None = None) -> AsyncIterator[int]:
    """Serve pages over TLS; gives the port."""
    port = free_port()
    settings = WebSettings(
        port=port,
        url=f"https://127.0.0.1:{port}",
        certificate_file=str(certificate),
        key_file="" if key is None else str(key),
    )
    server = WebServer(Starlette(), settings)
    await server.start()
    await asyncio.to_thread(wait_until, lambda: is_listening(port), what="the portal to listen")
    try:
        yield port
    finally:
        await server.stop()


async def number(port: int, trusting: ssl.SSLContext) -> int:
    """The number of the certificate that is shown to a new connection. Raises ssl.SSLError where it is not trusted."""
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting)
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return x509.load_der_x509_certificate(shown).serial_number


def later(file: Path) -> None:
    """Make a file as old as if it had been written a second later: clocks of files are coarse."""
    at = file.stat().st_mtime_ns + 1_000_000_000
    os.utime(file, ns=(at, at))


async def test_a_certificate_and_an_authority_are_replaced_while_both_sides_run(tmp_path: Path) -> None:
    first, second = Authority(), Authority()
    server, authority = tmp_path / "server.pem", tmp_path / "authority.pem"
    first.write(authority)
    before = first.write_server(server)
    async with portal(server) as port:
        trusting = client_context(str(authority))
        assert await number(port, trusting) == before
        renewed = first.write_server(server)
        later(server)
        assert await number(port, trusting) == renewed
        of_another = second.write_server(server)
        later(server)
        with pytest.raises(ssl.SSLError):
            await number(port, trusting)
        second.write(authority)
        later(authority)
        assert await number(port, trusting) == of_another


async def test_what_is_half_replaced_is_not_shown(tmp_path: Path) -> None:
    authority, server, key, whole = Authority(), *(tmp_path / name for name in ("server.pem", "key.pem", "ca.pem"))
    authority.write(whole)
    before = authority.write_server(server)
    key.write_bytes(server.read_bytes())
    async with portal(server, key) as port:
        trusting = client_context(str(whole))
        after = authority.write_server(server)  # with another key than that in the other file
        later(server)
        assert await number(port, trusting) == before
        key.write_bytes(server.read_bytes())
        later(key)
        assert await number(port, trusting) == after
        server.unlink()
        assert await number(port, trusting) == after


def test_a_certificate_that_is_not_there_is_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        client_context(str(tmp_path / "nowhere.pem"))
    settings = WebSettings(url="https://127.0.0.1", certificate_file=str(tmp_path / "nowhere.pem"))
    with pytest.raises(ValueError, match=r"CLAIMBUS_PORTAL_CERTIFICATE_FILE.*nowhere"):
        WebServer(Starlette(), settings)
