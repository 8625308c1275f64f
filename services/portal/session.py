"""A browser's session: who is logged in, the tokens of forms, and notices for the next page."""

import hmac
import secrets
from datetime import timedelta

from itsdangerous import BadData, URLSafeTimedSerializer

from services.portal.visit import Visit
from shared.domain.companies import User

_CSRF = "csrf"
_OPEN_FOR = timedelta(days=7)
"""A form that was open for longer is not taken."""


def log_in(visit: Visit, user: User) -> None:
    """Begin a session of a user; whatever was in the cookie before is gone, but for the language."""
    language = visit.request.session.get("language")
    visit.request.session.clear()
    visit.request.session["user"] = user.id
    visit.request.session["id"] = secrets.token_urlsafe(18)
    if language:
        visit.request.session["language"] = language


async def end_session(visit: Visit) -> None:
    """End the session here and at every other instance, whoever has a copy of its cookie. Raises DatabaseAway."""
    id = visit.request.session.get("id")
    if id is not None:
        await visit.portal.store.end_session(id)
        visit.portal.live.ended_sessions.add(id)
    visit.request.session.clear()


def csrf_token(visit: Visit) -> str:
    """Make the token that forms carry: whose form it is, signed, so that it counts after a new log-in too.

    While nobody is logged in it is the session's.
    """
    user: str | None = visit.request.session.get("user")
    if user is not None:
        return _signer(visit).dumps(user)
    token: str = visit.request.session.setdefault(_CSRF, secrets.token_urlsafe(24))
    return token


def has_token(visit: Visit, token: object) -> bool:
    """Whether a form came from a page of ours that was made for its sender."""
    user = visit.request.session.get("user")
    if user is not None and writer_of(visit, token) == user:
        return True
    expected = visit.request.session.get(_CSRF)
    return isinstance(token, str) and bool(expected) and hmac.compare_digest(token.encode(), str(expected).encode())


def writer_of(visit: Visit, token: object) -> str | None:
    """The user for whom a page of ours was made whose form has this token; None where none of ours was."""
    try:
        user = _signer(visit).loads(str(token), max_age=int(_OPEN_FOR.total_seconds()))
    except BadData:
        return None
    return str(user)


def _signer(visit: Visit) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(visit.portal.settings.secret.get_secret_value(), salt="claimbus form")


def show_on_next_page(visit: Visit, text: str, kind: str = "success", link: tuple[str, str] | None = None) -> None:
    """Show a sentence on the next page, once; `link` is an address to go to and its text."""
    visit.request.session["notices"] = [*visit.request.session.get("notices", []), [kind, text, link]][-3:]
