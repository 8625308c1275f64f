"""Requests, as bodies, as messages, and as what permissions and companies make of them."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from operations.bus import NewRequest
from services.permissions.received import ReceivedRequest
from shared.contract.envelope import read_envelope
from tests.builders.content import INCIDENT, MEDIA, POLICYHOLDER

Json = dict[str, Any]

FJORD, NORDLYS = "fjord-forsikring", "nordlys-forsikring"
VEST, NORD = "vest-skadeservice", "nord-ror"
VEST_BERGEN, VEST_VOSS, NORD_TROMSO = "vest-bergen", "vest-voss", "nord-tromso"
FJORD_OSLO = "fjord-oslo"
CLAIM = "0b0f6f0c-6f0e-5d9a-8a53-111111111111"
TASK = "0b0f6f0c-6f0e-5d9a-8a53-222222222222"
HOURS: Json = {"opens": "08:00", "closes": "16:00"}

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
    "redact-claim": {"claim_id": CLAIM},
    "republish-claim": {"claim_id": CLAIM, "reader": "reporting"},
    "link-claim": {"claim_id": CLAIM, "target_claim_number": "2026-16"},
    "unlink-claim": {"claim_id": CLAIM},
    "approve-budget": {"claim_id": CLAIM, "task_id": TASK, "amount": "12000.50", "currency": "NOK"},
    "set-office-permission": {"office": VEST_BERGEN, "creation": "outside_office_hours"},
    "set-portal-settings": {"time_zone": "Europe/Oslo"},
    "register-company": {"id": "sor-takst", "name": "Sør Takst", "kind": "partner"},
    "register-office": {"id": VEST_BERGEN, "company": VEST, "name": "Bergen"},
    "register-user": {"id": "ola-vik", "company": VEST, "name": "Ola Vik", "authorisation_level": 2},
    "remove-company": {"id": VEST},
    "remove-office": {"id": VEST_BERGEN, "company": VEST},
    "remove-user": {"id": "ola-vik", "company": VEST},
}
"""A well-formed body for each request of the contract."""

_written: Json = {
    "incident": INCIDENT | {"description": "Vann."},
    "policyholder": POLICYHOLDER | {"email": "anne@example.no"},
    "policy_number": "123",
}
FULL: dict[str, Json] = BODIES | {
    "create-temporary-claim": {
        **BODIES["create-temporary-claim"],
        **_written,
        "claim_number": "2026-17",
        "partner_reference": "Ordre 17",
        "assigned_office": VEST_VOSS,
        "tasks": [{"kind": "first_aid", "office": VEST_VOSS}],
    },
    "assign-task": BODIES["assign-task"] | {"kind": "inspection", "office": VEST_BERGEN},
    "report-task": BODIES["report-task"] | {"media": [MEDIA], "finished": True},
    "register-claim": BODIES["register-claim"] | _written,
    "amend-claim": {"claim_id": CLAIM, **_written, "partner_reference": "Ordre 17"},
    "republish-claim": BODIES["republish-claim"] | {"refused": {"company": VEST, "request_id": "r-1"}},
    "set-office-permission": {
        "office": VEST_BERGEN,
        "creation": "always",
        "may_assign_to_others": True,
        "may_define_claim_number": False,
    },
    "set-portal-settings": {
        "time_zone": "Europe/Oslo",
        "country": "SE",
        "subdivision": "AB",
        "holiday_categories": ["public", "de_facto"],
        "office_hours": {"mon": HOURS, "sat": None},
        "closed_days": ["2026-12-24"],
        "special_hours": {"2026-12-23": HOURS, "2026-12-31": None},
        "enhanced_function": True,
        "inspection_needs_budget": False,
        "report_period": "monthly",
        "unlink_days": 30,
        "forget_after_days": 365,
    },
    "register-company": BODIES["register-company"] | {"token_sha256": "0" * 64},
    "register-user": BODIES["register-user"] | {"office": VEST_BERGEN, "email": "ola@vest.no"},
}
"""The same with everything that each can say."""

_ids = (f"request-{n}" for n in count(1))


def body_of(name: str, **changes: object) -> Json:
    """Write the body of a request; a change to None leaves the field out."""
    return {field: value for field, value in (BODIES[name] | changes).items() if value is not None}


def creation(**changes: object) -> Json:
    """Write the body of a request to create a temporary claim; a change to None leaves the field out."""
    return body_of("create-temporary-claim", **changes)


def incident_of_yesterday(**changes: Any) -> Json:
    """Write an incident that has happened for services whose clock is the real one."""
    return INCIDENT | {"date": (datetime.now(UTC).date() - timedelta(days=1)).isoformat()} | changes


def new_request(name: str, *, id: str | None = None, **changes: object) -> NewRequest:
    """Make a request for a company to send, about an incident of yesterday; see `body_of`."""
    now = {"incident": incident_of_yesterday()} if "incident" in BODIES[name] else {}
    body = body_of(name, **now | changes)
    return NewRequest(name, body) if id is None else NewRequest(name, body, id=id)


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
