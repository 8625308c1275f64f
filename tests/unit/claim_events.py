"""Events of claims as suggestions reads them, and their records."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID, uuid4

from shared.contract.envelope import outgoing
from shared.contract.events import (
    ClaimAmended,
    ClaimCancelled,
    ClaimContent,
    ClaimConverted,
    ClaimEvent,
    ClaimLinked,
    ClaimRegistered,
    ClaimUnlinked,
    TemporaryClaimCreated,
)
from shared.contract.fields import Actor, Address, Cause, Incident, Policyholder
from shared.contract.topics import CLAIM_EVENTS
from tests.unit.commands import INSURER, PLUMBER, PLUMBER_OFFICE, KafkaRecord, record_of

AT = datetime(2026, 11, 24, 16, 12, tzinfo=UTC)
DAY = date(2026, 11, 23)


def content(
    *,
    name: str = "Anne Berg",
    phone: str = "+4791234567",
    street: str = "Strandgata 1",
    postal_code: str = "5004",
    day: date = DAY,
    cause: Cause = Cause.WATER,
    policy_number: str | None = None,
) -> ClaimContent:
    """Make what is written about a claim: by default all is the same each time."""
    return ClaimContent(
        incident=Incident(
            date=day, cause=cause, address=Address(street=street, postal_code=postal_code, city="Bergen")
        ),
        policyholder=Policyholder(name=name, phone=phone),
        policy_number=policy_number,
    )


@dataclass
class Told:
    """A claim whose events are told one after the other."""

    insurer: str = INSURER
    id: UUID = field(default_factory=uuid4)
    version: int = 0

    def created(self, written: ClaimContent | None = None) -> TemporaryClaimCreated:
        return TemporaryClaimCreated(
            **self._next(),
            **dict(written or content()),
            claim_number=f"Midlertidig {self.id.hex[:8]}",
            company=PLUMBER,
            office=PLUMBER_OFFICE,
            tasks=[],
            inside_office_hours=False,
            time_zone="Europe/Oslo",
        )

    def registered(self, written: ClaimContent | None = None) -> ClaimRegistered:
        return ClaimRegistered(
            **self._next(),
            **{name: part for name, part in dict(written or content()).items() if name != "partner_reference"},
            claim_number=f"2026-{self.id.hex[:8]}",
            handler="kari-holm",
            time_zone="Europe/Oslo",
        )

    def converted(self) -> ClaimConverted:
        number = f"2026-{self.id.hex[:8]}"
        return ClaimConverted(
            **self._next(), claim_number=number, previous_claim_number="Midlertidig", handler="kari-holm"
        )

    def amended(self, **after: Any) -> ClaimAmended:
        return ClaimAmended(**self._next(), before=ClaimContent(), after=ClaimContent(**after))

    def cancelled(self) -> ClaimCancelled:
        return ClaimCancelled(**self._next())

    def linked(self, target: UUID) -> ClaimLinked:
        return ClaimLinked(**self._next(), link_id=uuid4(), target_claim_id=target)

    def unlinked(self, target: UUID) -> ClaimUnlinked:
        return ClaimUnlinked(**self._next(), link_id=uuid4(), target_claim_id=target, tasks=[])

    def _next(self) -> dict[str, Any]:
        self.version += 1
        return {
            "claim_id": self.id,
            "version": self.version,
            "insurer": self.insurer,
            "at": AT,
            "actor": Actor(company=self.insurer),
            "audience": [self.insurer],
        }


def record(event: ClaimEvent, reader: str | None = None) -> KafkaRecord:
    """Read an event back as claims publishes it."""
    message = outgoing(
        CLAIM_EVENTS.name,
        event.claim_id,
        event,
        id=f"{event.claim_id}/{event.version}",
        source="claims",
        cause=f"request of {event.claim_id}/{event.version}",
        republished_for=reader,
    )
    return record_of(message)
