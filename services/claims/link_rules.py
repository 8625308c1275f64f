"""How a temporary claim is linked to another claim, and a link taken back (domain rules 15–17). No I/O, no clock.

A link is a chain of steps, each about one claim. The source is being linked; the target takes its content or does not,
and is the only one who decides that; then the source is cancelled, or temporary again. A step that comes too late, or
again, leads to nothing.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from services.claims.claim import MAX_LINKED_BYTES, Claim, ClaimTask, State
from services.claims.decisions import (
    NOTHING_MORE,
    Accepted,
    FollowUp,
    Needs,
    Records,
    event_fields,
    requested_event,
    unsettled,
    visible,
)
from shared.contract import ids
from shared.contract.codes import Code
from shared.contract.commands import CheckedRequest
from shared.contract.events import (
    ClaimEvent,
    ClaimLinked,
    ClaimRedacted,
    ClaimUnlinked,
    ContentImported,
    ContentWithdrawn,
    ImportedMedia,
    ImportedReport,
    ImportedTask,
    LinkFailed,
    LinkStarted,
    Task,
    TaskReported,
    UnlinkStarted,
)
from shared.contract.fields import Actor
from shared.contract.linking import (
    AbandonLink,
    FinishLink,
    FinishUnlink,
    GiveUpImport,
    ImportContent,
    LinkedReport,
    LinkedTask,
    LinkFailure,
    LinkRequested,
    LinkStep,
    WithdrawContent,
    step_id,
)
from shared.contract.requests import LinkClaim, UnlinkClaim
from shared.contract.topics import CLAIM_COMMANDS, LINK_REQUESTS
from shared.domain.refusal import Refused

_NOTHING = Accepted()


# What the insurer asks for


def link_claim(claim: Claim | None, checked: CheckedRequest, request: LinkClaim, records: Records) -> Accepted:
    """Domain rule 15: to another claim of the same insurer, which exists, is normal and not cancelled."""
    claim = visible(claim, checked)
    if claim.state is State.NORMAL:
        raise Refused(Code.NOT_TEMPORARY)
    unsettled(claim)
    if claim.content_bytes > MAX_LINKED_BYTES:
        raise Refused(Code.CLAIM_FULL)
    target = _target(claim, request, records)
    started = LinkStarted(
        **requested_event(claim, checked),
        see_other_claim=_both(claim, target.audience),
        link_id=ids.link_id(checked.company, checked.request_id),
        target_claim_id=target.id,
        target_claim_number=target.claim_number,
    )
    part = LinkRequested(
        link_id=started.link_id,
        part=1,
        actor=started.actor,
        source_claim_id=claim.id,
        source_claim_number=claim.claim_number,
        source_audience=claim.audience,
        target_claim_id=target.id,
        tasks=list(_content(claim.tasks, records.history(claim.id))),
    )
    return Accepted((started,), (FollowUp(LINK_REQUESTS, target.id, part),))


def unlink_claim(claim: Claim | None, checked: CheckedRequest, _: UnlinkClaim, __: Records) -> Accepted:
    """Take a link back, within the insurer's days; the target withdraws the content, then the claim is temporary."""
    claim = visible(claim, checked)
    link = claim.link
    if link is None or link.linked_at is None or link.being_undone:
        raise Refused(Code.NOT_LINKED)
    if checked.requested_at > link.linked_at + timedelta(days=checked.facts.unlink_days or 0):
        raise Refused(Code.TOO_LATE_TO_UNLINK)
    started = UnlinkStarted(
        **requested_event(claim, checked),
        see_other_claim=_with_tasks(claim),
        link_id=link.link_id,
        target_claim_id=link.target_claim_id,
    )
    withdraw = WithdrawContent(
        link_id=link.link_id, part=1, actor=started.actor, source_claim_id=claim.id, source_audience=claim.audience
    )
    return Accepted((started,), (FollowUp(CLAIM_COMMANDS, link.target_claim_id, withdraw),))


def late_report(claim: Claim, reported: TaskReported) -> Accepted:
    """Domain rule 17: what is reported on a linked claim goes on to the claim that it was linked to."""
    link = claim.link
    if link is None or link.linked_at is None or link.being_undone:
        return Accepted((reported,))  # it stays here, or goes with the rest when the link is finished
    part = _later_part(claim, link.parts + 1, [reported])
    return Accepted(
        (reported,), (FollowUp(LINK_REQUESTS, link.target_claim_id, part),), redirected_to=link.target_claim_id
    )


# The steps


def decide_step(claim: Claim | None, step: LinkStep, at: datetime, records: Records) -> Accepted:
    """Decide what a step does to the claim whose key it has; `at` is the step's append time."""
    if claim is None:
        return _NOTHING
    return _DECIDERS[type(step)].decide(claim, step, at, records)


def needs_of_step(claim_id: UUID, step: LinkStep) -> Needs:
    """Return what deciding a step needs to know besides the claim whose key it has."""
    return _DECIDERS[type(step)].needs(claim_id, step)


def import_content(target: Claim, step: ImportContent, at: datetime, records: Records) -> Accepted:
    """The target takes the part, unless it was given up before, or the target can no longer take it.

    Later parts are taken as long as the link stands: also by a target that was cancelled, so that nothing is lost; but
    nothing comes into one that was redacted, and the copies of the files go again.
    """
    if records.is_decided(step_id(step.link_id, step.part, GiveUpImport)):
        return _NOTHING
    withdrawn = records.is_decided(step_id(step.link_id, 1, WithdrawContent))
    is_linkable = target.state is State.NORMAL and target.redacted_at is None
    if withdrawn or (step.part == 1 and not is_linkable):
        return _abandon(step, step.source_claim_id, LinkFailure.TARGET_NOT_LINKABLE)
    if target.redacted_at is not None:
        copies = [media.media_id for task in step.tasks for report in task.reports for media in report.media]
        return Accepted((ClaimRedacted(**_next(target, step, at), media_ids=copies),) if copies else ())
    moved = {task.company for task in step.tasks}
    imported = ContentImported(
        **_next(target, step, at) | {"audience": sorted({*target.audience, *moved})},
        see_other_claim=step.source_audience,
        link_id=step.link_id,
        part=step.part,
        source_claim_id=step.source_claim_id,
        source_claim_number=step.source_claim_number,
        tasks=step.tasks,
        claim_number=target.claim_number,
        incident=target.incident,
        policyholder=target.policyholder,
    )
    finish = FinishLink(
        link_id=step.link_id,
        part=step.part,
        actor=step.actor,
        target_claim_id=target.id,
        target_claim_number=target.claim_number,
    )
    return Accepted((imported,), (FollowUp(CLAIM_COMMANDS, step.source_claim_id, finish),))


def give_up_import(_: Claim, step: GiveUpImport, __: datetime, records: Records) -> Accepted:
    """The copies could not be made; if they were imported all the same, that stands."""
    if records.is_decided(step_id(step.link_id, step.part, ImportContent)):
        return _NOTHING
    return _abandon(step, step.source_claim_id, LinkFailure(step.reason))


def finish_link(source: Claim, step: FinishLink, at: datetime, records: Records) -> Accepted:
    """Domain rule 15: the source is cancelled; what was reported on it meanwhile goes after it (rule 17)."""
    if not _is_being_linked(source, step):
        return _NOTHING
    linked = ClaimLinked(
        **_next(source, step, at),
        see_other_claim=_with_tasks(source),
        link_id=step.link_id,
        target_claim_id=step.target_claim_id,
        target_claim_number=step.target_claim_number,
    )
    started = max(e.version for e in records.history(source.id) if isinstance(e, LinkStarted))
    waiting = [e for e in records.history(source.id) if isinstance(e, TaskReported) and e.version > started]
    if not waiting:
        return Accepted((linked,))
    return Accepted((linked,), (FollowUp(LINK_REQUESTS, step.target_claim_id, _later_part(source, 2, waiting)),))


def abandon_link(source: Claim, step: AbandonLink, at: datetime, records: Records) -> Accepted:
    """Domain rule 16: the claim is temporary as before, with the reason in its history."""
    if not _is_being_linked(source, step) or source.link is None:
        return _NOTHING
    reason = LinkFailure(step.reason)
    content = _content(source.tasks, records.history(source.id))
    media = [ids.copy_id(step.link_id, m.media_id) for task in content for report in task.reports for m in report.media]
    failed = LinkFailed(
        **_next(source, step, at),
        see_other_claim=[source.insurer],
        link_id=step.link_id,
        target_claim_id=source.link.target_claim_id,
        reason=reason,
        message=reason.message,
        media_ids=media,
    )
    return Accepted((failed,))


def withdraw_content(target: Claim, step: WithdrawContent, at: datetime, records: Records) -> Accepted:
    """The target gives up what the link had imported; what was reported on it there goes back to the source."""
    tasks = [task for task in target.tasks if task.link_id == step.link_id]
    history = records.history(target.id)
    left = target.model_copy(update={"tasks": tuple(task for task in target.tasks if task not in tasks)})
    withdrawn = ContentWithdrawn(
        **_next(target, step, at),
        seen_from_now_on_by=left.audience,
        see_other_claim=step.source_audience,
        link_id=step.link_id,
        source_claim_id=step.source_claim_id,
        task_ids=[task.task_id for task in tasks],
        media_ids=[
            media.media_id
            for event in history
            if isinstance(event, ContentImported) and event.link_id == step.link_id
            for task in event.tasks
            for report in task.reports
            for media in report.media
        ],
    )
    finish = FinishUnlink(
        link_id=step.link_id,
        part=1,
        actor=step.actor,
        target_claim_id=target.id,
        tasks=list(_returned(tasks, history, has_files=target.redacted_at is None)),
    )
    return Accepted((withdrawn,), (FollowUp(CLAIM_COMMANDS, step.source_claim_id, finish),))


def finish_unlink(source: Claim, step: FinishUnlink, at: datetime, _: Records) -> Accepted:
    """The source is temporary again, with everything reported since."""
    if source.link is None or source.link.link_id != step.link_id:
        return _NOTHING
    unlinked = ClaimUnlinked(
        **_next(source, step, at),
        see_other_claim=_with_tasks(source),
        link_id=step.link_id,
        target_claim_id=step.target_claim_id,
        tasks=step.tasks,
    )
    return Accepted((unlinked,))


def _whether_given_up_or_withdrawn(_: UUID, step: ImportContent) -> Needs:
    given_up = step_id(step.link_id, step.part, GiveUpImport)
    withdrawn = step_id(step.link_id, 1, WithdrawContent)
    return Needs(steps=frozenset({given_up, withdrawn}))


def _whether_imported(_: UUID, step: GiveUpImport) -> Needs:
    return Needs(steps=frozenset({step_id(step.link_id, step.part, ImportContent)}))


def _history(claim_id: UUID, _: LinkStep) -> Needs:
    return Needs(histories=frozenset({claim_id}))


def _nothing_more(_: UUID, __: LinkStep) -> Needs:
    return NOTHING_MORE


@dataclass(frozen=True, slots=True)
class StepDecider:
    """How steps of a type are decided, and what that needs to know besides the claim."""

    decide: Callable[[Claim, Any, datetime, Records], Accepted]
    needs: Callable[[UUID, Any], Needs]


_DECIDERS: dict[type[LinkStep], StepDecider] = {
    ImportContent: StepDecider(import_content, needs=_whether_given_up_or_withdrawn),
    GiveUpImport: StepDecider(give_up_import, needs=_whether_imported),
    FinishLink: StepDecider(finish_link, needs=_history),
    AbandonLink: StepDecider(abandon_link, needs=_history),
    WithdrawContent: StepDecider(withdraw_content, needs=_history),
    FinishUnlink: StepDecider(finish_unlink, needs=_nothing_more),
}


def _target(claim: Claim, request: LinkClaim, records: Records) -> Claim:
    if request.target_claim_id is not None:
        field, target = "target_claim_id", records.claim(request.target_claim_id)
    else:
        number = request.target_claim_number or ""
        field, target = "target_claim_number", records.claim_with_number(claim.insurer, number)
    if target is None or target.insurer != claim.insurer:
        raise Refused(Code.TARGET_NOT_LINKABLE, field, "is no claim of the insurer")
    if target.id == claim.id:
        raise Refused(Code.TARGET_NOT_LINKABLE, field, "is the claim itself")
    if target.state is not State.NORMAL:
        raise Refused(Code.TARGET_NOT_LINKABLE, field, f"is {target.state}")
    if target.redacted_at is not None:
        raise Refused(Code.CLAIM_REDACTED, field, "was redacted")
    return target


def _content(tasks: Iterable[ClaimTask], history: Iterable[ClaimEvent]) -> Iterator[LinkedTask]:
    """The tasks with all that was reported on them, also at a target that had to give it back."""
    reports: defaultdict[UUID, list[LinkedReport]] = defaultdict(list)
    for event in history:
        if isinstance(event, TaskReported):
            reports[event.task_id].append(_linked(event))
        if isinstance(event, ClaimUnlinked):
            for returned in event.tasks:
                reports[returned.task_id] += [LinkedReport.model_validate(dict(report)) for report in returned.reports]
    for task in tasks:
        yield LinkedTask(**_task_fields(task), reports=reports[task.task_id])


def _later_part(source: Claim, part: int, reported: Sequence[TaskReported]) -> LinkRequested:
    if source.link is None:
        raise ValueError("the claim has no link")
    tasks = {task.task_id: task for task in source.tasks}
    reports: dict[UUID, list[LinkedReport]] = {}
    for event in reported:
        reports.setdefault(event.task_id, []).append(_linked(event))
    return LinkRequested(
        link_id=source.link.link_id,
        part=part,
        actor=reported[0].actor,
        source_claim_id=source.id,
        source_claim_number=source.claim_number,
        source_audience=source.audience,
        target_claim_id=source.link.target_claim_id,
        tasks=[LinkedTask(**_task_fields(tasks[id]), reports=made) for id, made in reports.items()],
    )


def _linked(event: TaskReported) -> LinkedReport:
    return LinkedReport(**dict(event.report), at=event.at, actor=event.actor)


def _returned(tasks: Iterable[ClaimTask], history: Sequence[ClaimEvent], *, has_files: bool) -> Iterator[ImportedTask]:
    """What was reported at the target on the copies of tasks, for the source that they were copied from."""
    for task in tasks:
        if task.source_task_id is None:
            continue
        reports = [
            ImportedReport(
                report_id=event.report.report_id,
                source_report_id=event.report.report_id,
                text=event.report.text,
                media=[
                    ImportedMedia(**dict(media), source_media_id=media.media_id)
                    for media in event.report.media
                    if has_files
                ],
                finished=event.report.finished,
                at=event.at,
                actor=event.actor,
            )
            for event in history
            if isinstance(event, TaskReported) and event.task_id == task.task_id
        ]
        if reports or task.budget_approved:
            fields = _task_fields(task) | {"task_id": task.source_task_id}
            yield ImportedTask(**fields, source_task_id=task.task_id, reports=reports)


def _task_fields(task: ClaimTask) -> dict[str, Any]:
    """Return a task as another claim gets it: a budget that was approved is needed no more."""
    return {**{name: getattr(task, name) for name in Task.model_fields}, "needs_budget": task.waits_for_budget}


def _with_tasks(source: Claim) -> list[str]:
    """The companies that the link brought to the target: those of the tasks."""
    return sorted({source.insurer, *(task.company for task in source.tasks)})


def _both(source: Claim, target_audience: Iterable[str]) -> list[str]:
    return sorted({*source.audience} & {*target_audience})


def _abandon(step: LinkStep, source_claim_id: UUID, reason: LinkFailure) -> Accepted:
    abandon = AbandonLink(link_id=step.link_id, part=step.part, actor=step.actor, reason=reason)
    return Accepted(follow_ups=(FollowUp(CLAIM_COMMANDS, source_claim_id, abandon),))


def _is_being_linked(source: Claim, step: LinkStep) -> bool:
    link = source.link
    return step.part == 1 and link is not None and link.link_id == step.link_id and link.linked_at is None


def _next(claim: Claim, step: LinkStep, at: datetime) -> dict[str, Any]:
    return event_fields(claim, at, step.actor or Actor(company=claim.insurer))
