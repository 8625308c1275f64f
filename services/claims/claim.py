"""A claim, and what each event makes of it. Pure."""

from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from shared.contract.events import (
    BudgetApproved,
    ClaimAmended,
    ClaimCancelled,
    ClaimConverted,
    ClaimEvent,
    ClaimLinked,
    ClaimRedacted,
    ClaimRegistered,
    ClaimUnlinked,
    ContentImported,
    ContentWithdrawn,
    ImportedReport,
    ImportedTask,
    LinkFailed,
    LinkStarted,
    Report,
    Task,
    TaskAssigned,
    TaskReported,
    TemporaryClaimCreated,
    UnlinkStarted,
)
from shared.contract.fields import Incident, Message, Moment, Personal, Policyholder
from shared.contract.redaction import redacted
from shared.domain.clock import latest_date

MAX_TASKS = 1000
MAX_MEDIA = 5000
MAX_LINKED_BYTES = 4_000_000
"""What a link sends of a claim, estimated from above, stays under 4 MiB."""
MAX_CONTENT_BYTES = 3_500_000
"""A claim with more takes no further report; the last one taken still leaves it under the above."""
_TASK_OVERHEAD_BYTES = 400
_REPORT_OVERHEAD_BYTES = 1600
_FILE_OVERHEAD_BYTES = 150


class State(StrEnum):
    """Where a claim is in its life (domain: Words)."""

    TEMPORARY = "temporary"
    NORMAL = "normal"
    CANCELLED = "cancelled"


class ClaimTask(Task):
    """A task, and how far it is."""

    budget_approved: bool = False
    reports: int = 0
    media: int = 0
    """Files that were reported on it here."""
    finished: bool = False
    content_bytes: int = 0
    """What its reports add to the messages of a link, estimated from above; what was imported is not counted."""
    link_id: UUID | None = None
    """The link that imported it, of the task of another claim."""
    source_task_id: UUID | None = None

    @property
    def waits_for_budget(self) -> bool:
        """Whether reporting has to wait for the insurer's approval (domain rule 11)."""
        return self.needs_budget and not self.budget_approved


class Link(Message):
    """A link of a temporary claim to another claim, from its start."""

    link_id: UUID
    target_claim_id: UUID
    linked_at: Moment | None = None
    """When the claim was cancelled because its content was in the target."""
    waiting: bool = False
    """Whether something was reported while it was being linked."""
    parts: int = 1
    """How many parts were sent: the link itself, and what was reported since (domain rule 17)."""
    being_undone: bool = False


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
    policy_number: Annotated[str | None, Personal()] = None
    partner_reference: Annotated[str | None, Personal()] = None
    tasks: tuple[ClaimTask, ...] = ()
    link: Link | None = None
    """Of a temporary claim that is being linked, or of one that was cancelled because it was linked."""
    redacted_at: Moment | None = None
    """When what it told of people was removed."""

    @property
    def media(self) -> int:
        """How many files were reported on it; what was imported is not counted."""
        return sum(task.media for task in self.tasks)

    @property
    def content_bytes(self) -> int:
        """Estimate what a link sends of it, or takes back from it."""
        own = sum(_TASK_OVERHEAD_BYTES + task.content_bytes for task in self.tasks if task.link_id is None)
        reported_on_imported = sum(task.content_bytes for task in self.tasks if task.link_id is not None)
        return max(own, reported_on_imported)

    @property
    def is_full(self) -> bool:
        """Whether its reports leave no room for more in a link's messages."""
        return self.content_bytes > MAX_CONTENT_BYTES

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
        """Return the insurer's date at a moment, as `latest_date` does."""
        return latest_date(at, self.time_zone)


def apply(claim: Claim | None, event: ClaimEvent) -> Claim:
    """Make an event's change; the first event makes the claim."""
    if isinstance(event, TemporaryClaimCreated | ClaimRegistered):
        return _made_by(event)
    if claim is None or event.version != claim.version + 1:
        raise ValueError(f"event {event.version} does not follow on {claim and claim.version}")
    left = redacted(claim) if isinstance(event, ClaimRedacted) else claim
    return left.model_copy(update={"version": event.version, **_changes(claim, event)})


def _made_by(event: TemporaryClaimCreated | ClaimRegistered) -> Claim:
    if isinstance(event, ClaimRegistered):
        differs: dict[str, Any] = {"state": State.NORMAL, "handler": event.handler}
    else:
        differs = {
            "state": State.TEMPORARY,
            "company": event.company,
            "office": event.office,
            "assigned_company": event.assigned_company,
            "assigned_office": event.assigned_office,
            "partner_reference": event.partner_reference,
            "tasks": tuple(_new(task) for task in event.tasks),
        }
    return Claim(
        id=event.claim_id,
        version=event.version,
        insurer=event.insurer,
        claim_number=event.claim_number,
        incident=event.incident,
        policyholder=event.policyholder,
        policy_number=event.policy_number,
        time_zone=event.time_zone,
        **differs,
    )


def _changes(claim: Claim, event: ClaimEvent) -> dict[str, Any]:
    if isinstance(event, TaskAssigned):
        return {"tasks": (*claim.tasks, _new(event.task))}
    if isinstance(event, TaskReported):
        return _with_task(claim, event.task_id, lambda task: _reported(task, event.report)) | _waiting(claim)
    if isinstance(event, BudgetApproved):
        return _with_task(claim, event.task_id, lambda _: {"budget_approved": True})
    if isinstance(event, ClaimConverted):
        return {"state": State.NORMAL, "claim_number": event.claim_number, "handler": event.handler}
    if isinstance(event, ClaimAmended):
        return {name: getattr(event.after, name) for name in event.after.model_fields_set}
    if isinstance(event, ClaimCancelled):
        return {"state": State.CANCELLED}
    if isinstance(event, ClaimRedacted):
        tasks = (task.model_copy(update={"content_bytes": 0}) for task in claim.tasks)
        return {"redacted_at": claim.redacted_at or event.at, "tasks": tuple(tasks)}
    return _changes_of_link(claim, event)


def _changes_of_link(claim: Claim, event: ClaimEvent) -> dict[str, Any]:
    if isinstance(event, LinkStarted):
        return {"link": Link(link_id=event.link_id, target_claim_id=event.target_claim_id)}
    if isinstance(event, LinkFailed):
        return {"link": None}
    if isinstance(event, ContentImported):
        return {"tasks": tuple(_imported(claim.tasks, event))}
    if isinstance(event, ContentWithdrawn):
        return {"tasks": tuple(task for task in claim.tasks if task.link_id != event.link_id)}
    if isinstance(event, ClaimUnlinked):
        returned = {task.task_id: task for task in event.tasks}
        tasks = (_with_returned(task, returned.get(task.task_id)) for task in claim.tasks)
        return {"state": State.TEMPORARY, "link": None, "tasks": tuple(tasks)}
    if claim.link is None:
        raise ValueError(f"{event.NAME} of a claim without a link")
    if isinstance(event, ClaimLinked):
        parts = 2 if claim.link.waiting else 1
        return {
            "state": State.CANCELLED,
            "link": claim.link.model_copy(update={"linked_at": event.at, "waiting": False, "parts": parts}),
        }
    if isinstance(event, UnlinkStarted):
        return {"link": claim.link.model_copy(update={"being_undone": True})}
    raise TypeError(f"{event.NAME} is not known")


def _waiting(claim: Claim) -> dict[str, Any]:
    """What a report changes of the claim's link: it waits for the link to finish, or is its next part."""
    link = claim.link
    if link is None or link.being_undone:
        return {}
    change: dict[str, Any] = {"waiting": True} if link.linked_at is None else {"parts": link.parts + 1}
    return {"link": link.model_copy(update=change)}


def _reported(task: ClaimTask, report: Report) -> dict[str, Any]:
    return {
        "reports": task.reports + 1,
        "media": task.media + len(report.media),
        "finished": task.finished or report.finished,
        "content_bytes": task.content_bytes + content_bytes(report),
    }


def content_bytes(report: Report) -> int:
    """Estimate from above what a report adds to a link's messages."""
    return len(report.json_bytes()) + _REPORT_OVERHEAD_BYTES + _FILE_OVERHEAD_BYTES * len(report.media)


def _imported(tasks: tuple[ClaimTask, ...], event: ContentImported) -> list[ClaimTask]:
    """The tasks with an imported part: new ones, or further reports on those of an earlier part.

    A budget that was approved on the linked claim is needed no more here, as its later parts say.
    """
    found = {task.task_id: task for task in tasks}
    for part in event.tasks:
        task = found.get(part.task_id) or ClaimTask(
            **{name: getattr(part, name) for name in Task.model_fields},
            link_id=event.link_id,
            source_task_id=part.source_task_id,
        )
        approved = task.budget_approved or (task.needs_budget and not part.needs_budget)
        found[part.task_id] = task.model_copy(update=_counted(task, part.reports) | {"budget_approved": approved})
    return list(found.values())


def _with_returned(task: ClaimTask, returned: ImportedTask | None) -> ClaimTask:
    """A task with what was reported on its copy at the target that the claim was linked to."""
    if returned is None:
        return task
    size = sum(content_bytes(Report.model_validate(dict(report))) for report in returned.reports)
    return task.model_copy(
        update={
            **_counted(task, returned.reports),
            "media": task.media + sum(len(report.media) for report in returned.reports),
            "budget_approved": task.budget_approved or not returned.needs_budget,
            "content_bytes": task.content_bytes + size,
        }
    )


def _counted(task: ClaimTask, reports: list[ImportedReport]) -> dict[str, Any]:
    return {
        "reports": task.reports + len(reports),
        "finished": task.finished or any(report.finished for report in reports),
    }


def _new(task: Task) -> ClaimTask:
    return ClaimTask(
        task_id=task.task_id,
        kind=task.kind,
        office=task.office,
        company=task.company,
        needs_budget=task.needs_budget,
    )


def _with_task(claim: Claim, id: UUID, change: Any) -> dict[str, Any]:
    return {
        "tasks": tuple(task.model_copy(update=change(task)) if task.task_id == id else task for task in claim.tasks)
    }
