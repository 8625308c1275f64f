"""What a correction changed, field by field, as *Historikk* shows it (domain rule 14). Pure."""

from dataclasses import dataclass
from typing import Any

from services.portal.phones import shown
from services.portal.words import marked
from shared.contract.events import ClaimAmended, ClaimContent

_PHONE = "policyholder.phone"
_FIELDS = {
    "incident.date": marked("Skadedato"),
    "incident.cause": marked("Årsak"),
    "incident.address": marked("Skadested"),
    "incident.description": marked("Beskrivelse"),
    "policyholder.name": marked("Navn"),
    _PHONE: marked("Telefon"),
    "policyholder.email": marked("E-post"),
    "policy_number": marked("Polisenummer"),
    "partner_reference": marked("Partnerens referanse"),
}


@dataclass(frozen=True)
class Correction:
    """A field that is not what it was; None is what was not written."""

    field: str
    """Its name on the page, in Norwegian."""
    before: Any
    after: Any


def corrections(amended: ClaimAmended) -> list[Correction]:
    """What was corrected, in the order of the claim's page; a part that was not sent is as it was."""
    found = []
    for path, field in _FIELDS.items():
        part = path.partition(".")[0]
        if part in amended.after.model_fields_set:
            before, after = _at(amended.before, path), _at(amended.after, path)
            if before != after:
                found.append(Correction(field, before, after))
    return found


def _at(content: ClaimContent, path: str) -> Any:
    value: Any = content
    for name in path.split("."):
        value = getattr(value, name, None)
    return shown(value) if path == _PHONE and value else value
