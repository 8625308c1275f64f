"""What was typed when a session had ended, after the log-in: in its own form, and not sent yet."""

from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Message

from services.portal.session import csrf_token, show_on_next_page
from services.portal.typed import BUTTON, SHOWN_AGAIN
from services.portal.visit import Visit
from services.portal.words import marked


async def form(visit: Visit) -> Response:
    """Show a form filled in with what was typed, to the user who wrote it and to nobody else."""
    id = visit.request.path_params["id"]
    kept = await visit.portal.store.kept_form(id, visit.viewer.user.id) if id.isprintable() else None
    if kept is None:
        raise HTTPException(404)
    text = marked("Du var logget ut. Det du skrev, er her fortsatt, og er ikke sendt ennå.")
    show_on_next_page(visit, visit.translated(text), "info")
    typed = [(name, value) for name, value in kept.typed if name != BUTTON]
    body = urlencode([*typed, (BUTTON, SHOWN_AGAIN), ("csrf", csrf_token(visit))]).encode()
    return await _as_if_sent(visit, kept.path, body)


async def _as_if_sent(visit: Visit, path: str, body: bytes) -> Response:
    """Have the form's own page answer, which knows what the form shows besides what was typed."""
    headers = [(b"content-type", b"application/x-www-form-urlencoded"), (b"content-length", str(len(body)).encode())]
    sent = {"method": "POST", "path": path, "raw_path": path.encode(), "query_string": b"", "headers": headers}
    scope = {**visit.request.scope, **sent}

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    for route in visit.request.app.routes:
        match, found = route.matches(scope)
        if match is Match.FULL:
            answer: Response = await route.endpoint(Request({**scope, **found}, receive))
            return answer
    raise HTTPException(404)
