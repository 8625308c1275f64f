"""Logging in with an OpenID Connect provider. Loaded only where there is one: Authlib and what it loads take 12 MiB."""

import ssl
from datetime import UTC, datetime
from functools import cache
from typing import Any

from authlib.common.errors import AuthlibBaseError
from authlib.integrations.starlette_client import OAuth
from httpx2 import HTTPError, create_ssl_context
from joserfc.errors import JoseError
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from services.portal.guards import may_log_in
from services.portal.pages.log_in import show, way_back
from services.portal.session import log_in
from services.portal.settings import WebSettings
from services.portal.visit import Visit
from shared.runtime.logs import log

_NOT_TAKEN = (
    *(HTTPError, AuthlibBaseError, JoseError),
    # An ID token, a key or an answer of another shape than it should have: what Authlib meets when it reads it.
    *(ValueError, TypeError, LookupError, AttributeError, RuntimeError),
)
_CHOSEN_BY_PEOPLE = frozenset(
    {"preferred_username", "email", "name", "nickname", "given_name", "family_name", "phone_number", "upn"}
)
"""Claims that may change and need not be one person's (OpenID Connect Core 5.7): who takes another's is the other."""


@cache
def _authorities() -> ssl.SSLContext:
    """Whose certificates are trusted: read once, and not for each of the requests that a log-in takes."""
    return create_ssl_context()


class Provider:
    """An OpenID Connect provider: who it says somebody is, is looked up in the directory."""

    def __init__(self, settings: WebSettings) -> None:
        self._settings = settings
        oauth = OAuth()
        oauth.register(
            "provider",
            server_metadata_url=f"{settings.oidc_issuer.rstrip('/')}/.well-known/openid-configuration",
            client_id=settings.oidc_client_id,
            client_secret=settings.oidc_client_secret.get_secret_value(),
            client_kwargs={"scope": "openid profile", "code_challenge_method": "S256", "verify": _authorities()},
        )
        if settings.oidc_user_claim in _CHOSEN_BY_PEOPLE:
            log.warning("people can choose who they are at many log-in providers", claim=settings.oidc_user_claim)
        self._client: Any = oauth.create_client("provider")  # type: ignore[no-untyped-call]

    async def leave(self, visit: Visit) -> Response:
        """Send somebody to the provider."""
        if not await may_log_in(visit):
            return show(visit, 429)
        visit.request.session["back"] = way_back(visit)
        try:
            back_to = f"{self._settings.address}/oidc/tilbake"
            response: Response = await self._client.authorize_redirect(visit.request, back_to)
        except _NOT_TAKEN as error:
            log.warning("the log-in provider does not answer", reason=type(error).__name__)
            raise HTTPException(503) from error
        return response

    async def come_back(self, visit: Visit) -> Response:
        """Log in whom the provider says it is; nobody who is not in the directory comes in."""
        back = str(visit.request.session.get("back", "/"))
        try:
            token = await self._client.authorize_access_token(visit.request)
        except _NOT_TAKEN as error:
            log.warning("somebody was not logged in", reason=type(error).__name__)
            return show(visit, 403)
        id = (token.get("userinfo") or {}).get(self._settings.oidc_user_claim)
        user = visit.portal.directory.user(id, datetime.now(UTC)) if isinstance(id, str) else None
        if user is None:
            return show(visit, 403)
        log_in(visit, user)
        return RedirectResponse(back, 303)
