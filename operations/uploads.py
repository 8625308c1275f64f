"""Uploading files over the portal's calls, as a company's own system would."""

import hashlib
import time
import urllib.error
import urllib.request
from typing import Any

from pydantic_core import from_json, to_json

from operations.connection import Connection

_TIMEOUT_S = 60
_THERE_WITHIN_S = 20
_LOOK_EVERY_S = 0.1


class NotUploaded(Exception):
    """The portal did not take a file."""


def upload(connection: Connection, company: str, name: str, content_type: str, content: bytes) -> dict[str, Any]:
    """Upload a file; return what `report-task` says of it: name, type, size, SHA-256 and key. Raises NotUploaded."""
    file = {
        "name": name,
        "content_type": content_type,
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    token = connection.companies[company].token
    address = f"{connection.portal}/api/uploads"
    started = _call("POST", address, to_json(file), token)
    _call("PUT", started["upload_url"], content)
    return {**file, **_call("POST", f"{address}/{started['upload_id']}/complete", b"", token)}


def fetch(connection: Connection, company: str, media_id: str) -> bytes:
    """Fetch a file of a claim that the company may see. Raises NotUploaded."""
    request = urllib.request.Request(f"{connection.portal}/api/media/{media_id}")  # noqa: S310
    request.add_header("authorization", f"Bearer {connection.companies[company].token}")
    return _answer(request)


def fetch_when_there(connection: Connection, company: str, media_id: str) -> bytes:
    """Fetch a file of an event that has just come, which the portal may read a moment later. Raises NotUploaded."""
    deadline = time.monotonic() + _THERE_WITHIN_S
    while True:
        try:
            return fetch(connection, company, media_id)
        except NotUploaded:
            if time.monotonic() > deadline:
                raise
            time.sleep(_LOOK_EVERY_S)


def _call(method: str, address: str, body: bytes, token: str | None = None) -> dict[str, Any]:
    request = urllib.request.Request(address, body, method=method)  # noqa: S310
    if token is not None:
        request.add_header("authorization", f"Bearer {token}")
        request.add_header("content-type", "application/json")
    answer: dict[str, Any] = from_json(_answer(request) or b"{}")
    return answer


def _answer(request: urllib.request.Request) -> bytes:
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310
            content: bytes = answer.read()
            return content
    except urllib.error.HTTPError as error:
        raise NotUploaded(f"{request.full_url}: {error.code} {error.read().decode(errors='replace')}") from error
    except OSError as error:
        raise NotUploaded(f"{request.full_url} does not answer: {error}") from error
