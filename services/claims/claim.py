"""A claim, and what each event makes of it. Pure."""

from datetime import date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from shared.contract.events import (
    BudgetApproved,
    ClaimAmended,
    ClaimCancelled,
    ClaimConverted,
    ClaimEvent,
    ClaimRegistered,
    Task,
    TaskAssigned,
    TaskReported,
    TemporaryClaimCreated,
)
from shared.contract.fields import Incident, Message, Policyholder


class State(StrEnum):
    """Where a claim is in its life (domain: Words)."""

    TEMPORARY = "temporary"
    NORMAL = "normal"
    CANCELLED = "cancelled"


class ClaimTask(Task):
    """A task, and how far it is."""

    budget_approved: bool = False
    reports: int = 0
    finished: bool = False

    @property
    def waits_for_budget(self) -> bool:
        """Whether reporting has to wait for the insurer's approval (domain rule 11)."""
        return self.needs_budget and not self.budget_approved


class Claim(Message):
    """A claim as its events have made it."""

    id: UUID
    version: int
    state: State
    insurer: str
    claim_number: str
    incident: Incident
    policyholder: Policyholder
    time_zone: str
    handler: str | None = None
    company: str | None = None
    """The creating company of a temporary claim, with its office."""
    office: str | None = None
    assigned_company: str | None = None
    assigned_office: str | None = None
    policy_number: str | None = None
    partner_reference: str | None = None
    tasks: tuple[ClaimTask, ...] = ()

    @property
    def audience(self) -> list[str]:
        """The companies that may see it: the insurer, the creator, those with an office assigned (domain rule 10)."""
        partners = {self.company, self.assigned_company, *(task.company for task in self.tasks)}
        return sorted({self.insurer, *(partner for partner in partners if partner)})

    def task(self, id: UUID) -> ClaimTask | None:
        """Find a task."""
        return next((task for task in self.tasks if task.task_id == id), None)

    def offices_of(self, company: str) -> list[str]:
        """A company's offices on the claim: the creating one first, then the assigned one, then those of its tasks."""
        offices = [(self.company, self.office), (self.assigned_company, self.assigned_office)]
        offices += [(task.company, task.office) for task in self.tasks]
        return [office for owner, office in offices if owner == company and office]

    def local_date(self, at: datetime) -> date:
        """Tell the insurer's date at a moment."""
        return at.astimezone(ZoneInfo(self.time_zone)).date()


def apply(claim: Claim | None, event: ClaimEvent) -> Claim:
    """Make an event's change; the first event makes the claim."""
    if isinstance(event, TemporaryClaimCreated | ClaimRegistered):
        return _made_by(event)
    if claim is None or event.version != claim.version + 1:
        raise ValueError(f"event {event.version} does not follow on {claim and claim.version}")
    return claim.model_copy(update={"version": event.version, **_changes(claim, event)})


def _made_by(event: TemporaryClaimCreated | ClaimRegistered) -> Claim:
    claim = Claim(
        id=event.claim_id,
        version=event.version,
        state=State.NORMAL,
        insurer=event.insurer,
        claim_number=event.claim_number,
        incident=event.incident,
        policyholder=event.policyholder,
        policy_number=event.policy_number,
        time_zone=event.time_zone,
    )
    if isinstance(event, ClaimRegistered):
        return claim.model_copy(update={"handler": event.handler})
    return claim.model_copy(
        update={
            "state": State.TEMPORARY,
            "company": event.company,
            "office": event.office,
            "assigned_company": event.assigned_company,
            "assigned_office": event.assigned_office,
            "partner_reference": event.partner_reference,
            "tasks": tuple(_new(task) for task in event.tasks),
        }
    )


def _changes(claim: Claim, event: ClaimEvent) -> dict[str, Any]:
    if isinstance(event, TaskAssigned):
        return {"tasks": (*claim.tasks, _new(event.task))}
    if isinstance(event, TaskReported):
        return _with_task(
            claim, event.task_id, lambda t: {"reports": t.reports + 1, "finished": t.finished or event.report.finished}
        )
    if isinstance(event, BudgetApproved):
        return _with_task(claim, event.task_id, lambda _: {"budget_approved": True})
    if isinstance(event, ClaimConverted):
        return {"state": State.NORMAL, "claim_number": event.claim_number, "handler": event.handler}
    if isinstance(event, ClaimAmended):
        return {name: getattr(event.after, name) for name in event.after.model_fields_set}
    if isinstance(event, ClaimCancelled):
        return {"state": State.CANCELLED}
    raise TypeError(f"{event.NAME} changes nothing yet")


def _new(task: Task) -> ClaimTask:
    return ClaimTask(**dict(task))


def _with_task(claim: Claim, id: UUID, change: Any) -> dict[str, Any]:
    return {
        "tasks": tuple(task.model_copy(update=change(task)) if task.task_id == id else task for task in claim.tasks)
    }
