"""A directory to test with, and requests as they arrive: an insurer, two partners, their offices and users."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from services.permissions.directory_rules import settle
from services.permissions.received import ReceivedRequest
from shared.contract.commands import CheckedRequest
from shared.contract.directory_events import DirectoryEvent, SettingsRequestRefused
from shared.contract.envelope import read_envelope
from shared.contract.requests import SetPortalSettings
from shared.domain.directory import Directory, SettledRequest
from shared.domain.portal_settings import PortalSettings

Json = dict[str, Any]

FJORD, NORDLYS = "fjord-forsikring", "nordlys-forsikring"
VEST, NORD = "vest-skadeservice", "nord-ror"
VEST_BERGEN, VEST_VOSS, NORD_TROMSO = "vest-bergen", "vest-voss", "nord-tromso"
FJORD_OSLO = "fjord-oslo"
CLAIM = "0b0f6f0c-6f0e-5d9a-8a53-111111111111"
TASK = "0b0f6f0c-6f0e-5d9a-8a53-222222222222"

REGISTERED = datetime(2026, 1, 1, tzinfo=UTC)
"""When `registered()` was told everything that it knows."""

INCIDENT: Json = {
    "date": "2026-11-24",
    "cause": "water",
    "address": {"street": "Bryggen 1", "postal_code": "5003", "city": "Bergen"},
}
POLICYHOLDER: Json = {"name": "Åse Dahl", "phone": "+4791234567"}

BODIES: dict[str, Json] = {
    "create-temporary-claim": {
        "insurer": FJORD,
        "office": VEST_BERGEN,
        "incident": INCIDENT,
        "policyholder": POLICYHOLDER,
    },
    "assign-task": {"claim_id": CLAIM, "kind": "first_aid"},
    "report-task": {"claim_id": CLAIM, "task_id": TASK, "text": "Tørket."},
    "register-claim": {
        "claim_number": "2026-17",
        "handler": "kari-holm",
        "incident": INCIDENT,
        "policyholder": POLICYHOLDER,
    },
    "convert-to-normal": {"claim_id": CLAIM, "claim_number": "2026-17", "handler": "kari-holm"},
    "amend-claim": {"claim_id": CLAIM, "policyholder": POLICYHOLDER},
    "cancel-claim": {"claim_id": CLAIM, "reason": "A hoax."},
    "republish-claim": {"claim_id": CLAIM, "reader": "reporting"},
    "link-claim": {"claim_id": CLAIM, "target_claim_number": "2026-16"},
    "unlink-claim": {"claim_id": CLAIM},
    "approve-budget": {"claim_id": CLAIM, "task_id": TASK, "amount": "12000.50", "currency": "NOK"},
    "set-office-permission": {"office": VEST_BERGEN, "creation": "outside_office_hours"},
    "set-portal-settings": {"time_zone": "Europe/Oslo"},
    "register-company": {"id": "sor-takst", "name": "Sør Takst", "kind": "partner"},
    "register-office": {"id": VEST_BERGEN, "company": VEST, "name": "Bergen"},
    "register-user": {"id": "ola-vik", "company": VEST, "name": "Ola Vik", "authorisation_level": 2},
}
"""A well-formed body for each request of the contract."""

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""For property tests, which must not fail because the machine is busy."""


def answer_of(event: DirectoryEvent, at: datetime) -> SettledRequest:
    """Tell what the directory remembers of a request that it answered with this message at this moment."""
    if not isinstance(event, SettingsRequestRefused):
        return SettledRequest(event.request_type, event.requested_at, at)
    details = None if event.details is None else tuple(event.details)
    return SettledRequest(event.request_type, event.requested_at, at, event.code, details)


_ids = (f"request-{n}" for n in count(1))


def oslo(local: str) -> datetime:
    """Tell the moment, in UTC, that Oslo's clocks show like this."""
    return datetime.fromisoformat(local).replace(tzinfo=ZoneInfo("Europe/Oslo")).astimezone(UTC)


def utc_moments(first: int, last: int) -> st.SearchStrategy[datetime]:
    """Draw any moment of these years, to the microsecond."""
    begins, ends = datetime(first, 1, 1), datetime(last, 12, 31, 23, 59, 59, 999999)  # noqa: DTZ001 - hypothesis asks
    return st.datetimes(begins, ends, timezones=st.just(UTC))


def headers_of(request_type: str, id: str = "request", **more: str) -> list[tuple[str, bytes]]:
    """Write a request's Kafka headers in binary mode; more CloudEvents attributes by name, without `ce_`."""
    attributes = {"specversion": "1.0", "id": id, "source": "/test", "type": request_type, **more}
    headers = [(f"ce_{name}", text.encode()) for name, text in attributes.items()]
    return [*headers, ("content-type", b"application/json")]


def asks_with_bytes(
    company: str,
    request_type: str,
    value: bytes | None,
    *,
    at: datetime,
    id: str = "",
    headers: Iterable[tuple[str, bytes]] = (),
) -> ReceivedRequest:
    """Let a company send this value with this CloudEvents type, appended at a moment."""
    sent = [*headers_of(request_type, id or next(_ids)), *headers]
    return ReceivedRequest(company, at, read_envelope(sent, value))


def asks(
    company: str,
    name: str,
    body: object = None,
    *,
    at: datetime,
    id: str = "",
    headers: Iterable[tuple[str, bytes]] = (),
) -> ReceivedRequest:
    """Let a company send a request of the contract; without a body, a well-formed one."""
    value = json.dumps(BODIES[name] if body is None else body).encode()
    return asks_with_bytes(company, f"claimbus.{name}.v1", value, at=at, id=id, headers=headers)


def creation(**changes: object) -> Json:
    """Write the body of a request to create a temporary claim; a change to None leaves the field out."""
    body = {**BODIES["create-temporary-claim"], **changes}
    return {field: value for field, value in body.items() if value is not None}


def answers(
    directory: Directory,
    company: str,
    name: str,
    body: object = None,
    *,
    at: datetime,
    id: str = "",
) -> DirectoryEvent:
    """Settle a request about the directory and append the answer at the same moment, as the service does."""
    event = settle(directory, asks(company, name, body, at=at, id=id))
    directory.apply(event, at)
    return event


def takes_effect(directory: Directory, company: str, name: str, body: object, *, at: datetime = REGISTERED) -> None:
    """Settle a request about the directory that is not refused."""
    event = answers(directory, company, name, body, at=at)
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
    requests: list[tuple[str, Json]] = [
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
    return tuple(answers(directory, "operator", name, body, at=REGISTERED) for name, body in requests)


def permitted(creation: str = "always", **rights: bool) -> Directory:
    """Build a directory where Fjord gives Vest's office in Bergen a permission, and rights if any are named."""
    directory = registered()
    if rights:
        takes_effect(directory, FJORD, "set-portal-settings", {"enhanced_function": True})
    takes_effect(directory, FJORD, "set-office-permission", {"office": VEST_BERGEN, "creation": creation, **rights})
    return directory


def settings_of(*requests: Mapping[str, object]) -> PortalSettings:
    """Tell an insurer's settings after requests with these bodies."""
    portal = PortalSettings()
    for request in requests:
        portal = portal.changed_by(SetPortalSettings.model_validate_json(json.dumps(request)))
    return portal


def code_of(answer: CheckedRequest | DirectoryEvent) -> str | None:
    """Tell the code of a refusal as it is sent, or None."""
    if isinstance(answer, SettingsRequestRefused):
        return str(answer.code.value)
    if isinstance(answer, CheckedRequest) and answer.refusal:
        return str(answer.refusal.code.value)
    return None


def fields_of(answer: CheckedRequest | DirectoryEvent) -> list[str]:
    """Tell the fields that a refusal complains about."""
    if isinstance(answer, SettingsRequestRefused):
        return [detail.field for detail in answer.details or ()]
    if isinstance(answer, CheckedRequest) and answer.refusal:
        return [detail.field for detail in answer.refusal.details or ()]
    return []
