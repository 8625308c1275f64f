"""The pages as an ASGI application: routes, rendering, and what holds for every page."""

import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jinja2
from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter
from sqlalchemy.exc import DBAPIError
from starlette.applications import Starlette
from starlette.datastructures import FormData, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.portal import phones, words
from services.portal.asking import Asking
from services.portal.fields import is_field, readable, reading
from services.portal.following import DirectoryNotRead, FollowedDirectory
from services.portal.live import Live
from services.portal.media_store import MediaTables
from services.portal.settings import WebSettings
from services.portal.store import KeptForm, Store
from services.portal.thumbnails import Thumbnails
from services.portal.uploads import Uploads
from services.portal.viewer import (
    Viewer,
    csrf_token,
    has_token,
    insurers_open_to,
    language_of,
    viewer_of,
    writer_of,
)
from shared.directory import Directory
from shared.errors import kind_and_place
from shared.media.names import kept_name
from shared.runtime.logs import log
from shared.storage.database import DatabaseAway, cannot_be_kept, reason_of
from shared.storage.media_store import MediaStore, StoreAway

_HERE = Path(__file__).parent
_STATIC = _HERE / "static"
_LARGEST_FORM_BYTES = 2 * 1024 * 1024
"""The largest body that the contract takes: of each of its bytes a form makes three, and it carries what it showed."""
_MOST_FIELDS = 10_000
BUTTON, SHOWN_AGAIN = "handling", "vis"
"""The field of the button that was pressed, and its value for a form that is to be shown with what was typed."""

_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self'; "
        "connect-src 'self'; font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "geolocation=(), microphone=()",
}


@dataclass(frozen=True)
class Portal:
    """What the pages work with."""

    settings: WebSettings
    store: Store
    live: Live
    followed: FollowedDirectory
    asking: Asking
    uploads: Uploads
    tables: MediaTables
    files: MediaStore
    thumbnails: Thumbnails

    @property
    def directory(self) -> Directory:
        """The directory as it is now."""
        return self.followed.directory


Handler = Callable[[Request], Awaitable[Response]]


def web_app(portal: Portal, routes: Sequence[BaseRoute]) -> ASGIApp:
    """Make the application."""
    app = Starlette(
        routes=[*routes, Mount("/static", _Static(directory=_STATIC))],
        middleware=[
            Middleware(_SafeHeaders, settings=portal.settings),
            Middleware(_Readable),
            Middleware(GZipMiddleware, minimum_size=1000),
            Middleware(
                SessionMiddleware,
                secret_key=portal.settings.secret.get_secret_value() or _no_secret(),
                session_cookie="claimbus",
                max_age=portal.settings.session_hours * 3600,
                same_site="lax",
                https_only=portal.settings.secure,
            ),
        ],
        exception_handlers={
            HTTPException: _told,
            DirectoryNotRead: _away,
            DatabaseAway: _away,
            StoreAway: _away,
            OSError: _away,
            DBAPIError: _not_understood,
            ClientDisconnect: _gone,
            Exception: _fault,
        },
    )
    app.state.portal = portal
    app.state.log_ins = MovingWindowRateLimiter(MemoryStorage())
    return app


def _no_secret() -> str:
    raise ValueError("CLAIMBUS_PORTAL_SECRET is not set: sessions cannot be signed")


def portal_of(request: Request) -> Portal:
    """Tell what the pages work with."""
    portal: Portal = request.app.state.portal
    return portal


def country_of(request: Request, insurer: str) -> str:
    """Tell an insurer's country (ISO 3166-1), in which phone numbers without a country code are."""
    return portal_of(request).directory.settings(insurer, datetime.now(UTC)).country


def viewer_from(request: Request) -> Viewer:
    """Tell who looks; the route has made sure that somebody does."""
    viewer: Viewer = request.state.viewer
    return viewer


def for_viewers(handler: Handler) -> Handler:
    """Answer only to users who are logged in; the others go to the log-in page and come back."""

    async def guarded(request: Request) -> Response:
        request.state.began = time.time()
        if request.method == "HEAD":  # what is asked for with GET, without its content: a form is shown, never sent
            request = Request({**request.scope, "method": "GET"}, request.receive)
        portal = portal_of(request)
        viewer = viewer_of(request, portal.directory) if portal.followed.was_read else None
        if viewer is None and portal.followed.was_read:
            return await _to_log_in(request)
        if request.method == "POST":
            await check_form(request)
        if viewer is None:
            raise DirectoryNotRead
        request.state.viewer = viewer
        return await handler(request)

    return guarded


async def _to_log_in(request: Request) -> Response:
    """Have somebody log in and come back, to what was typed too; a page that looks after itself is told."""
    by_script = bool(request.headers.get("hx-request"))
    if request.method == "POST" and "x-csrf-token" in request.headers:
        text = translated(request, words.said("Du er logget ut. Logg inn i en annen fane, og prøv igjen."))
        return JSONResponse({"code": "no_session", "message": text}, 401)
    if request.method == "POST":
        kept = await _keep_over_log_in(request)
        address = f"/logg-inn?{urlencode({'til': f'/skjema/{kept}'})}" if kept else "/logg-inn"
        return Response(status_code=401, headers={"hx-redirect": address}) if by_script else _see(address)
    if by_script:
        return Response(status_code=401, headers={"hx-trigger": "okt-avsluttet"})
    back = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    asked_for = urlencode({"til": back}) if back != "/" else ""
    return _see(f"/logg-inn?{asked_for}".rstrip("?"))


def _see(address: str) -> Response:
    return RedirectResponse(address, 303)


async def _keep_over_log_in(request: Request) -> str | None:
    """Keep a form whose session has ended for the user whose it is; tell its id, or None where it is nobody's."""
    _check_size(request)
    form = await request.form(max_fields=_MOST_FIELDS)
    writer = writer_of(request, form.get("csrf"))
    if writer is None or not _is_from_here(request) or "\x00" in request.url.path:
        return None
    typed = _written(form)
    id = secrets.token_urlsafe(18)
    await portal_of(request).store.keep_form(KeptForm(id, writer, request.url.path, typed))
    return id


async def check_form(request: Request) -> None:
    """Raise HTTPException unless a form came from a page of ours that was made for whoever sends it."""
    if not _is_from_here(request):
        raise HTTPException(403)
    _check_size(request)
    await request.body()  # kept, so that a page can read it in another way than here
    given: object = request.headers.get("x-csrf-token")
    if given is None:
        given = (await request.form(max_fields=_MOST_FIELDS)).get("csrf")
    if not has_token(request, given):
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


async def may_log_in(request: Request) -> bool:
    """Whether the address has not tried too often."""
    address = request.client.host if request.client else ""
    limit = RateLimitItemPerMinute(portal_of(request).settings.log_ins_per_minute)
    allowed: bool = await request.app.state.log_ins.hit(limit, address)
    return allowed


def render(
    request: Request, template: str, status: int = 200, headers: dict[str, str] | None = None, /, **context: Any
) -> HTMLResponse:
    """Make a page in the session's language."""
    language = language_of(request)
    viewer: Viewer | None = getattr(request.state, "viewer", None)
    portal = portal_of(request)
    zone = viewer.zone if viewer else "Europe/Oslo"
    page = _environment(language).get_template(template)
    text = page.render(
        request=request,
        language=language,
        viewer=viewer,
        csrf=csrf_token(request),
        said=request.session.pop("said", []),
        rendered_at=int(getattr(request.state, "began", 0) * 1000),
        directory_changes=portal.followed.changes,
        bus_answers=portal.followed.answering,
        directory_was_read=portal.followed.was_read,
        day=lambda day: words.a_day(day, language),
        moment=lambda at: words.a_moment(at, zone, language),
        short_day=words.a_short_day,
        day_and_month=lambda day: words.a_day_of_the_year(day, language),
        phone=phones.shown,
        short_moment=lambda at: words.a_short_moment(at, zone),
        number=lambda count: words.a_number(count, language),
        office=lambda id: _office(portal.directory, id),
        company=lambda id: _company(portal.directory, id),
        person=lambda id: _person(portal.directory, id),
        may_create_now=lambda: viewer and bool(insurers_open_to(viewer, portal.directory, datetime.now(UTC))),
        translated_options=lambda options: [(value, translated(request, text)) for value, text in options.items()],
        **context,
    )
    return HTMLResponse(text, status, {"cache-control": "no-store", **(headers or {})})


def translated(request: Request, text: str) -> str:
    """Say a sentence of the catalogue in the session's language."""
    return words.translations(language_of(request)).gettext(text)


def asset(name: str) -> str:
    """Tell the address of a file that every page loads; it changes with the file."""
    return _addresses()[name]


@cache
def _addresses() -> dict[str, str]:
    files = {str(file.relative_to(_STATIC)): file for file in _STATIC.rglob("*") if file.is_file()}
    return {name: f"/static/{name}?{sha256(file.read_bytes()).hexdigest()[:12]}" for name, file in files.items()}


@cache
def _environment(language: str) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        extensions=["jinja2.ext.i18n"],
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.install_gettext_translations(words.translations(language), newstyle=True)  # type: ignore[attr-defined]
    environment.filters["filename"] = kept_name
    environment.globals.update(
        asset=asset,
        languages=words.LANGUAGES,
        states=words.STATES,
        causes=words.CAUSES,
        task_kinds=words.TASK_KINDS,
        creation=words.CREATION,
        weekdays=words.WEEKDAYS,
        periods=words.PERIODS,
        holiday_categories=words.HOLIDAY_CATEGORIES,
    )
    return environment


def _office(directory: Directory, id: str | None) -> str:
    office = directory.office(id, datetime.now(UTC)) if id else None
    return f"{_company(directory, office.company)}, {office.name}" if office else id or ""


def _company(directory: Directory, id: str | None) -> str:
    company = directory.company(id, datetime.now(UTC)) if id else None
    return company.name if company else id or ""


def _person(directory: Directory, id: str | None) -> str:
    user = directory.user(id, datetime.now(UTC)) if id else None
    return user.name if user else id or ""


async def _told(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    if getattr(request.state, "viewer", None) is None:
        request.state.viewer = viewer_of(request, portal_of(request).directory)
    return render(request, "error.html", status, status=status)


async def _not_understood(request: Request, error: Exception) -> Response:
    """Something that was asked for is nothing that the database can look up; all else that it says is a fault."""
    if not isinstance(error, DBAPIError) or not cannot_be_kept(error):
        return await _fault(request, error)
    log.info("what is asked for cannot be looked up", path=request.scope["path"])
    return await _told(request, HTTPException(400))


async def _gone(_request: Request, _error: Exception) -> Response:
    """Whoever asked has hung up."""
    return Response(status_code=400)


async def _away(request: Request, error: Exception) -> Response:
    log.warning("a page cannot be made", path=request.scope["path"], reason=reason_of(error))
    return (
        await keep_what_was_typed(request)
        if request.method == "POST"
        else render(request, "error.html", 503, {"retry-after": "5"}, status=503)
    )


async def _fault(request: Request, error: Exception) -> Response:
    log.error("a page fails", path=request.scope["path"], reason=kind_and_place(error))
    return render(request, "error.html", 500, status=500)


async def keep_what_was_typed(request: Request) -> Response:
    """Give a form back that could not be sent, to be sent again with the same request id: nothing is done twice."""
    given = (await request.form()).get("csrf")
    token = csrf_token(request) if writer_of(request, given) is None else given  # counts after a log-in in between too
    return render(request, "kept.html", 503, {"retry-after": "5"}, token=token, **await what_was_typed(request))


async def what_was_typed(request: Request) -> dict[str, Any]:
    """Tell what a form carries, so that it can be sent again, and how it reads."""
    form = await request.form()
    typed = _written(form)
    return {"typed": typed, "readable": readable(typed, partial(translated, request), **_called(request))}


def _written(form: FormData) -> list[tuple[str, str]]:
    """Tell what somebody wrote in a form; what no form of ours has is left out."""
    fields = ((name, value) for name, value in form.multi_items() if name != "csrf" and is_field(name))
    return [(name, value) for name, value in fields if isinstance(value, str)]


def in_words(request: Request, field: str, value: str) -> str:
    """Tell how a field's value reads."""
    return reading(field, value, partial(translated, request), **_called(request))


def _called(request: Request) -> dict[str, Callable[[str], str]]:
    directory = portal_of(request).directory
    return {"office": partial(_office, directory), "person": partial(_person, directory)}


class _Readable:
    """Refuses an address that cannot be taken apart, before a page asks for its parts; no browser sends one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app
        if scope["type"] == "http":
            try:
                request = Request(scope)
                _ = request.url.path, request.query_params
            except ValueError:
                app = PlainTextResponse("Adressen kan ikke leses.\nThe address cannot be read.\n", 400)
        await app(scope, receive, send)


class _SafeHeaders:
    """Puts on every answer what keeps others out of the pages."""

    def __init__(self, app: ASGIApp, settings: WebSettings) -> None:
        self._app = app
        self._headers = dict(_HEADERS)
        if settings.secure:
            self._headers["strict-transport-security"] = "max-age=31536000"
        if settings.media_origin:
            policy = self._headers["content-security-policy"]
            upload_to = f"connect-src 'self' {settings.media_origin}"
            self._headers["content-security-policy"] = policy.replace("connect-src 'self'", upload_to)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, with_headers)


class _Static(StaticFiles):
    """Files whose address changes with them, so that they can be kept for ever."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["cache-control"] = "public, max-age=31536000, immutable"
        return response
