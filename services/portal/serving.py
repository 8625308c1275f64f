"""The pages' web server, in the service's own process and loop."""

import asyncio
import logging
import ssl
from collections.abc import Mapping

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from services.portal.connections import Connections
from services.portal.settings import WebSettings
from shared.errors import kind_and_place
from shared.runtime.logs import log
from shared.runtime.server import QuietServer
from shared.runtime.tls import server_context

_GOODBYE_S = 3
_KEPT_OPEN_S = 75
"""So long is a connection without a request kept: longer than clients and proxies keep theirs, or they meet its end."""


class _WithoutTexts(logging.Filter):
    """Keeps the text of an error out of what the server logs: it may hold personal data.

    A page's or a call's fault is not logged again: the application has said which it was and where.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, Exception):
            record.msg, record.args = f"{record.getMessage()}: {kind_and_place(error)}", ()
        record.exc_info = record.exc_text = None
        return "Exception in ASGI application" not in record.msg


WITHOUT_TEXTS = _WithoutTexts()
logging.getLogger("uvicorn.error").addFilter(WITHOUT_TEXTS)


class WebServer:
    """Answers from before Kafka and the database are reached until after they are left, so that pages can say so."""

    def __init__(self, app: ASGIApp, settings: WebSettings) -> None:
        self._settings = settings
        tls = _tls(settings) if settings.certificate_file else None
        self._server = QuietServer(
            uvicorn.Config(
                app,
                host=settings.host,
                port=settings.port,
                http=Connections(settings.most_connections).protocol(),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=True,
                server_header=False,
                timeout_graceful_shutdown=_GOODBYE_S,
                timeout_keep_alive=_KEPT_OPEN_S,
                ssl_context_factory=(lambda *_: tls) if tls else None,
            )
        )
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to answer; safe to repeat. Raises OSError if the port is taken."""
        if self._serving is None:
            socket = self._server.config.bind_socket()
            self._serving = asyncio.create_task(self._server.serve(sockets=[socket]))
            log.info("pages are served", address=self._settings.address)

    async def stop(self) -> None:
        """Finish what is being answered, and stop."""
        if self._serving is not None:
            self._server.should_exit = True
            await self._serving


def _tls(settings: WebSettings) -> ssl.SSLContext:
    try:
        return server_context(settings.certificate_file, settings.key_file or settings.certificate_file)
    except OSError as error:  # ssl.SSLError is one
        raise ValueError(
            f"CLAIMBUS_PORTAL_CERTIFICATE_FILE and CLAIMBUS_PORTAL_KEY_FILE cannot be used: {error}"
        ) from error


def side_by_side(others: Mapping[str, ASGIApp], app: ASGIApp) -> ASGIApp:
    """Serve several applications, each below a path of its own, and one for all other paths."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        found = next((other for beginning, other in others.items() if scope["path"].startswith(beginning)), app)
        await found(scope, receive, send)

    return answer
