"""Events of claims, and their records."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
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
    ClaimRedacted,
    ClaimRegistered,
    ClaimUnlinked,
    Task,
    TemporaryClaimCreated,
)
from shared.contract.fields import Actor, TaskKind
from shared.contract.topics import CLAIM_EVENTS
from shared.messaging.memory import MemoryRecord
from tests.builders.content import content
from tests.builders.moments import TUESDAY_EVENING
from tests.builders.records import record_of
from tests.builders.requests import FJORD, VEST, VEST_BERGEN


def about(
    claim: UUID,
    version: int = 1,
    *,
    insurer: str = FJORD,
    company: str = VEST,
    audience: Sequence[str] | None = None,
    at: datetime = TUESDAY_EVENING,
) -> dict[str, Any]:
    """What every event says; by default the insurer and the company that did it may see it."""
    return {
        "claim_id": claim,
        "version": version,
        "insurer": insurer,
        "at": at,
        "actor": Actor(company=company),
        "audience": sorted({insurer, company} if audience is None else set(audience)),
    }


def task(
    *,
    id: UUID | None = None,
    kind: TaskKind = TaskKind.FIRST_AID,
    office: str = VEST_BERGEN,
    company: str = VEST,
    needs_budget: bool = False,
) -> Task:
    """A task of an office; its id is a new one each time."""
    return Task(task_id=id or uuid4(), kind=kind, office=office, company=company, needs_budget=needs_budget)


def created(
    claim: UUID,
    *,
    number: str = "Midlertidig 1",
    office: str = VEST_BERGEN,
    company: str = VEST,
    tasks: Sequence[Task] = (),
    written: ClaimContent | None = None,
    inside_office_hours: bool = False,
    time_zone: str = "Europe/Oslo",
    **more: Any,
) -> TemporaryClaimCreated:
    """A temporary claim comes into being; more is for `about`."""
    return TemporaryClaimCreated(
        **about(claim, company=company, **more),
        **dict(written or content()),
        claim_number=number,
        company=company,
        office=office,
        tasks=list(tasks),
        inside_office_hours=inside_office_hours,
        time_zone=time_zone,
    )


def registered(
    claim: UUID,
    *,
    number: str = "F-1",
    handler: str = "kari-holm",
    written: ClaimContent | None = None,
    **more: Any,
) -> ClaimRegistered:
    """A normal claim comes into being; more is for `about`."""
    return ClaimRegistered(
        **about(claim, **more),
        **{name: part for name, part in dict(written or content()).items() if name != "partner_reference"},
        claim_number=number,
        handler=handler,
        time_zone="Europe/Oslo",
    )


def converted(
    claim: UUID, version: int = 2, *, number: str = "F-1", previous: str = "Midlertidig 1", **more: Any
) -> ClaimConverted:
    """A temporary claim becomes a normal one; more is for `about`."""
    return ClaimConverted(
        **about(claim, version, **more), claim_number=number, previous_claim_number=previous, handler="kari-holm"
    )


@dataclass
class ClaimHistory:
    """A claim whose events are made one after the other."""

    insurer: str = FJORD
    id: UUID = field(default_factory=uuid4)
    version: int = 0

    def created(self, written: ClaimContent | None = None) -> TemporaryClaimCreated:
        return created(number=f"Midlertidig {self.id.hex[:8]}", written=written, **self._next())

    def registered(self, written: ClaimContent | None = None) -> ClaimRegistered:
        return registered(number=f"2026-{self.id.hex[:8]}", written=written, **self._next())

    def converted(self) -> ClaimConverted:
        return converted(number=f"2026-{self.id.hex[:8]}", **self._next())

    def amended(self, **after: Any) -> ClaimAmended:
        return ClaimAmended(**about(**self._next()), before=ClaimContent(), after=ClaimContent(**after))

    def cancelled(self) -> ClaimCancelled:
        return ClaimCancelled(**about(**self._next()))

    def redacted(self) -> ClaimRedacted:
        return ClaimRedacted(**about(**self._next()))

    def linked(self, target: UUID) -> ClaimLinked:
        return ClaimLinked(**about(**self._next()), link_id=uuid4(), target_claim_id=target)

    def unlinked(self, target: UUID) -> ClaimUnlinked:
        return ClaimUnlinked(**about(**self._next()), link_id=uuid4(), target_claim_id=target, tasks=[])

    def _next(self) -> dict[str, Any]:
        self.version += 1
        return {"claim": self.id, "version": self.version, "insurer": self.insurer, "audience": [self.insurer]}


def record(event: ClaimEvent, reader: str | None = None) -> MemoryRecord:
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
