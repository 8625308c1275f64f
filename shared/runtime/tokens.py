"""Tokens of an OAuth 2 token endpoint for logging in to Kafka. Loaded only where there is one."""

import asyncio
import ssl
import time
from collections.abc import Callable, Mapping

from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaConnectionError
from httpx2 import AsyncClient, HTTPError

from shared.runtime.logs import log

_ANSWER_S = 10.0
_RENEWED_AFTER = 0.8
"""As librdkafka does: at this share of its life."""


class NoToken(Exception):
    """The endpoint gives none."""


class Tokens(AbstractTokenProvider):
    """Gets tokens by client credentials (RFC 6749, 4.4), and each for as many connections as come while it holds."""

    def __init__(
        self, url: str, scope: str, client_id: str, secret: Callable[[], str], extensions: Mapping[str, str]
    ) -> None:
        """`secret` is asked anew for each token. Raises OSError or ValueError."""
        self._url = url
        self._asked = {"grant_type": "client_credentials"} | ({"scope": scope} if scope else {})
        self._client_id = client_id
        self._secret = secret
        self._extensions = dict(extensions)
        self._token = ""
        self._renew_at = self._ends_at = 0.0
        self._asking = asyncio.Lock()

    async def token(self) -> str:
        """Give one that holds. Raises KafkaConnectionError."""
        async with self._asking:
            if time.monotonic() >= self._renew_at:
                try:
                    await self._ask()
                except (NoToken, HTTPError, OSError, ValueError, LookupError, TypeError) as error:
                    reason = str(error) if isinstance(error, NoToken) else type(error).__name__
                    log.warning("the token endpoint gives no token", reason=reason)
                    if time.monotonic() >= self._ends_at:
                        raise KafkaConnectionError("the token endpoint gives no token") from error
            return self._token

    def extensions(self) -> dict[str, str]:
        """What the brokers are told beside the token (RFC 7628)."""
        return self._extensions

    async def _ask(self) -> None:
        # Made for each token, so that authorities that the system trusts by then are trusted.
        async with AsyncClient(verify=ssl.create_default_context(), timeout=_ANSWER_S) as http:
            asked_at = time.monotonic()
            answer = await http.post(self._url, data=self._asked, auth=(self._client_id, self._secret()))
        if not answer.is_success:
            raise NoToken(f"it answers {answer.status_code}")
        body = answer.json()
        self._token, lives_s = str(body["access_token"]), float(body.get("expires_in") or 0)
        self._renew_at, self._ends_at = asked_at + _RENEWED_AFTER * lives_s, asked_at + lives_s
