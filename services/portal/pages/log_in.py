"""Logging in and out: OpenID Connect, or for trying a list of the directory's users."""

from datetime import UTC, datetime
from urllib.parse import urlparse

from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from services.portal.directory_follower import DirectoryNotRead
from services.portal.guards import Address, check_form, for_anybody, may_log_in
from services.portal.rendering import render
from services.portal.session import end_session, log_in
from services.portal.settings import WebSettings
from services.portal.visit import Visit
from services.portal.words import LANGUAGES
from shared.contract.fields import CompanyKind
from shared.contract.texts import by_name

_LONGEST_WAY = 2000
"""A way back is kept in a cookie while somebody is at the provider."""


def addresses(settings: WebSettings) -> list[Address]:
    """The addresses: those of the provider, and those of the list, only where it is turned on."""
    found = [("/logg-inn", page, "GET"), ("/logg-ut", log_out, "POST"), ("/sprak", language, "POST")]
    if settings.log_in_from_directory:
        found.append(("/logg-inn", from_directory, "POST"))
    if settings.oidc_issuer:
        from services.portal.pages.provider import Provider  # noqa: PLC0415 - 12 MiB that few need

        provider = Provider(settings)
        found += [("/oidc", provider.leave, "GET"), ("/oidc/tilbake", provider.come_back, "GET")]
    return [Address(path, shown, (method,), for_anybody) for path, shown, method in found]


async def page(visit: Visit) -> Response:
    """Show the ways to log in."""
    return show(visit)


async def from_directory(visit: Visit) -> Response:
    """Log in as a user of the list; nothing is asked for."""
    try:
        await check_form(visit)
    except HTTPException as error:
        if error.status_code != 403 or visit.request.session.get("user") not in (await visit.request.form()).getlist(
            "user"
        ):
            raise
        return RedirectResponse(way_back(visit), 303)  # logged in already, in another tab
    if not await may_log_in(visit):
        return show(visit, 429)
    user = visit.portal.directory.user(str((await visit.request.form()).get("user")), datetime.now(UTC))
    if user is None:
        return show(visit, 422)
    log_in(visit, user)
    return RedirectResponse(way_back(visit), 303)


async def log_out(visit: Visit) -> Response:
    """End the session; it may have ended already."""
    if "user" in visit.request.session:
        await check_form(visit)
    await end_session(visit)
    return RedirectResponse("/logg-inn", 303)


async def language(visit: Visit) -> Response:
    """Choose the language of the session."""
    await check_form(visit)
    form = await visit.request.form()
    if form.get("language") in LANGUAGES:
        visit.request.session["language"] = form["language"]
    return RedirectResponse(way_back(visit), 303)


def show(visit: Visit, status: int = 200) -> Response:
    """Make the log-in page. Raises DirectoryNotRead while nobody is known."""
    portal, at = visit.portal, datetime.now(UTC)
    if not portal.follower.was_read:
        raise DirectoryNotRead
    companies = by_name(c for c in portal.directory.companies(at) if c.kind is not CompanyKind.OPERATOR)
    users = by_name(portal.directory.users(at)) if portal.settings.log_in_from_directory else []
    return render(
        visit,
        "log_in.html",
        status,
        status=status,
        groups=[(c, [u for u in users if u.company == c.id]) for c in companies] if users else [],
        listed=portal.settings.log_in_from_directory,
        provider=bool(portal.settings.oidc_issuer),
        back=way_back(visit),
    )


def way_back(visit: Visit) -> str:
    """Where to go on to: a page of ours and no other's."""
    back = visit.request.query_params.get("til", "/")
    try:
        parts = urlparse(back)
    except ValueError:
        return "/"
    ours = not parts.scheme and not parts.netloc and back.startswith("/") and not back.startswith(("//", "/\\"))
    return back if ours and len(back) <= _LONGEST_WAY else "/"
