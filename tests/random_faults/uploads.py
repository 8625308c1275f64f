"""A company's system that uploads files, one after the other, and asks again until it has the key of each."""

import hashlib
import random
import threading
from collections import Counter, deque
from http import HTTPStatus
from typing import Any

import httpx

from operations.connection import Connection

_SIZES = (2_000, 60_000, 400_000)
_IN_PARTS, _ONE_IN = 6_000_000, 15
"""One in so many files is so large that S3 gets it in several parts."""
_READY = 4
_PAUSE_S = 0.3
_ANSWER_S = 15.0
_JPEG = b"\xff\xd8\xff\xe0"
_AGAIN = (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.INSUFFICIENT_STORAGE)
_SEND_AGAIN = ("upload_missing", "upload_differs", "media_type_not_taken")
"""What the portal says of a file that did not arrive, or of which the store has given it other bytes."""
UPLOADED = "a file was uploaded"


class Uploader:
    """Uploads in a thread of its own."""

    def __init__(self, connection: Connection, company: str, chance: random.Random) -> None:
        self.provoked: Counter[str] = Counter()
        self.problems: list[str] = []
        """Answers that no fault of the store, of the portal, or of what is before them explains."""
        self._connection = connection
        self._company = company
        self._chance = chance
        self._ready: deque[dict[str, Any]] = deque()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def next(self) -> list[dict[str, Any]]:
        """Give what a report says of one file more, if one is ready."""
        return [self._ready.popleft()] if self._ready else []

    def stop(self) -> None:
        """Stop, also in the middle of a file."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        token = {"authorization": f"Bearer {self._connection.companies[self._company].token}"}
        with httpx.Client(timeout=_ANSWER_S) as client:
            while not self._over.wait(_PAUSE_S):
                if len(self._ready) < _READY:
                    self._upload(client, token)

    def _upload(self, client: httpx.Client, token: dict[str, str]) -> None:
        size = _IN_PARTS if self._chance.randrange(_ONE_IN) == 0 else self._chance.choice(_SIZES)
        content = _JPEG + self._chance.randbytes(size)
        about = {
            "name": "tak.jpg",
            "content_type": "image/jpeg",
            "size": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        calls = f"{self._connection.portal}/api/uploads"
        started = self._answered(lambda: client.post(calls, json=about, headers=token))
        while started is not None:
            address, id = started.json()["upload_url"], started.json()["upload_id"]
            if self._answered(lambda to=address: client.put(to, content=content)) is None:
                return
            completed = self._answered(lambda of=id: client.post(f"{calls}/{of}/complete", headers=token))
            if completed is None:
                return
            if completed.is_success:
                self.provoked[UPLOADED] += 1
                self._ready.append(about | {"key": completed.json()["key"]})
                return
            self.provoked["a file was sent to the store again"] += 1

    def _answered(self, call: Any) -> httpx.Response | None:
        """Call until it is answered, or until it is over; then None."""
        while not self._over.wait(_PAUSE_S / 10):
            try:
                answer: httpx.Response = call()
            except httpx.HTTPError:
                self.provoked["a call about a file was not answered"] += 1
                continue
            if answer.is_success:
                return answer
            if answer.status_code in _AGAIN:
                self.provoked["a call about a file was to be made again"] += 1
                self._over.wait(_PAUSE_S)
            elif answer.status_code < 500 and _code(answer) in _SEND_AGAIN:
                return answer
            else:
                about = f"{answer.request.method} {answer.request.url.path} was answered {answer.status_code}"
                self.problems.append(f"{self._company}: {about}: {answer.text[:200]}")
                self._over.wait(_PAUSE_S)
        return None


def _code(answer: httpx.Response) -> str | None:
    try:
        code: str | None = answer.json().get("code")
    except ValueError:
        return None
    return code
