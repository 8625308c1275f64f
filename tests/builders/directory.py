"""A directory of two insurers and two partners, their offices and users, and what becomes of it."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache

from services.permissions.directory_rules import settle
from shared.contract.commands import CheckedRequest
from shared.contract.directory_events import DirectoryEvent, SettingsRequestRefused
from shared.contract.requests import SetPortalSettings
from shared.domain.directory import Directory, SettledRequest
from shared.domain.portal_settings import PortalSettings
from tests.builders.requests import (
    FJORD,
    FJORD_OSLO,
    NORD,
    NORD_TROMSO,
    NORDLYS,
    VEST,
    VEST_BERGEN,
    VEST_VOSS,
    Json,
    asks,
)

REGISTERED = datetime(2026, 1, 1, tzinfo=UTC)
"""When `registered()` was told everything that it knows."""

REGISTRATIONS: list[tuple[str, Json]] = [
    ("register-company", {"id": FJORD, "name": "Fjord Forsikring", "kind": "insurer"}),
    ("register-company", {"id": NORDLYS, "name": "Nordlys Forsikring", "kind": "insurer"}),
    ("register-company", {"id": VEST, "name": "Vest Skadeservice", "kind": "partner"}),
    ("register-company", {"id": NORD, "name": "Nord Rør", "kind": "partner"}),
    ("register-office", {"id": VEST_BERGEN, "company": VEST, "name": "Bergen"}),
    ("register-office", {"id": VEST_VOSS, "company": VEST, "name": "Voss"}),
    ("register-office", {"id": NORD_TROMSO, "company": NORD, "name": "Tromsø"}),
    ("register-office", {"id": FJORD_OSLO, "company": FJORD, "name": "Oslo"}),
    ("register-user", {"id": "kari-holm", "company": FJORD, "name": "Kari Holm", "authorisation_level": 6}),
    ("register-user", {"id": "liv-berg", "company": NORDLYS, "name": "Liv Berg", "authorisation_level": 3}),
]
"""The operator's requests for two insurers and two partners, with offices and users."""


def directory_event(
    event: type[DirectoryEvent], company: str, request_id: str, *, at: datetime = REGISTERED, **more: object
) -> DirectoryEvent:
    """Read a message of `directory` from its JSON; `at` is when it was asked for."""
    about = {
        "company": company,
        "request_id": request_id,
        "request_type": "claimbus.any.v1",
        "requested_at": at.isoformat(),
    }
    return event.model_validate_json(json.dumps(about | more))


def settled_request(event: DirectoryEvent, at: datetime) -> SettledRequest:
    """What the directory remembers of a request that this message settled at this moment."""
    if not isinstance(event, SettingsRequestRefused):
        return SettledRequest(event.request_type, event.requested_at, at)
    details = None if event.details is None else tuple(event.details)
    return SettledRequest(event.request_type, event.requested_at, at, event.code, details)


def applied(
    directory: Directory,
    company: str,
    name: str,
    body: object = None,
    *,
    at: datetime,
    id: str = "",
) -> DirectoryEvent:
    """Settle a request about the directory and apply the event at the same moment, as the service does."""
    event = settle(directory, asks(company, name, body, at=at, id=id))
    directory.apply(event, at)
    return event


def takes_effect(directory: Directory, company: str, name: str, body: object, *, at: datetime = REGISTERED) -> None:
    """Settle a request about the directory that is not refused."""
    event = applied(directory, company, name, body, at=at)
    assert not isinstance(event, SettingsRequestRefused), event


def registered() -> Directory:
    """Build a directory of two insurers and two partners; no office has been given anything."""
    directory = Directory()
    for event in _registrations():
        directory.apply(event, REGISTERED)
    return directory


@cache
def _registrations() -> tuple[DirectoryEvent, ...]:
    directory = Directory()
    return tuple(applied(directory, "operator", name, body, at=REGISTERED) for name, body in REGISTRATIONS)


def permitted(creation: str = "always", **rights: bool) -> Directory:
    """Build a directory where Fjord gives Vest's office in Bergen a permission, and rights if any are named."""
    directory = registered()
    if rights:
        takes_effect(directory, FJORD, "set-portal-settings", {"enhanced_function": True})
    takes_effect(directory, FJORD, "set-office-permission", {"office": VEST_BERGEN, "creation": creation, **rights})
    return directory


def settings_of(*requests: Mapping[str, object]) -> PortalSettings:
    """An insurer's settings after requests with these bodies."""
    portal = PortalSettings()
    for request in requests:
        portal = portal.changed_by(SetPortalSettings.model_validate_json(json.dumps(request)))
    return portal


def code_of(answer: CheckedRequest | DirectoryEvent) -> str | None:
    """The code of a refusal as it is sent, or None."""
    if isinstance(answer, SettingsRequestRefused):
        return str(answer.code.value)
    if isinstance(answer, CheckedRequest) and answer.refusal:
        return str(answer.refusal.code.value)
    return None


def fields_of(answer: CheckedRequest | DirectoryEvent) -> list[str]:
    """The fields that a refusal complains about."""
    if isinstance(answer, SettingsRequestRefused):
        return [detail.field for detail in answer.details or ()]
    if isinstance(answer, CheckedRequest) and answer.refusal:
        return [detail.field for detail in answer.refusal.details or ()]
    return []
