"""What each event changes in what reports are counted from. Pure.

Only what a report counts is kept: no person, no address, no text.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from shared.contract.events import (
    ClaimAmended,
    ClaimCancelled,
    ClaimConverted,
    ClaimEvent,
    ClaimLinked,
    ClaimUnlinked,
    Task,
    TaskAssigned,
    TaskReported,
    TemporaryClaimCreated,
)


class Ending(StrEnum):
    """How a claim stopped being temporary."""

    CONVERTED = "converted"
    LINKED = "linked"
    CANCELLED = "cancelled"


class Gap(Exception):
    """An event is not the claim's next one, so one before it was not seen."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim as its events have made it; of one that was registered as a normal claim only the version counts."""

    claim_id: UUID
    insurer: str
    version: int
    created_at: datetime | None = None
    office: str | None = None
    cause: str | None = None
    """As the claim was created."""
    inside_office_hours: bool | None = None
    ended_as: Ending | None = None
    ended_at: datetime | None = None

    @property
    def temporary(self) -> bool:
        """Whether it waits to be converted, linked or cancelled."""
        return self.created_at is not None and self.ended_as is None


@dataclass(frozen=True, slots=True)
class AssignedTask:
    """A task of a temporary claim."""

    task_id: UUID
    claim_id: UUID
    insurer: str
    assigned_at: datetime


@dataclass(frozen=True, slots=True)
class AmendedCause:
    """Another cause of a temporary claim, from a moment on."""

    claim_id: UUID
    version: int
    insurer: str
    cause: str
    at: datetime


@dataclass(frozen=True, slots=True)
class UndoneLink:
    """A link that was undone: from one moment to the other the claim was linked."""

    claim_id: UUID
    version: int
    insurer: str
    linked_at: datetime
    undone_at: datetime


@dataclass(frozen=True, slots=True)
class RefusedCreation:
    """A creation request that was refused."""

    company: str
    request_id: str
    insurer: str
    at: datetime
    code: str


@dataclass(slots=True)
class Changes:
    """The claims that a batch of events is about, as they were, and all that the events add and change."""

    claims: dict[UUID, Claim]
    incomplete: bool = False
    """Whether claims can be missing: then an event of a claim not met is passed over unless it is the first."""
    created: set[UUID] = field(default_factory=set)
    changed: set[UUID] = field(default_factory=set)
    tasks: list[AssignedTask] = field(default_factory=list)
    reported: dict[UUID, datetime] = field(default_factory=dict)
    """Tasks that were reported on while their claim was temporary, each with the first moment."""
    causes: list[AmendedCause] = field(default_factory=list)
    undone_links: list[UndoneLink] = field(default_factory=list)

    def apply(self, events: Iterable[ClaimEvent]) -> None:
        """Apply each event that is its claim's next one; one that was applied before changes nothing. Raises Gap."""
        for event in events:
            before = self.claims.get(event.claim_id)
            version = 0 if before is None else before.version
            if event.version <= version or (before is None and event.version > 1 and self.incomplete):
                continue
            if event.version > version + 1:
                raise Gap(f"claim {event.claim_id} has event {event.version} after {version or 'none'}")
            (self.created if before is None else self.changed).add(event.claim_id)
            self.claims[event.claim_id] = self._applied(before, event)

    def _applied(self, before: Claim | None, event: ClaimEvent) -> Claim:
        if isinstance(event, TemporaryClaimCreated):
            self._assign(event, event.tasks)
            return Claim(
                claim_id=event.claim_id,
                insurer=event.insurer,
                version=event.version,
                created_at=event.at,
                office=event.office,
                cause=event.incident.cause.value,
                inside_office_hours=event.inside_office_hours,
            )
        if before is None:
            return Claim(event.claim_id, event.insurer, event.version)
        claim = replace(before, version=event.version)
        if isinstance(event, ClaimUnlinked):
            return self._unlinked(claim, event)
        if not before.temporary:
            return claim
        if isinstance(event, TaskAssigned):
            self._assign(event, [event.task])
        elif isinstance(event, TaskReported):
            self.reported.setdefault(event.task_id, event.at)
        elif isinstance(event, ClaimAmended):
            self._amend(event)
        elif isinstance(event, ClaimConverted | ClaimLinked | ClaimCancelled):
            return replace(claim, ended_as=_ENDINGS[type(event)], ended_at=event.at)
        return claim

    def _assign(self, event: ClaimEvent, tasks: Iterable[Task]) -> None:
        self.tasks += [AssignedTask(task.task_id, event.claim_id, event.insurer, event.at) for task in tasks]

    def _amend(self, event: ClaimAmended) -> None:
        if event.after.incident is not None:
            cause = event.after.incident.cause.value
            self.causes.append(AmendedCause(event.claim_id, event.version, event.insurer, cause, event.at))

    def _unlinked(self, claim: Claim, event: ClaimUnlinked) -> Claim:
        if claim.ended_as is not Ending.LINKED or claim.ended_at is None:
            return claim
        undone = UndoneLink(event.claim_id, event.version, event.insurer, claim.ended_at, event.at)
        self.undone_links.append(undone)
        return replace(claim, ended_as=None, ended_at=None)


_ENDINGS: dict[type[ClaimEvent], Ending] = {
    ClaimConverted: Ending.CONVERTED,
    ClaimLinked: Ending.LINKED,
    ClaimCancelled: Ending.CANCELLED,
}
