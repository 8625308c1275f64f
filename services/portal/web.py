"""The pages as an ASGI application: routes, what holds for every page, and the responses where one fails."""

from collections.abc import Sequence

from sqlalchemy.exc import DBAPIError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount
from starlette.types import ASGIApp

from services.portal.directory_follower import DirectoryNotRead
from services.portal.middleware import ReadableAddresses, SafeHeaders, StaticFilesForEver
from services.portal.rendering import STATIC, render
from services.portal.typed import keep_what_was_typed
from services.portal.viewer import (
    viewer_of,
)
from services.portal.visit import Portal, Visit
from shared.errors import Misconfigured, kind_and_place
from shared.runtime.logs import log
from shared.storage.database import DatabaseAway, cannot_be_kept, reason_of
from shared.storage.media_store import StoreAway


def web_app(portal: Portal, routes: Sequence[BaseRoute]) -> ASGIApp:
    """Make the application."""
    failures = _Failures(portal)
    return Starlette(
        routes=[*routes, Mount("/static", StaticFilesForEver(directory=STATIC))],
        middleware=[
            Middleware(SafeHeaders, settings=portal.settings),
            Middleware(ReadableAddresses),
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
            HTTPException: failures.refused,
            DirectoryNotRead: failures.away,
            DatabaseAway: failures.away,
            Misconfigured: failures.away,
            StoreAway: failures.away,
            OSError: failures.away,
            DBAPIError: failures.not_understood,
            ClientDisconnect: failures.gone,
            Exception: failures.fault,
        },
    )


def _no_secret() -> str:
    raise ValueError("CLAIMBUS_PORTAL_SECRET is not set: sessions cannot be signed")


class _Failures:
    """The responses where a page fails."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal

    def _visit(self, request: Request) -> Visit:
        return Visit(request, self._portal, getattr(request.state, "viewer", None))

    async def refused(self, request: Request, error: Exception) -> Response:
        """Something that is not there, or may not be done."""
        status = error.status_code if isinstance(error, HTTPException) else 500
        if getattr(request.state, "viewer", None) is None:
            request.state.viewer = viewer_of(request, self._portal.directory, self._portal.live.ended_sessions)
        return render(self._visit(request), "error.html", status, status=status)

    async def not_understood(self, request: Request, error: Exception) -> Response:
        """A value that the database cannot look up was asked for; any other error of it is a fault."""
        if not isinstance(error, DBAPIError) or not cannot_be_kept(error):
            return await self.fault(request, error)
        log.info("what is asked for cannot be looked up", path=request.scope["path"])
        return await self.refused(request, HTTPException(400))

    async def gone(self, _request: Request, _error: Exception) -> Response:
        """The client has hung up."""
        return Response(status_code=400)

    async def away(self, request: Request, error: Exception) -> Response:
        """Something that a page needs cannot be reached; what was typed is kept."""
        log.warning("a page cannot be made", path=request.scope["path"], reason=reason_of(error))
        visit = self._visit(request)
        if request.method == "POST":
            return await keep_what_was_typed(visit)
        return render(visit, "error.html", 503, {"retry-after": "5"}, status=503)

    async def fault(self, request: Request, error: Exception) -> Response:
        """A fault of ours."""
        log.error("a page fails", path=request.scope["path"], reason=kind_and_place(error))
        return render(self._visit(request), "error.html", 500, status=500)
