"""The labels of the forms' fields, and how values read in words, where the form itself cannot be shown. Pure."""

import contextlib
import re
from collections.abc import Callable, Iterable
from datetime import date

from services.portal.words import (
    CAUSES,
    CREATION,
    HOLIDAY_CATEGORIES,
    PERIODS,
    TASK_KINDS,
    WEEKDAYS,
    a_short_day,
    marked,
)

Translate = Callable[[str], str]
"""Translates a text of the catalogue."""

_FIELDS = {
    "incident.date": marked("Skadedato"),
    "incident.cause": marked("Årsak"),
    "incident.description": marked("Beskrivelse"),
    "incident.address.street": marked("Gateadresse"),
    "incident.address.postal_code": marked("Postnummer"),
    "incident.address.city": marked("Poststed"),
    "policyholder.name": marked("Navn"),
    "policyholder.phone": marked("Telefon"),
    "policyholder.email": marked("E-post"),
    "policy_number": marked("Polisenummer"),
    "partner_reference": marked("Partnerens referanse"),
    "claim_number": marked("Skadenummer"),
    "assigned_office": marked("Tildel saken til kontor"),
    "tasks.#.kind": marked("Oppgave %(number)s"),
    "tasks.#.office": marked("Kontor for oppgave %(number)s"),
    "handler": marked("Saksbehandler"),
    "reason": marked("Begrunnelse"),
    "kind": marked("Oppgave"),
    "office": marked("Kontor"),
    "amount": marked("Beløp"),
    "currency": marked("Valuta"),
    "text": marked("Rapport"),
    "media.#.name": marked("Vedlagt:"),
    "finished": marked("Oppgaven er ferdig"),
    "creation": marked("Har tillatelse til å opprette midlertidige saker"),
    "may_assign_to_others": marked("Kan tildele oppgaver til andre partneres kontorer"),
    "may_define_claim_number": marked("Kan bestemme skadenummer"),
    "time_zone": marked("Tidssone"),
    "country": marked("Land (for helligdager)"),
    "subdivision": marked("Del av landet"),
    "days.#.date": marked("Dato %(number)s"),
    "days.#.opens": marked("Dato %(number)s, åpner"),
    "days.#.closes": marked("Dato %(number)s, stenger"),
    "enhanced_function": marked("Forbedret funksjon"),
    "inspection_needs_budget": marked("Besiktigelser krever godkjent budsjett"),
    "report_period": marked("Rapport over midlertidige saker"),
    "unlink_days": marked("Dager en tilknytning kan oppheves"),
    "forget_after_days": marked("Dager før personopplysninger slettes for godt (0: aldri)"),
}
_PARTS_OF_A_DAY = {"opens": marked("åpner"), "closes": marked("stenger")}
_CHOICES = {"cause": CAUSES, "kind": TASK_KINDS, "creation": CREATION, "report_period": PERIODS}
CLOSED = "closed"
"""What a day of its own reads where it has no hours."""
_CLOSED = marked("stengt")
_TICKED, _UNTICKED = marked("ja"), marked("nei")
_USUAL = marked("Som vanlig i landet")
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


def label(name: str, translate: Translate) -> str | None:
    """A field's label; None for a hidden field."""
    *path, last = name.split(".")
    if path[:1] == ["office_hours"]:
        weekday, part = WEEKDAYS.get(path[-1]), _PARTS_OF_A_DAY.get(last)
        return f"{translate(weekday)}, {translate(part)}" if weekday and part else None
    if path == ["holidays"]:
        return translate(_USUAL if last == "usual" else HOLIDAY_CATEGORIES.get(last, last))
    if path == ["days"]:
        return _day(last)
    number = next((int(part) for part in path if part.isdecimal()), 0)
    text = _FIELDS.get(".".join("#" if part.isdecimal() else part for part in (*path, last)))
    return translate(text).replace("%(number)s", str(number + 1)) if text is not None else None


def readable(
    typed: Iterable[tuple[str, str]], translate: Translate, office: Callable[[str], str], person: Callable[[str], str]
) -> list[tuple[str, str]]:
    """What was typed, by the fields' labels; what was left empty is left out."""
    labelled = ((label(name, translate), name, value) for name, value in typed if value)
    return [(text, reading(name, value, translate, office, person)) for text, name, value in labelled if text]


def reading(
    name: str, value: str, translate: Translate, office: Callable[[str], str], person: Callable[[str], str]
) -> str:
    """How a field's value reads."""
    last = name.rsplit(".", 1)[-1]
    if last in _CHOICES and value:
        return translate(_CHOICES[last].get(value, value))
    if last in _BOXES or name.startswith("holidays."):
        return translate(_TICKED if value else _UNTICKED)
    if last in ("office", "assigned_office"):
        return office(value)
    if last == "date":
        return _day(value)
    if name.startswith("days.") and value == CLOSED:
        return translate(_CLOSED)
    return person(value) if last == "handler" else value


def _day(text: str) -> str:
    with contextlib.suppress(ValueError):
        return a_short_day(date.fromisoformat(text))
    return text  # whatever else was typed reads as it was typed
