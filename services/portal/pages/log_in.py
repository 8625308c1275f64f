"""Logging in and out: OpenID Connect, or for trying a list of the directory's users."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlparse

from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.starlette_client import OAuth
from httpx2 import HTTPError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from services.portal.settings import WebSettings
from services.portal.viewer import log_in
from services.portal.web import check_form, may_log_in, portal_of, render
from services.portal.words import LANGUAGES
from shared.contract.fields import CompanyKind
from shared.runtime.logs import log


def routes(settings: WebSettings) -> list[BaseRoute]:
    """Tell the addresses: those of the provider, and those of the list only where it is turned on."""
    found: list[BaseRoute] = [
        Route("/logg-inn", page, methods=["GET"]),
        Route("/logg-ut", log_out, methods=["POST"]),
        Route("/sprak", language, methods=["POST"]),
    ]
    if settings.log_in_from_directory:
        found.append(Route("/logg-inn", from_directory, methods=["POST"]))
    if settings.oidc_issuer:
        provider = _Provider(settings)
        found += [Route("/oidc", provider.leave, methods=["GET"]), Route("/oidc/tilbake", provider.come_back)]
    return found


async def page(request: Request) -> Response:
    """Show the ways to log in."""
    return _page(request)


async def from_directory(request: Request) -> Response:
    """Log in as a user of the list; nothing is asked for."""
    await check_form(request)
    if not await may_log_in(request):
        return _page(request, 429)
    user = portal_of(request).directory.user(str((await request.form()).get("bruker")), datetime.now(UTC))
    if user is None:
        return _page(request, 422)
    log_in(request, user)
    return RedirectResponse(_back(request), 303)


async def log_out(request: Request) -> Response:
    """End the session."""
    await check_form(request)
    request.session.clear()
    return RedirectResponse("/logg-inn", 303)


async def language(request: Request) -> Response:
    """Choose the language of the session."""
    await check_form(request)
    form = await request.form()
    if form.get("sprak") in LANGUAGES:
        request.session["language"] = form["sprak"]
    return RedirectResponse(_back(request), 303)


def _page(request: Request, status: int = 200) -> Response:
    portal, at = portal_of(request), datetime.now(UTC)
    companies = [company for company in portal.directory.companies(at) if company.kind is not CompanyKind.OPERATOR]
    users = portal.directory.users(at) if portal.settings.log_in_from_directory else []
    return render(
        request,
        "log_in.html",
        status,
        status=status,
        groups=[(c, [u for u in users if u.company == c.id]) for c in companies] if users else [],
        listed=portal.settings.log_in_from_directory,
        provider=bool(portal.settings.oidc_issuer),
        back=_back(request),
    )


def _back(request: Request) -> str:
    """Where to go on to: a page of ours and no other's."""
    back = request.query_params.get("til", "/")
    parts = urlparse(back)
    ours = not parts.scheme and not parts.netloc and back.startswith("/") and not back.startswith(("//", "/\\"))
    return back if ours else "/"


class _Provider:
    """An OpenID Connect provider: who it says somebody is, is looked up in the directory."""

    def __init__(self, settings: WebSettings) -> None:
        self._settings = settings
        oauth = OAuth()
        oauth.register(
            "provider",
            server_metadata_url=f"{settings.oidc_issuer.rstrip('/')}/.well-known/openid-configuration",
            client_id=settings.oidc_client_id,
            client_secret=settings.oidc_client_secret.get_secret_value(),
            client_kwargs={"scope": "openid profile", "code_challenge_method": "S256"},
        )
        self._client: Any = oauth.create_client("provider")  # type: ignore[no-untyped-call]

    async def leave(self, request: Request) -> Response:
        """Send somebody to the provider."""
        if not await may_log_in(request):
            return _page(request, 429)
        request.session["til"] = _back(request)
        try:
            back_to = f"{self._settings.address}/oidc/tilbake"
            response: Response = await self._client.authorize_redirect(request, back_to)
        except (HTTPError, OAuthError) as error:
            log.warning("the log-in provider does not answer", reason=type(error).__name__)
            raise HTTPException(503) from error
        return response

    async def come_back(self, request: Request) -> Response:
        """Take in who the provider says it is; nobody who is not in the directory comes in."""
        back = str(request.session.get("til", "/"))
        try:
            token = await self._client.authorize_access_token(request)
        except (HTTPError, OAuthError) as error:
            log.warning("somebody was not logged in", reason=type(error).__name__)
            return _page(request, 403)
        id = str((token.get("userinfo") or {}).get(self._settings.oidc_user_claim, ""))
        user = portal_of(request).directory.user(id, datetime.now(UTC))
        if user is None:
            return _page(request, 403)
        log_in(request, user)
        return RedirectResponse(back, 303)
