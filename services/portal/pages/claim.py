"""A claim's page: what is known, its tasks and reports, *Historikk*, and a temporary claim's banner (rule 13)."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from starlette.exceptions import HTTPException
from starlette.responses import Response

from services.portal.claim_view import ClaimView, State, TaskView
from services.portal.corrections import corrections
from services.portal.rendering import render
from services.portal.viewer import Viewer
from services.portal.visit import Visit
from shared.contract.events import ClaimEvent, ClaimLinked, ContentImported, LinkFailed, LinkStarted


@dataclass(frozen=True)
class May:
    """What the viewer can do with a claim; whether it takes effect is decided when it is asked for."""

    handle: bool
    """Make it normal, or link it."""
    amend: bool
    cancel: bool
    assign: bool
    approve_budget: bool
    """Of a task that waits for it; also of a linked claim, whose reports go on (rule 17)."""


@dataclass(frozen=True)
class ActionPoints:
    """What a temporary claim waits for, besides *Normal* and *Tilknytning* (domain rule 13)."""

    budgets_to_approve: tuple[TaskView, ...] = ()
    """By the viewer, the insurer."""
    tasks_to_report: tuple[TaskView, ...] = ()
    """By the viewer's company."""
    tasks_without_budget: tuple[TaskView, ...] = ()
    """Of the viewer's company, until the insurer approves."""


async def page(visit: Visit) -> Response:
    """Show the claim; what the viewer's company may not see is not found (domain rule 10)."""
    viewer, store = visit.viewer, visit.portal.store
    claim = await claim_of(visit)
    events = await store.history(viewer.company.id, claim.id)
    others = await store.short(viewer.company.id, *_named(claim, events))
    can = may(viewer, claim)
    alike = await store.suggestions(viewer.company.id, claim.id) if can.handle else []
    return render(
        visit,
        "claim.html",
        claim=claim,
        may=can,
        points=action_points(viewer, claim),
        alike=len(await store.short(viewer.company.id, *(each.claim_id for each in alike))),
        unlinkable=unlinkable(visit, claim),
        events=list(reversed(events)),
        others=others,
        corrections=corrections,
        reportable=lambda task: reportable(viewer, claim, task),
    )


async def claim_of(visit: Visit) -> ClaimView:
    """Find the claim of the address; raises HTTPException where the viewer's company may not see it."""
    claim = await visit.portal.store.claim(visit.viewer.company.id, visit.request.path_params["claim"])
    if claim is None:
        raise HTTPException(404)
    return claim


def may(viewer: Viewer, claim: ClaimView) -> May:
    """What is offered (domain rules 11, 13 and 14)."""
    insurer = claim.insurer == viewer.company.id
    creator = claim.company == viewer.company.id
    temporary, cancelled = claim.state is State.TEMPORARY, claim.state is State.CANCELLED
    if claim.redacted_at is not None:
        return May(handle=False, amend=False, cancel=False, assign=False, approve_budget=False)
    return May(
        handle=insurer and temporary and not claim.is_being_linked,
        amend=not cancelled and (insurer or (creator and temporary)),
        cancel=insurer and not cancelled and not claim.is_being_linked,
        assign=not cancelled,
        approve_budget=insurer and (not cancelled or claim.link is not None),
    )


def action_points(viewer: Viewer, claim: ClaimView) -> ActionPoints:
    """What the viewer's company has to do on a claim, or waits for."""
    open_tasks = [task for task in claim.tasks if not task.finished]
    own = [task for task in open_tasks if task.company == viewer.company.id]
    approves = may(viewer, claim).approve_budget
    return ActionPoints(
        budgets_to_approve=tuple(task for task in open_tasks if task.waits_for_budget and approves),
        tasks_to_report=tuple(task for task in own if reportable(viewer, claim, task)),
        tasks_without_budget=tuple(task for task in own if task.waits_for_budget and not approves),
    )


def unlinkable(visit: Visit, claim: ClaimView) -> bool:
    """Whether the viewer's company can take the claim's link back now: for as many days as it has set."""
    viewer, at = visit.viewer, datetime.now(UTC)
    if viewer.company.id != claim.insurer:
        return False
    return can_be_unlinked(claim, visit.portal.directory.settings(claim.insurer, at).unlink_days, at)


def can_be_unlinked(claim: ClaimView, days: int, at: datetime) -> bool:
    """Whether a link is done, and not longer ago than so many days. A read model of old does not know when it was."""
    link = claim.link
    if claim.state is not State.CANCELLED or link is None or link.being_taken_back or claim.redacted_at is not None:
        return False
    return link.linked_at is None or at <= link.linked_at + timedelta(days=days)


def reportable(viewer: Viewer, claim: ClaimView, task: TaskView) -> bool:
    """Whether the viewer's company can report on a task now (domain rule 11)."""
    is_open = claim.state is not State.CANCELLED and claim.redacted_at is None
    return task.company == viewer.company.id and is_open and not task.waits_for_budget


def _named(claim: ClaimView, events: list[ClaimEvent]) -> set[UUID]:
    named = {claim.link.target_claim_id} if claim.link else set()
    for event in events:
        if isinstance(event, LinkStarted | LinkFailed | ClaimLinked):
            named.add(event.target_claim_id)
        elif isinstance(event, ContentImported):
            named.add(event.source_claim_id)
    return named
