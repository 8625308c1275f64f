"""A token endpoint of OAuth 2, and the keys by which brokers know its tokens."""

import base64
import json
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

AUDIENCE = "kafka"


class TokenEndpoint:
    """Gives tokens by client credentials, to the clients of `secrets`, which may be changed meanwhile."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self.secrets = dict(secrets)
        self.lives_s = 3600
        self.given: list[str] = []
        """To whom, with each token that was given."""
        self.scopes: list[list[str]] = []
        """What was asked for, each time."""
        self._key = RSAKey.generate_key(2048, {"kid": "1", "use": "sig", "alg": "RS256"})
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
                endpoint.scopes.append(asked.get("scope", []))
                basic = self.headers.get("authorization", "").removeprefix("Basic ")
                client, _, secret = base64.b64decode(basic).decode().partition(":")
                good = asked.get("grant_type") == ["client_credentials"] and endpoint.secrets.get(client) == secret
                body = json.dumps(endpoint._token(client) if good else {"error": "invalid_client"}).encode()
                self.send_response(200 if good else 401)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/token"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def write_keys(self, file: Path) -> None:
        """Write the public keys (JWKS)."""
        file.write_text(json.dumps(KeySet([self._key]).as_dict(private=False)))

    def close(self) -> None:
        """Answer nobody any more."""
        self._server.shutdown()
        self._server.server_close()

    def _token(self, client: str) -> dict[str, object]:
        self.given.append(client)
        now = int(time.time())
        claims = {"sub": client, "aud": AUDIENCE, "iat": now, "exp": now + self.lives_s, "scope": "bus"}
        token = jwt.encode({"alg": "RS256", "kid": "1"}, claims, self._key)
        return {"access_token": token, "token_type": "Bearer", "expires_in": self.lives_s}
