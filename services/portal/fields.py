"""What the forms' fields are called, and how what was typed in them reads, where their form cannot be shown. Pure."""

import contextlib
import re
from collections.abc import Callable, Iterable
from datetime import date

from services.portal.words import CAUSES, CREATION, HOLIDAY_CATEGORIES, PERIODS, TASK_KINDS, WEEKDAYS, a_short_day, said

Say = Callable[[str], str]
"""Says a text of the catalogue in a language."""

_FIELDS = {
    "incident.date": said("Skadedato"),
    "incident.cause": said("Årsak"),
    "incident.description": said("Beskrivelse"),
    "incident.address.street": said("Gateadresse"),
    "incident.address.postal_code": said("Postnummer"),
    "incident.address.city": said("Poststed"),
    "policyholder.name": said("Navn"),
    "policyholder.phone": said("Telefon"),
    "policyholder.email": said("E-post"),
    "policy_number": said("Polisenummer"),
    "partner_reference": said("Partnerens referanse"),
    "claim_number": said("Skadenummer"),
    "assigned_office": said("Tildel saken til kontor"),
    "tasks.#.kind": said("Oppgave %(number)s"),
    "tasks.#.office": said("Kontor for oppgave %(number)s"),
    "handler": said("Saksbehandler"),
    "reason": said("Begrunnelse"),
    "kind": said("Oppgave"),
    "office": said("Kontor"),
    "amount": said("Beløp"),
    "currency": said("Valuta"),
    "text": said("Rapport"),
    "media.#.name": said("Vedlagt:"),
    "finished": said("Oppgaven er ferdig"),
    "creation": said("Har tillatelse til å opprette midlertidige saker"),
    "may_assign_to_others": said("Kan tildele oppgaver til andre partneres kontorer"),
    "may_define_claim_number": said("Kan bestemme skadenummer"),
    "time_zone": said("Tidssone"),
    "country": said("Land (for helligdager)"),
    "subdivision": said("Del av landet"),
    "days.#.date": said("Dato %(number)s"),
    "days.#.opens": said("Dato %(number)s, åpner"),
    "days.#.closes": said("Dato %(number)s, stenger"),
    "enhanced_function": said("Forbedret funksjon"),
    "inspection_needs_budget": said("Besiktigelser krever godkjent budsjett"),
    "report_period": said("Rapport over midlertidige saker"),
    "unlink_days": said("Dager en tilknytning kan oppheves"),
}
_PARTS_OF_A_DAY = {"opens": said("åpner"), "closes": said("stenger")}
_CHOICES = {"cause": CAUSES, "kind": TASK_KINDS, "creation": CREATION, "report_period": PERIODS}
CLOSED = "closed"
"""What a day of its own reads where it has no hours."""
_CLOSED = said("stengt")
_TICKED, _UNTICKED = said("ja"), said("nei")
_USUAL = said("Som vanlig i landet")
_BOXES = {
    "finished",
    "may_assign_to_others",
    "may_define_claim_number",
    "enhanced_function",
    "inspection_needs_budget",
}
_NAME = re.compile(r"[a-z][a-z0-9_]*(\.([a-z][a-z0-9_]*|[0-9]{1,4})){0,3}")


def is_field(name: str) -> bool:
    """Whether a form of ours can have a field of this name: a path of the contract's, with short numbers in it."""
    return _NAME.fullmatch(name) is not None


def label(name: str, say: Say) -> str | None:
    """Tell what a field is called; None for what a form carries unseen."""
    *path, last = name.split(".")
    if path[:1] == ["office_hours"]:
        weekday = WEEKDAYS.get(path[-1])
        return f"{say(weekday)}, {say(_PARTS_OF_A_DAY[last])}" if weekday and last in _PARTS_OF_A_DAY else None
    if path == ["holidays"]:
        return say(_USUAL if last == "usual" else HOLIDAY_CATEGORIES.get(last, last))
    if path == ["days"]:
        return _day(last)
    number = next((int(part) for part in path if part.isdecimal()), 0)
    text = _FIELDS.get(".".join("#" if part.isdecimal() else part for part in (*path, last)))
    return say(text).replace("%(number)s", str(number + 1)) if text is not None else None


def readable(
    typed: Iterable[tuple[str, str]], say: Say, office: Callable[[str], str], person: Callable[[str], str]
) -> list[tuple[str, str]]:
    """Tell what was typed, by the fields' labels; what was left empty is left out."""
    labelled = ((label(name, say), name, value) for name, value in typed if value)
    return [(text, reading(name, value, say, office, person)) for text, name, value in labelled if text]


def reading(name: str, value: str, say: Say, office: Callable[[str], str], person: Callable[[str], str]) -> str:
    """Tell how a field's value reads."""
    last = name.rsplit(".", 1)[-1]
    if last in _CHOICES and value:
        return say(_CHOICES[last].get(value, value))
    if last in _BOXES or name.startswith("holidays."):
        return say(_TICKED if value else _UNTICKED)
    if last in ("office", "assigned_office"):
        return office(value)
    if last == "date":
        return _day(value)
    if name.startswith("days.") and value == CLOSED:
        return say(_CLOSED)
    return person(value) if last == "handler" else value


def _day(text: str) -> str:
    with contextlib.suppress(ValueError):
        return a_short_day(date.fromisoformat(text))
    return text  # whatever else was typed reads as it was typed
