"""Logging in and out: OpenID Connect, or for trying a list of the directory's users."""

from datetime import UTC, datetime
from urllib.parse import urlparse

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from services.portal.followed_directory import DirectoryNotRead
from services.portal.settings import WebSettings
from services.portal.viewer import log_in
from services.portal.web import check_form, may_log_in, portal_of, render
from services.portal.words import LANGUAGES
from shared.contract.fields import CompanyKind
from shared.contract.texts import by_name

_LONGEST_WAY = 2000
"""A way back is kept in a cookie while somebody is at the provider."""


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
        from services.portal.pages.provider import Provider  # noqa: PLC0415 - 12 MiB that few need

        provider = Provider(settings)
        found += [Route("/oidc", provider.leave, methods=["GET"]), Route("/oidc/tilbake", provider.come_back)]
    return found


async def page(request: Request) -> Response:
    """Show the ways to log in."""
    return show(request)


async def from_directory(request: Request) -> Response:
    """Log in as a user of the list; nothing is asked for."""
    try:
        await check_form(request)
    except HTTPException as error:
        if error.status_code != 403 or request.session.get("user") not in (await request.form()).getlist("bruker"):
            raise
        return RedirectResponse(way_back(request), 303)  # logged in already, in another tab
    if not await may_log_in(request):
        return show(request, 429)
    user = portal_of(request).directory.user(str((await request.form()).get("bruker")), datetime.now(UTC))
    if user is None:
        return show(request, 422)
    log_in(request, user)
    return RedirectResponse(way_back(request), 303)


async def log_out(request: Request) -> Response:
    """End the session; it may have ended already."""
    if "user" in request.session:
        await check_form(request)
    request.session.clear()
    return RedirectResponse("/logg-inn", 303)


async def language(request: Request) -> Response:
    """Choose the language of the session."""
    await check_form(request)
    form = await request.form()
    if form.get("sprak") in LANGUAGES:
        request.session["language"] = form["sprak"]
    return RedirectResponse(way_back(request), 303)


def show(request: Request, status: int = 200) -> Response:
    """Make the log-in page. Raises DirectoryNotRead while nobody is known."""
    portal, at = portal_of(request), datetime.now(UTC)
    if not portal.followed.was_read:
        raise DirectoryNotRead
    companies = by_name(c for c in portal.directory.companies(at) if c.kind is not CompanyKind.OPERATOR)
    users = by_name(portal.directory.users(at)) if portal.settings.log_in_from_directory else []
    return render(
        request,
        "log_in.html",
        status,
        status=status,
        groups=[(c, [u for u in users if u.company == c.id]) for c in companies] if users else [],
        listed=portal.settings.log_in_from_directory,
        provider=bool(portal.settings.oidc_issuer),
        back=way_back(request),
    )


def way_back(request: Request) -> str:
    """Where to go on to: a page of ours and no other's."""
    back = request.query_params.get("til", "/")
    try:
        parts = urlparse(back)
    except ValueError:
        return "/"
    ours = not parts.scheme and not parts.netloc and back.startswith("/") and not back.startswith(("//", "/\\"))
    return back if ours and len(back) <= _LONGEST_WAY else "/"
