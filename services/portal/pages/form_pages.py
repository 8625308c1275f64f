"""What all forms do: read, send, wait a little, and go on, or come back filled with what was typed."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from services.portal.editing import Change, ChangedMeanwhile, Unchanged
from services.portal.fields import label
from services.portal.forms import WrongForm, problems_of, typed
from services.portal.rendering import render
from services.portal.request_sender import BusAway, is_request_id, new_request_id
from services.portal.sentences import of_refusal
from services.portal.session import show_on_next_page
from services.portal.typed import BUTTON, SHOWN_AGAIN, in_words, keep_what_was_typed, what_was_typed
from services.portal.visit import Visit
from services.portal.words import marked
from shared.contract.events import ClaimEvent
from shared.contract.outcomes import RequestAccepted, RequestRefused
from shared.contract.requests import Request as Wish

_REQUEST_ID = "request_id"


def show(visit: Visit, template: str, values: Mapping[str, str] | None = None, **context: Any) -> Response:
    """Show a form for the first time, or filled in, without anything being sent."""
    values = dict(values or {})
    form_id = values.get(_REQUEST_ID) or new_request_id()
    return render(visit, template, values=values, problems={}, refused=None, form_id=form_id, **context)


async def send(
    visit: Visit,
    template: str,
    read: Callable[[Mapping[str, str]], Wish],
    *,
    done: str,
    to: Callable[[UUID | None], str],
    first: Mapping[str, str] | None = None,
    changed_by: Callable[[], Awaitable[ClaimEvent | None]] | None = None,
    **context: Any,
) -> Response:
    """Send what was typed; `to` is where to go on to, of the claim that it is about.

    `first` is what the page's other forms begin with; `changed_by` finds the newest change of what this form shows.
    """
    portal, user = visit.portal, visit.viewer.user
    values = typed((await visit.request.form()).multi_items())
    form_id = values.get(_REQUEST_ID) or new_request_id()
    if not is_request_id(form_id):
        raise HTTPException(400)
    shown = {**(first or {}), **values}
    if values.get(BUTTON) == SHOWN_AGAIN:
        return show(visit, template, shown, **context)
    try:
        wish = read(values)
    except (WrongForm, Unchanged, ChangedMeanwhile) as stopped:
        outcome = await portal.store.outcome(user.company, form_id)
        if isinstance(outcome, RequestAccepted):
            # Sent again after it was on its way: what it changed shows already, so that nothing is left to change.
            return await _go_on(visit, outcome, done, to(outcome.claim_id))
        again = form_id if outcome is None else None
        if isinstance(stopped, Unchanged):
            show_on_next_page(visit, visit.translated(marked("Ingenting er endret.")), "info")
            return RedirectResponse(to(None), 303)
        if isinstance(stopped, ChangedMeanwhile):
            last_change = await changed_by() if changed_by is not None else None
            about = context | {"meanwhile": _in_words(visit, stopped.changes), "last_change": last_change}
            return _again(visit, template, shown | stopped.values, {}, None, again, about, status=409)
        return _again(visit, template, shown, stopped.problems, None, again, context)
    try:
        sent = await portal.sender.send(user, wish, form_id)
    except BusAway:
        return await keep_what_was_typed(visit)
    if isinstance(sent.outcome, RequestAccepted):
        return await _go_on(visit, sent.outcome, done, to(sent.claim_id))
    if isinstance(sent.outcome, RequestRefused):
        refused = sent.outcome
        text = of_refusal(refused.code, refused.message, visit.language)
        if refused.decision is not None:
            text = f"{text} {getattr(refused.decision.explanation, visit.language)}."
        return _again(visit, template, shown, problems_of(refused.details), text, None, context)
    # Sent again with the same id, the form has the same outcome: filled in, with the reason, where that is a refusal.
    return render(visit, "on_its_way.html", 202, request_id=form_id, **await what_was_typed(visit))


async def _go_on(visit: Visit, outcome: RequestAccepted, done: str, address: str) -> Response:
    """Go on to a page that says what was done, and where it went if the claim was linked meanwhile (domain rule 17)."""
    show_on_next_page(visit, visit.translated(done))
    if outcome.redirected_to is not None:
        company = visit.viewer.company.id
        target = (await visit.portal.store.short(company, outcome.redirected_to)).get(outcome.redirected_to)
        if target is None:
            unseen = marked("Saken er tilknyttet en sak som du ikke har tilgang til, og det du sendte, følger med dit.")
            show_on_next_page(visit, visit.translated(unseen), "info")
        else:
            link = (f"/saker/{target.claim_id}", target.claim_number)
            seen = marked("Saken er tilknyttet en annen sak, og det du sendte, følger med dit:")
            show_on_next_page(visit, visit.translated(seen), "info", link)
    return RedirectResponse(address, 303)


def _again(
    visit: Visit,
    template: str,
    values: Mapping[str, str],
    problems: Mapping[str, str],
    refused: str | None,
    form_id: str | None,
    context: Mapping[str, Any],
    status: int = 422,
) -> Response:
    """Give the form back; after a refusal with a new id, since the old one has its outcome."""
    shown = {"values": dict(values), "problems": dict(problems), "refused": refused}
    return render(visit, template, status, **shown, form_id=form_id or new_request_id(), **context)


@dataclass(frozen=True)
class Meanwhile:
    """What somebody else changed while a form was open, in words; "" is what is not written."""

    called: str
    before: str
    now: str
    typed: str | None
    """What the person wants there instead."""


def _in_words(visit: Visit, changes: list[Change]) -> list[Meanwhile]:
    found = []
    for each in changes:
        read = partial(in_words, visit, each.field)
        called = label(each.field, visit.translated) or each.field
        typed = None if each.typed is None else read(each.typed)
        found.append(Meanwhile(called, read(each.before), read(each.now), typed))
    return found
