"""What holds for every answer: its headers, readable addresses, and files that can be kept for ever."""

from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.portal.settings import WebSettings

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


class ReadableAddresses:
    """Refuses an address that cannot be taken apart, before a page asks for its parts; no browser sends one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or have it answered."""
        app = self._app
        if scope["type"] == "http":
            try:
                request = Request(scope)
                _ = request.url.path, request.query_params
            except ValueError:
                app = PlainTextResponse("Adressen kan ikke leses.\nThe address cannot be read.\n", 400)
        await app(scope, receive, send)


class SafeHeaders:
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
        """Pass the request on, and add the headers to the response."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, with_headers)


class StaticFilesForEver(StaticFiles):
    """Files whose address changes with them, so that they can be kept for ever."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        """Make the answer with a file."""
        response = super().file_response(*args, **kwargs)
        response.headers["cache-control"] = "public, max-age=31536000, immutable"
        return response
