"""What somebody has typed in a form: given back where it could not be sent, so that nothing is typed twice."""

from collections.abc import Callable
from typing import Any

from starlette.datastructures import FormData
from starlette.responses import Response

from services.portal.fields import is_field, readable, reading
from services.portal.rendering import Names, render
from services.portal.session import csrf_token, writer_of
from services.portal.visit import Visit

BUTTON, SHOWN_AGAIN = "button", "show"
"""The field of the button that was pressed, and its value for a form that is to be shown with what was typed."""


async def keep_what_was_typed(visit: Visit) -> Response:
    """Give a form back that could not be sent, to be sent again with the same request id: nothing is done twice."""
    sent = (await visit.request.form()).get("csrf")
    # One that somebody was given before a log-in in between counts too.
    token = csrf_token(visit) if writer_of(visit, sent) is None else sent
    return render(visit, "kept.html", 503, {"retry-after": "5"}, token=token, **await what_was_typed(visit))


async def what_was_typed(visit: Visit) -> dict[str, Any]:
    """What a form carries, so that it can be sent again, and how it reads."""
    form = await visit.request.form()
    typed = written(form)
    return {"typed": typed, "readable": readable(typed, visit.translated, **_called(visit))}


def written(form: FormData) -> list[tuple[str, str]]:
    """What somebody wrote in a form; what no form of ours has is left out."""
    fields = ((name, value) for name, value in form.multi_items() if name != "csrf" and is_field(name))
    return [(name, value) for name, value in fields if isinstance(value, str)]


def in_words(visit: Visit, field: str, value: str) -> str:
    """How a field's value reads."""
    return reading(field, value, visit.translated, **_called(visit))


def _called(visit: Visit) -> dict[str, Callable[[str], str]]:
    names = Names(visit.portal.directory)
    return {"office": names.office, "person": names.person}
