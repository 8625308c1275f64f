"""Outcomes, as claims publishes them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from shared.contract.codes import Code
from shared.contract.outcomes import RequestAccepted, RequestRefused
from tests.builders.moments import TUESDAY_EVENING


def accepted(
    company: str,
    request_id: str,
    claim_id: UUID | None = None,
    *,
    name: str = "create-temporary-claim",
    at: datetime = TUESDAY_EVENING,
    **more: Any,
) -> RequestAccepted:
    """The outcome of a request that took effect."""
    return RequestAccepted(**_about(company, request_id, name, at), claim_id=claim_id, **more)


def refused(
    company: str,
    request_id: str,
    code: Code,
    *,
    name: str = "create-temporary-claim",
    at: datetime = TUESDAY_EVENING,
    **more: Any,
) -> RequestRefused:
    """The outcome of a request that did not."""
    return RequestRefused(**_about(company, request_id, name, at), code=code, message=code.message, **more)


def _about(company: str, request_id: str, name: str, at: datetime) -> dict[str, Any]:
    return {
        "company": company,
        "request_id": request_id,
        "request_type": f"claimbus.{name}.v1",
        "requested_at": at,
    }
