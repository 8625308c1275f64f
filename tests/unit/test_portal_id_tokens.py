"""Whatever a provider, or whoever claims to be it, gives as an ID token: the right one logs in, the others do not."""

import base64
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from tests.unit.test_portal_log_in import application

pytestmark = pytest.mark.promise("A wrong ID token is refused and makes no page fail.", about="portal")

PORTAL = "http://127.0.0.1"
CLIENT = "claimbus"


class Provider:
    """An OpenID Connect provider whose answers a test chooses."""

    def __init__(self) -> None:
        self.key, self.another = (RSAKey.generate_key(2048, {"kid": "1"}) for _ in range(2))
        self.answers: dict[str, Any] = {}
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(provider.answers[self.path])

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                self._answer(provider.answers[self.path])

            def _answer(self, content: Any) -> None:
                body = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{self.server.server_port}"

    def begin(self) -> None:
        """Answer as it should, but for tokens."""
        self.answers = {
            "/.well-known/openid-configuration": {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/jwks",
                "id_token_signing_alg_values_supported": ["RS256"],
            },
            "/jwks": {"keys": [self.key.as_dict(private=False)]},
        }

    def token(self, nonce: str, /, **others: Any) -> str:
        """An ID token that is right but for some claims; None takes one away."""
        now = int(time.time())
        claims = {"iss": self.issuer, "sub": "kari", "aud": CLIENT, "iat": now, "exp": now + 60, "nonce": nonce}
        claims = {name: value for name, value in (claims | others).items() if value is not None}
        return jwt.encode({"alg": "RS256", "kid": "1"}, claims, self.key)


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    provider = Provider()
    thread = threading.Thread(target=provider.server.serve_forever)
    thread.start()
    yield provider
    provider.server.shutdown()
    thread.join()
    provider.server.server_close()


async def come_back(provider: Provider, folder: Path, answer: Callable[[str], Any], **settings: Any) -> int:
    """Come back from the provider, which gives a token for what was asked; return the status."""
    client: dict[str, Any] = {"oidc_client_id": CLIENT, "oidc_client_secret": "secret"}
    client["oidc_issuer"] = provider.issuer
    portal = application(folder, url=PORTAL, log_in_from_directory=False, **client, **settings)
    async with httpx2.AsyncClient(transport=portal, base_url=PORTAL) as browser:
        asked = httpx2.URL((await browser.get("/oidc")).headers["location"]).params
        provider.answers["/token"] = answer(asked["nonce"])
        return (await browser.get("/oidc/tilbake", params={"code": "x", "state": asked["state"]})).status_code


def in_answer(token: Any) -> dict[str, Any]:
    return {"access_token": "x", "token_type": "Bearer", "id_token": token}


async def test_a_right_one_logs_in_whose_subject_is_in_the_directory(provider: Provider, tmp_path: Path) -> None:
    provider.begin()
    assert await come_back(provider, tmp_path, lambda nonce: in_answer(provider.token(nonce))) == 303


def with_public_key(token: str, key: RSAKey) -> str:
    """Sign anew with HMAC and the key that everybody knows, which the library refuses to do."""
    signed = f"{_encoded(json.dumps({'alg': 'HS256', 'kid': '1'}).encode())}.{token.split('.')[1]}"
    return f"{signed}.{_encoded(hmac.digest(key.as_pem(private=False), signed.encode(), 'sha256'))}"


def _encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).decode().rstrip("=")


async def test_who_takes_another_s_user_name_at_the_provider_does_not_come_in_as_the_other(
    provider: Provider, tmp_path: Path
) -> None:
    chosen = dict.fromkeys(("preferred_username", "name", "nickname", "email"), "kari")

    def given(nonce: str) -> Any:
        return in_answer(provider.token(nonce, **chosen, sub="mallory", claimbus_user="kari"))

    provider.begin()
    assert await come_back(provider, tmp_path, given) == 403
    assert await come_back(provider, tmp_path, given, oidc_user_claim="claimbus_user") == 303


WRONG: dict[str, Callable[[Provider, str], Any]] = {
    "of another issuer": lambda p, nonce: p.token(nonce, iss="https://evil.example.org"),
    "for another client": lambda p, nonce: p.token(nonce, aud="another"),
    "of another log-in": lambda p, nonce: p.token(nonce + "x"),
    "of no log-in": lambda p, nonce: p.token(nonce, nonce=None),
    "expired": lambda p, nonce: p.token(nonce, exp=1),
    "issued in a hundred years": lambda p, nonce: p.token(nonce, iat=int(time.time()) + 3_000_000_000),
    "with a time that is none": lambda p, nonce: p.token(nonce, exp="soon"),
    "without a subject": lambda p, nonce: p.token(nonce, sub=None),
    "with several subjects": lambda p, nonce: p.token(nonce, sub=["kari"]),
    "of somebody else": lambda p, nonce: p.token(nonce, sub="k\0ari"),
    "by another key": lambda p, nonce: jwt.encode(
        {"alg": "RS256", "kid": "1"}, jwt.decode(p.token(nonce), p.key).claims, p.another
    ),
    "by a key that nobody has": lambda p, nonce: jwt.encode(
        {"alg": "RS256", "kid": "2"}, jwt.decode(p.token(nonce), p.key).claims, p.key
    ),
    "by the public key as a password": lambda p, nonce: with_public_key(p.token(nonce), p.key),
    "not signed": lambda _p, nonce: "eyJhbGciOiJub25lIn0.e30.",
    "cut off": lambda p, nonce: p.token(nonce)[:-9],
    "of no parts": lambda _p, _nonce: "x",
    "empty": lambda _p, _nonce: "",
    "not a text": lambda _p, _nonce: 5,
    "a list": lambda _p, _nonce: ["x"],
    "of odd characters": lambda _p, _nonce: "\u202e.\ufffd.å",
    "long": lambda _p, _nonce: "9" * 300_000,
}


@pytest.mark.parametrize("token", WRONG.values(), ids=WRONG)
async def test_a_wrong_one_logs_nobody_in(
    provider: Provider, tmp_path: Path, token: Callable[[Provider, str], Any]
) -> None:
    provider.begin()
    assert await come_back(provider, tmp_path, lambda nonce: in_answer(token(provider, nonce))) == 403


@pytest.mark.parametrize("answer", [{}, [], None, 5, "x", b"", b"{", b"\xff", {"error": "x"}, {"id_token": {}}])
async def test_an_answer_of_another_shape_logs_nobody_in(provider: Provider, tmp_path: Path, answer: Any) -> None:
    provider.begin()
    assert await come_back(provider, tmp_path, lambda _: answer) == 403


@pytest.mark.parametrize("keys", [{}, [], None, {"keys": "x"}, {"keys": [{"kty": "?"}]}, {"keys": []}, b"\xff"])
async def test_keys_that_are_none_log_nobody_in(provider: Provider, tmp_path: Path, keys: Any) -> None:
    provider.begin()
    provider.answers["/jwks"] = keys
    assert await come_back(provider, tmp_path, lambda nonce: in_answer(provider.token(nonce))) == 403
