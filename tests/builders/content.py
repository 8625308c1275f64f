"""What is written about a claim in every test that does not say otherwise, as it is sent and as it is read."""

from datetime import date
from typing import Any

from shared.contract.events import ClaimContent
from shared.contract.fields import Address, Cause, Incident, Policyholder

Json = dict[str, Any]

DAY = date(2026, 11, 23)
ADDRESS: Json = {"street": "Strandgata 1", "postal_code": "5004", "city": "Bergen", "country": "NO"}
INCIDENT: Json = {"date": DAY.isoformat(), "cause": "water", "address": ADDRESS}
POLICYHOLDER: Json = {"name": "Anne Berg", "phone": "+4791234567"}
MEDIA: Json = {"name": "tak.jpg", "content_type": "image/jpeg", "size": 5, "sha256": "0" * 64, "key": "signed"}
FIRST_AID: Json = {"kind": "first_aid"}
INSPECTION: Json = {"kind": "inspection"}


def address(**changes: str) -> Address:
    """Where it happened."""
    return Address(**ADDRESS | changes)


def incident(*, day: date = DAY, cause: Cause = Cause.WATER, description: str | None = None, **place: str) -> Incident:
    """What happened; `place` changes parts of the address."""
    return Incident(date=day, cause=cause, address=address(**place), description=description)


def policyholder(**changes: str) -> Policyholder:
    """To whom."""
    return Policyholder(**POLICYHOLDER | changes)


def content(
    *,
    name: str = POLICYHOLDER["name"],
    phone: str = POLICYHOLDER["phone"],
    policy_number: str | None = None,
    day: date = DAY,
    cause: Cause = Cause.WATER,
    **place: str,
) -> ClaimContent:
    """What is written about a claim; `place` changes parts of the address."""
    return ClaimContent(
        incident=incident(day=day, cause=cause, **place),
        policyholder=policyholder(name=name, phone=phone),
        policy_number=policy_number,
    )
