"""What is let through: people who are logged in, and forms from pages of ours."""

import secrets
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple
from urllib.parse import urlencode

from limits import RateLimitItemPerMinute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from services.portal import words
from services.portal.directory_follower import DirectoryNotRead
from services.portal.session import has_token, writer_of
from services.portal.store import KeptForm
from services.portal.typed import written
from services.portal.viewer import viewer_of
from services.portal.visit import Portal, Visit

_LARGEST_FORM_BYTES = 2 * 1024 * 1024
"""The largest body that the contract takes: of each of its bytes a form makes three, and it carries what it showed."""
_MOST_FIELDS = 10_000

Handler = Callable[[Request], Awaitable[Response]]
Page = Callable[[Visit], Awaitable[Response]]


def for_viewers(portal: Portal, page: Page) -> Handler:
    """Answer only to users who are logged in; the others go to the log-in page and come back."""

    async def guarded(request: Request) -> Response:
        request.state.began = time.time()
        if request.method == "HEAD":  # what is asked for with GET, without its content: a form is shown, never sent
            request = Request({**request.scope, "method": "GET"}, request.receive)
        viewer = None
        if portal.follower.was_read:
            viewer = viewer_of(request, portal.directory, portal.live.ended_sessions)
        if viewer is None and portal.follower.was_read:
            return await _to_log_in(Visit(request, portal))
        if request.method == "POST":
            await check_form(Visit(request, portal))
        if viewer is None:
            raise DirectoryNotRead
        request.state.viewer = viewer  # for what answers where a page fails
        return await page(Visit(request, portal, viewer))

    return guarded


def for_anybody(portal: Portal, page: Page) -> Handler:
    """Serve a page to anybody."""

    async def unguarded(request: Request) -> Response:
        return await page(Visit(request, portal))

    return unguarded


async def _to_log_in(visit: Visit) -> Response:
    """Have somebody log in and come back, to what was typed too; a page's script gets a status instead."""
    request = visit.request
    by_script = bool(request.headers.get("hx-request"))
    if request.method == "POST" and "x-csrf-token" in request.headers:
        text = visit.translated(words.marked("Du er logget ut. Logg inn i en annen fane, og prøv igjen."))
        return JSONResponse({"code": "no_session", "message": text}, 401)
    if request.method == "POST":
        kept = await _keep_over_log_in(visit)
        address = f"/logg-inn?{urlencode({'til': f'/skjema/{kept}'})}" if kept else "/logg-inn"
        return Response(status_code=401, headers={"hx-redirect": address}) if by_script else _see(address)
    if by_script:
        return Response(status_code=401, headers={"hx-trigger": "session-ended"})
    back = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    query = urlencode({"til": back}) if back != "/" else ""
    return _see(f"/logg-inn?{query}".rstrip("?"))


def _see(address: str) -> Response:
    return RedirectResponse(address, 303)


async def _keep_over_log_in(visit: Visit) -> str | None:
    """Keep a form whose session has ended for the user whose it is. Returns its id, or None where it is nobody's."""
    request = visit.request
    _check_size(request)
    form = await request.form(max_fields=_MOST_FIELDS)
    writer = writer_of(visit, form.get("csrf"))
    if writer is None or not _is_from_here(request) or "\x00" in request.url.path:
        return None
    typed = written(form)
    id = secrets.token_urlsafe(18)
    await visit.portal.store.keep_form(KeptForm(id, writer, request.url.path, typed))
    return id


async def check_form(visit: Visit) -> None:
    """Raise HTTPException unless a form came from a page of ours that was made for its sender."""
    request = visit.request
    if not _is_from_here(request):
        raise HTTPException(403)
    _check_size(request)
    await request.body()  # kept, so that a page can read it in another way than here
    token: object = request.headers.get("x-csrf-token")
    if token is None:
        token = (await request.form(max_fields=_MOST_FIELDS)).get("csrf")
    if not has_token(visit, token):
        raise HTTPException(403)


def _is_from_here(request: Request) -> bool:
    return request.headers.get("sec-fetch-site", "same-origin") in {"same-origin", "none"}


def _check_size(request: Request) -> None:
    length = request.headers.get("content-length", "")
    if not length.isdecimal():
        raise HTTPException(411)
    if len(length) > len(str(_LARGEST_FORM_BYTES)) or int(length) > _LARGEST_FORM_BYTES:
        raise HTTPException(413)
    if request.headers.get("content-type", "").lower().startswith("multipart/"):
        raise HTTPException(415)  # no page of ours sends it, and its parts can be in any encoding


async def may_log_in(visit: Visit) -> bool:
    """Whether the address has not tried too often."""
    address = visit.request.client.host if visit.request.client else ""
    limit = RateLimitItemPerMinute(visit.portal.settings.log_ins_per_minute)
    allowed: bool = await visit.portal.log_ins.hit(limit, address)
    return allowed


class Address(NamedTuple):
    """An address of the pages, what answers there, and whom."""

    path: str
    page: Page
    methods: tuple[str, ...]
    guard: Callable[[Portal, Page], Handler] = for_viewers
