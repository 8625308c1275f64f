"""A claim as its page shows it, and what each event makes of it. Pure."""

from datetime import datetime
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
from shared.contract.fields import Actor, Incident, LocalizedText, Message, Moment, Personal, Policyholder
from shared.contract.redaction import redacted


class State(StrEnum):
    """Where a claim is in its life (domain: Words)."""

    TEMPORARY = "temporary"
    NORMAL = "normal"
    CANCELLED = "cancelled"


class ReportView(Report):
    """A report with who made it and when."""

    at: Moment
    actor: Actor
    lost_media: Annotated[list[str], Personal([])] = []
    """The names of files that could not be copied."""
    source_claim_id: UUID | None = None
    """The temporary claim that it was imported from."""


class TaskView(Task):
    """A task with its reports and how far it is."""

    assigned_at: Moment
    budget: str | None = None
    """What was approved, with its currency."""
    reports: tuple[ReportView, ...] = ()
    source_claim_id: UUID | None = None

    @property
    def finished(self) -> bool:
        """Whether a report has said so."""
        return any(report.finished for report in self.reports)

    @property
    def waits_for_budget(self) -> bool:
        """Whether reporting has to wait for the insurer's approval (domain rule 11)."""
        return self.needs_budget and self.budget is None


class LinkView(Message):
    """A link that is under way, has failed, or is done (domain rules 15 and 16)."""

    target_claim_id: UUID
    failed: LocalizedText | None = None
    """The reason."""
    linked_at: Moment | None = None
    """When it was done."""
    being_taken_back: bool = False


class ClaimView(Message):
    """A claim as its events have made it."""

    id: UUID
    version: int
    state: State
    insurer: str
    audience: tuple[str, ...]
    claim_number: str
    incident: Incident
    policyholder: Policyholder
    time_zone: str
    registered_at: Moment
    handler: str | None = None
    company: str | None = None
    """The creating company of a temporary claim, with its office."""
    office: str | None = None
    assigned_office: str | None = None
    assigned_company: str | None = None
    policy_number: Annotated[str | None, Personal()] = None
    partner_reference: Annotated[str | None, Personal()] = None
    tasks: tuple[TaskView, ...] = ()
    link: LinkView | None = None
    cancelled_because: Annotated[str | None, Personal()] = None
    redacted_at: Moment | None = None
    """When what it told of people was removed."""

    @property
    def is_being_linked(self) -> bool:
        """Whether a link is under way."""
        return self.state is State.TEMPORARY and self.link is not None and self.link.failed is None

    @property
    def were_there_first(self) -> set[str]:
        """The companies to which the claim's first event went (domain rule 10)."""
        first = {task.company for task in self.tasks if task.assigned_at == self.registered_at}
        return first | {company for company in (self.insurer, self.company, self.assigned_company) if company}

    def office_of(self, company: str) -> str | None:
        """Which office a company's list shows: its own on the claim, and for the insurer the creating one."""
        return next((office for owner, office in self._offices() if owner == company), self.office)

    def offices_for(self, company: str) -> set[str]:
        """The offices by which a company's list finds the claim: its own on it, and for the insurer all."""
        return {office for owner, office in self._offices() if company in (owner, self.insurer)}

    def _offices(self) -> list[tuple[str | None, str]]:
        """The offices that created it, are assigned to it or have a task of it, with their companies."""
        found = [(self.company, self.office), (self.assigned_company, self.assigned_office)]
        found += [(task.company, task.office) for task in self.tasks]
        return [(owner, office) for owner, office in found if office]


def apply(view: ClaimView | None, event: ClaimEvent) -> ClaimView:
    """Make an event's change; the first event makes the claim. Raises ValueError unless the event is the next one."""
    if isinstance(event, TemporaryClaimCreated | ClaimRegistered):
        return _made_by(event)
    if view is None or event.version != view.version + 1:
        raise ValueError(f"event {event.version} does not follow on {view and view.version}")
    seen = {"version": event.version, "audience": tuple(event.audience_after)}
    left = redacted(view) if isinstance(event, ClaimRedacted) else view
    return left.model_copy(update={**seen, **_changes(view, event)})


def _made_by(event: TemporaryClaimCreated | ClaimRegistered) -> ClaimView:
    view = ClaimView(
        id=event.claim_id,
        version=event.version,
        state=State.NORMAL,
        insurer=event.insurer,
        audience=tuple(event.audience_after),
        claim_number=event.claim_number,
        incident=event.incident,
        policyholder=event.policyholder,
        policy_number=event.policy_number,
        time_zone=event.time_zone,
        registered_at=event.at,
    )
    if isinstance(event, ClaimRegistered):
        return view.model_copy(update={"handler": event.handler})
    return view.model_copy(
        update={
            "state": State.TEMPORARY,
            "company": event.company,
            "office": event.office,
            "assigned_company": event.assigned_company,
            "assigned_office": event.assigned_office,
            "partner_reference": event.partner_reference,
            "tasks": tuple(_new(task, event.at) for task in event.tasks),
        }
    )


def _changes(view: ClaimView, event: ClaimEvent) -> dict[str, Any]:
    if isinstance(event, TaskAssigned):
        return {"tasks": (*view.tasks, _new(event.task, event.at))}
    if isinstance(event, TaskReported):
        report = ReportView(**dict(event.report), at=event.at, actor=event.actor)
        return _with_task(view, event.task_id, lambda task: {"reports": (*task.reports, report)})
    if isinstance(event, BudgetApproved):
        return _with_task(view, event.task_id, lambda _: {"budget": f"{event.amount} {event.currency}"})
    if isinstance(event, ClaimConverted):
        return {
            "state": State.NORMAL,
            "claim_number": event.claim_number,
            "handler": event.handler,
            "link": None,
        }
    if isinstance(event, ClaimAmended):
        return {name: getattr(event.after, name) for name in event.after.model_fields_set}
    if isinstance(event, ClaimCancelled):
        return {"state": State.CANCELLED, "cancelled_because": event.reason, "link": None}
    if isinstance(event, ClaimRedacted):
        return {"redacted_at": view.redacted_at or event.at}
    return _link_changes(view, event)


def _link_changes(view: ClaimView, event: ClaimEvent) -> dict[str, Any]:
    if isinstance(event, LinkStarted):
        return {"link": LinkView(target_claim_id=event.target_claim_id)}
    if isinstance(event, LinkFailed):
        reason = event.message or LocalizedText(nb=event.reason, en=event.reason)
        return {"link": LinkView(target_claim_id=event.target_claim_id, failed=reason)}
    if isinstance(event, ClaimLinked):
        done = LinkView(target_claim_id=event.target_claim_id, linked_at=event.at)
        return {"state": State.CANCELLED, "link": done}
    if isinstance(event, ContentImported):
        return {"tasks": _with_imported(view.tasks, event)}
    if isinstance(event, UnlinkStarted):
        return {"link": view.link and view.link.model_copy(update={"being_taken_back": True})}
    if isinstance(event, ContentWithdrawn):
        return {"tasks": tuple(task for task in view.tasks if task.task_id not in event.task_ids)}
    if isinstance(event, ClaimUnlinked):
        return {"state": State.TEMPORARY, "link": None, "tasks": _with_returned(view.tasks, event)}
    raise TypeError(f"{event.NAME} is not shown yet")


def _with_returned(tasks: tuple[TaskView, ...], event: ClaimUnlinked) -> tuple[TaskView, ...]:
    """Add what was reported and approved on the copies of tasks while the claim was linked."""
    returned = {task.task_id: task for task in event.tasks}
    return tuple(_with_brought(task, returned[task.task_id]) if task.task_id in returned else task for task in tasks)


def _with_imported(tasks: tuple[TaskView, ...], event: ContentImported) -> tuple[TaskView, ...]:
    """Add what a part of a link brings: a later part's reports go to the task that an earlier part brought."""
    found = {task.task_id: task for task in tasks}
    for task in event.tasks:
        brought = found.get(task.task_id) or _imported(task, event)
        found[task.task_id] = _with_brought(brought, task, event.source_claim_id)
    return tuple(found.values())


def _with_brought(view: TaskView, task: ImportedTask, source_claim_id: UUID | None = None) -> TaskView:
    """Add a task's reports from another claim; a budget that was approved there is needed no more here."""
    reports = tuple(_report_of(report, source_claim_id) for report in task.reports)
    needed = view.needs_budget and task.needs_budget
    return view.model_copy(update={"reports": (*view.reports, *reports), "needs_budget": needed})


def _imported(task: ImportedTask, event: ContentImported) -> TaskView:
    new = _new(task, event.at)
    return new.model_copy(update={"source_claim_id": event.source_claim_id})


def _report_of(report: ImportedReport, source_claim_id: UUID | None = None) -> ReportView:
    return ReportView(
        report_id=report.report_id,
        text=report.text,
        media=list(report.media),
        finished=report.finished,
        at=report.at,
        actor=report.actor,
        lost_media=[media.name for media in report.lost_media],
        source_claim_id=source_claim_id,
    )


def _new(task: Task, at: datetime) -> TaskView:
    return TaskView(
        task_id=task.task_id,
        kind=task.kind,
        office=task.office,
        company=task.company,
        needs_budget=task.needs_budget,
        assigned_at=at,
    )


def _with_task(view: ClaimView, id: UUID, change: Any) -> dict[str, Any]:
    return {"tasks": tuple(task.model_copy(update=change(task)) if task.task_id == id else task for task in view.tasks)}
