"""What all forms do: read, send, wait a little, and go on, or come back filled with what was typed."""

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from services.portal.asking import BusAway, new_request_id
from services.portal.forms import WrongForm, problems_of, typed
from services.portal.viewer import language_of, tell_next_page
from services.portal.web import keep_what_was_typed, portal_of, render, translated, viewer_from
from shared.contract.fields import LocalizedText
from shared.contract.outcomes import RequestRefused
from shared.contract.requests import Request as Wish

_REQUEST_ID = "request_id"


def show(request: Request, template: str, values: Mapping[str, str] | None = None, **context: Any) -> Response:
    """Show a form for the first time."""
    return render(
        request, template, values=dict(values or {}), problems={}, refused=None, form_id=new_request_id(), **context
    )


async def send(
    request: Request,
    template: str,
    read: Callable[[Mapping[str, str]], Wish],
    *,
    done: str,
    to: Callable[[UUID], str],
    first: Mapping[str, str] | None = None,
    **context: Any,
) -> Response:
    """Send what was typed; `to` is where to go on to, of the claim that it is about.

    `first` is what the page's other forms begin with.
    """
    values = typed((await request.form()).multi_items())
    try:
        wish = read(values)
    except WrongForm as wrong:
        shown = {**(first or {}), **values}
        return _again(request, template, shown, wrong.problems, None, values.get(_REQUEST_ID), context)
    try:
        asked = await portal_of(request).asking.ask(
            viewer_from(request).user, wish, values.get(_REQUEST_ID) or new_request_id()
        )
    except BusAway:
        return await keep_what_was_typed(request)
    if isinstance(asked.outcome, RequestRefused):
        refused = asked.outcome
        text = _in_language(refused.message, request)
        if refused.decision is not None:
            text = f"{text} {_in_language(refused.decision.explanation, request)}."
        return _again(request, template, {**(first or {}), **values}, problems_of(refused.details), text, None, context)
    address = to(asked.claim_id)
    if asked.outcome is None:
        address += f"{'&' if '?' in address else '?'}venter={asked.request_id}"
    else:
        tell_next_page(request, translated(request, done))
    return RedirectResponse(address, 303)


def _again(
    request: Request,
    template: str,
    values: Mapping[str, str],
    problems: Mapping[str, str],
    refused: str | None,
    form_id: str | None,
    context: Mapping[str, Any],
) -> Response:
    """Give the form back; after a refusal with a new id, since the old one has its outcome."""
    shown = {"values": dict(values), "problems": dict(problems), "refused": refused}
    return render(request, template, 422, **shown, form_id=form_id or new_request_id(), **context)


def _in_language(text: LocalizedText, request: Request) -> str:
    return str(getattr(text, language_of(request)))
