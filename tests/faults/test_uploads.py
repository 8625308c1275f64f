"""The portal is killed in the middle of a transfer: the file is not there, and is sent again."""

import hashlib
import os
import signal
import socket
from urllib.parse import urlsplit

import httpx

from operations.connection import Connection
from operations.stack import Stack
from shared.media.keys import incoming
from tests.world import World, wait_until

PDF = b"%PDF-1.7\n" + os.urandom(5_000_000)


def test_an_upload_that_the_portal_died_of_is_sent_again(stack: Stack, connection: Connection, world: World) -> None:
    about = {"name": "takst.pdf", "content_type": "application/pdf", "size": len(PDF)}
    about["sha256"] = hashlib.sha256(PDF).hexdigest()
    token = {"authorization": f"Bearer {connection.companies[world.partner_id].token}"}
    upload = httpx.post(f"{connection.portal}/api/uploads", json=about, headers=token).json()
    media = stack.folder / "media"
    (portal,) = stack.of("portal")

    with half_sent(upload["upload_url"]):
        wait_until(lambda: any(media.glob(f"{incoming(upload['upload_id'])}*")), what="the first bytes to be written")
        assert portal.pid is not None
        os.kill(portal.pid, signal.SIGKILL)
        wait_until(lambda: portal.pid is None, what="the portal to die")
    assert not (media / incoming(upload["upload_id"])).exists()
    stack.wait_until_ready()

    complete = f"{connection.portal}/api/uploads/{upload['upload_id']}/complete"
    missing = httpx.post(complete, headers=token)
    assert (missing.status_code, missing.json()["code"]) == (422, "upload_missing")
    assert httpx.put(upload["upload_url"], content=PDF).status_code == 204
    assert httpx.post(complete, headers=token).status_code == 200


def half_sent(url: str) -> socket.socket:
    """Send the first half of the file's bytes; the connection stays open."""
    parts = urlsplit(url)
    connection = socket.create_connection((parts.hostname or "", parts.port or 80))
    head = f"PUT {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-length: {len(PDF)}\r\n\r\n"
    connection.sendall(head.encode() + PDF[: len(PDF) // 2])
    return connection
