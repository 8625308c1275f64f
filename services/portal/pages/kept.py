"""What was typed when a session had ended, after the log-in: in its own form, and not sent yet."""

from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Message

from services.portal.viewer import csrf_token, tell_next_page
from services.portal.web import BUTTON, SHOWN_AGAIN, portal_of, translated, viewer_from
from services.portal.words import said


async def form(request: Request) -> Response:
    """Show a form filled in with what was typed, to the user who wrote it and to nobody else."""
    id = request.path_params["id"]
    kept = await portal_of(request).store.kept_form(id, viewer_from(request).user.id) if id.isprintable() else None
    if kept is None:
        raise HTTPException(404)
    text = said("Du var logget ut. Det du skrev, er her fortsatt, og er ikke sendt ennå.")
    tell_next_page(request, translated(request, text), "info")
    typed = [(name, value) for name, value in kept.typed if name != BUTTON]
    body = urlencode([*typed, (BUTTON, SHOWN_AGAIN), ("csrf", csrf_token(request))]).encode()
    return await _as_if_sent(request, kept.path, body)


async def _as_if_sent(request: Request, path: str, body: bytes) -> Response:
    """Have the form's own page answer, which knows what the form shows beside what was typed."""
    headers = [(b"content-type", b"application/x-www-form-urlencoded"), (b"content-length", str(len(body)).encode())]
    sent = {"method": "POST", "path": path, "raw_path": path.encode(), "query_string": b"", "headers": headers}
    scope = {**request.scope, **sent}

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    for route in request.app.routes:
        match, found = route.matches(scope)
        if match is Match.FULL:
            answer: Response = await route.endpoint(Request({**scope, **found}, receive))
            return answer
    raise HTTPException(404)
