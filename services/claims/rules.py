"""What may happen to a claim (domain rules 8–11, 14, 17). No I/O, no clock: the moment of a request comes with it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from services.claims.claim import MAX_MEDIA, MAX_TASKS, Claim, State
from services.claims.claim_numbers import is_temporary_number, temporary_numbers
from services.claims.decisions import (
    NOTHING_MORE,
    Accepted,
    Needs,
    Records,
    actor_of,
    requested_event,
    task_of,
    unsettled,
    visible,
)
from services.claims.link_rules import late_report, link_claim, unlink_claim
from shared.contract import ids
from shared.contract.codes import Code
from shared.contract.commands import CheckedRequest, Facts, OfficeOfInsurer, Refusal
from shared.contract.events import (
    BudgetApproved,
    ClaimAmended,
    ClaimCancelled,
    ClaimContent,
    ClaimConverted,
    ClaimEvent,
    ClaimRedacted,
    ClaimRegistered,
    ClaimUnlinked,
    ContentImported,
    Report,
    ReportedMedia,
    Task,
    TaskAssigned,
    TaskReported,
    TemporaryClaimCreated,
)
from shared.contract.fields import Incident, Media, TaskKind
from shared.contract.requests import (
    AmendClaim,
    ApproveBudget,
    AssignTask,
    CancelClaim,
    ConvertToNormal,
    CreateTemporaryClaim,
    LinkClaim,
    RedactClaim,
    RegisterClaim,
    ReportTask,
    RepublishClaim,
    Request,
    UnlinkClaim,
)
from shared.contract.topics import OPERATOR
from shared.domain.clock import latest_date
from shared.domain.refusal import Refused
from shared.media.types import declared


def decide(claim: Claim | None, checked: CheckedRequest, request: Request, records: Records) -> Accepted | Refusal:
    """Decide what a request that permissions let through does to the claim that it is about."""
    decider = _DECIDERS.get(type(request))
    if decider is None:
        return Refusal(code=Code.UNKNOWN_TYPE)
    try:
        return decider.decide(claim, checked, request, records)
    except Refused as refused:
        return refused.refusal


def needs_of(checked: CheckedRequest, request: Request) -> Needs:
    """Return what deciding a request needs to know besides its claim."""
    decider = _DECIDERS.get(type(request))
    return NOTHING_MORE if decider is None else decider.needs(checked, request)


def create_temporary_claim(
    claim: Claim | None, checked: CheckedRequest, request: CreateTemporaryClaim, records: Records
) -> Accepted:
    """Domain rules 8–11: the office was found permitted; the claim number must be free."""
    _is_new(claim)
    zone = checked.facts.time_zones[request.insurer]
    _not_in_future(request.incident, checked, zone)
    free = (n for n in _temporary_numbers(checked, request) if not records.is_taken(request.insurer, n))
    claim_number = next(free, None)
    if claim_number is None:
        raise Refused(Code.CLAIM_NUMBER_TAKEN, "claim_number", "is in use")
    companies = checked.facts.companies_of_offices
    tasks = []
    for n, wanted in enumerate(request.tasks, start=1):
        office = wanted.office or request.assigned_office or request.office
        tasks.append(
            Task(
                task_id=ids.created_task_id(checked.claim_id, n),
                kind=wanted.kind,
                office=office,
                company=companies[office],
                needs_budget=_needs_budget(wanted.kind, request.insurer, checked.facts),
            )
        )
    assigned = request.assigned_office and companies[request.assigned_office]
    created = TemporaryClaimCreated(
        claim_id=checked.claim_id,
        version=1,
        insurer=request.insurer,
        at=checked.requested_at,
        actor=actor_of(checked),
        audience=sorted({request.insurer, checked.company, assigned or checked.company, *(t.company for t in tasks)}),
        claim_number=claim_number,
        company=checked.company,
        office=request.office,
        incident=request.incident,
        policyholder=request.policyholder,
        policy_number=request.policy_number,
        partner_reference=request.partner_reference,
        assigned_office=request.assigned_office,
        assigned_company=assigned,
        tasks=tasks,
        inside_office_hours=checked.decision is not None and checked.decision.inside_office_hours,
        time_zone=zone,
    )
    return Accepted((created,), claim_number=claim_number, task_ids=tuple(task.task_id for task in tasks))


def register_claim(claim: Claim | None, checked: CheckedRequest, request: RegisterClaim, records: Records) -> Accepted:
    """The insurer registers a normal claim under a number of its own."""
    _is_new(claim)
    zone = checked.facts.time_zones[checked.company]
    _not_in_future(request.incident, checked, zone)
    _is_free(request.claim_number, checked.company, records)
    registered = ClaimRegistered(
        claim_id=checked.claim_id,
        version=1,
        insurer=checked.company,
        at=checked.requested_at,
        actor=actor_of(checked),
        audience=[checked.company],
        claim_number=request.claim_number,
        handler=request.handler,
        incident=request.incident,
        policyholder=request.policyholder,
        policy_number=request.policy_number,
        time_zone=zone,
    )
    return Accepted((registered,), claim_number=request.claim_number)


def assign_task(claim: Claim | None, checked: CheckedRequest, request: AssignTask, _: Records) -> Accepted:
    """Domain rules 7 and 11: to an own office; with the right, while it is temporary, to others; an insurer to any."""
    claim = unsettled(visible(claim, checked))
    if claim.is_full or sum(task.link_id is None for task in claim.tasks) >= MAX_TASKS:
        raise Refused(Code.CLAIM_FULL)
    own = claim.offices_of(checked.company)
    if request.office is None and not own:
        raise Refused(Code.INVALID_REQUEST, "office", "give one: the sender has no office on the claim")
    office = request.office or own[0]
    company = checked.facts.companies_of_offices.get(office, checked.company)
    if company != checked.company and checked.company != claim.insurer:
        rights = checked.facts.may_assign_to_others if claim.state is State.TEMPORARY else []
        if not any(OfficeOfInsurer(insurer=claim.insurer, office=o) in rights for o in own):
            raise Refused(Code.MAY_NOT_ASSIGN_TO_OTHERS, "office", "is another partner's office")
    task = Task(
        task_id=ids.assigned_task_id(checked.company, checked.request_id),
        kind=request.kind,
        office=office,
        company=company,
        needs_budget=_needs_budget(request.kind, claim.insurer, checked.facts),
    )
    event = requested_event(claim, checked) | {"audience": sorted({*claim.audience, company})}
    assigned = TaskAssigned(
        **event,
        task=task,
        claim_number=claim.claim_number,
        incident=claim.incident,
        policyholder=claim.policyholder,
    )
    return Accepted((assigned,), task_ids=(task.task_id,))


def report_task(claim: Claim | None, checked: CheckedRequest, request: ReportTask, records: Records) -> Accepted:
    """Domain rules 11 and 17: by the task's company, once its budget is approved if it needs one; also after a link."""
    claim = visible(claim, checked)
    if claim.state is State.CANCELLED and claim.link is None:
        raise Refused(Code.ALREADY_CANCELLED)
    task = task_of(claim, request.task_id)
    if task.company != checked.company:
        raise Refused(Code.SENDER_NOT_ALLOWED, "task_id", "is another company's task")
    if task.waits_for_budget:
        raise Refused(Code.BUDGET_MISSING)
    if request.media and claim.media + len(request.media) > MAX_MEDIA:
        raise Refused(Code.TOO_MANY_MEDIA)
    if claim.is_full:
        raise Refused(Code.CLAIM_FULL)
    report = Report(
        report_id=ids.report_id(checked.company, checked.request_id),
        text=request.text,
        media=[_uploaded(n, media, checked, records) for n, media in enumerate(request.media)],
        finished=request.finished,
    )
    return late_report(claim, TaskReported(**requested_event(claim, checked), task_id=task.task_id, report=report))


def approve_budget(claim: Claim | None, checked: CheckedRequest, request: ApproveBudget, _: Records) -> Accepted:
    """Domain rule 11: reporting on the task may start; also on a linked claim, whose reports go on (rule 17)."""
    claim = visible(claim, checked)
    if claim.state is State.CANCELLED and claim.link is None:
        raise Refused(Code.ALREADY_CANCELLED)
    task = task_of(claim, request.task_id)
    return Accepted(
        (
            BudgetApproved(
                **requested_event(claim, checked),
                task_id=task.task_id,
                amount=request.amount,
                currency=request.currency,
            ),
        )
    )


def convert_to_normal(
    claim: Claim | None, checked: CheckedRequest, request: ConvertToNormal, records: Records
) -> Accepted:
    """Domain rule 14: a temporary claim gets a claim number and a claims handler and is a claim like any other."""
    claim = unsettled(visible(claim, checked))
    if claim.state is not State.TEMPORARY:
        raise Refused(Code.NOT_TEMPORARY)
    _is_free(request.claim_number, claim.insurer, records)
    converted = ClaimConverted(
        **requested_event(claim, checked),
        claim_number=request.claim_number,
        previous_claim_number=claim.claim_number,
        handler=request.handler,
    )
    return Accepted((converted,), claim_number=request.claim_number)


def amend_claim(claim: Claim | None, checked: CheckedRequest, request: AmendClaim, _: Records) -> Accepted:
    """Domain rule 14: by the creating company while the claim is temporary, by the insurer always."""
    claim = unsettled(visible(claim, checked))
    if checked.company not in (claim.insurer, claim.company):
        raise Refused(Code.SENDER_NOT_ALLOWED)
    if checked.company != claim.insurer and claim.state is not State.TEMPORARY:
        raise Refused(Code.NOT_TEMPORARY)
    if request.incident is not None:
        _not_in_future(request.incident, checked, claim.time_zone)
    after = {name: getattr(request, name) for name in ClaimContent.model_fields if getattr(request, name) is not None}
    amended = ClaimAmended(
        **requested_event(claim, checked),
        before=ClaimContent(**{name: getattr(claim, name) for name in after}),
        after=ClaimContent(**after),
    )
    return Accepted((amended,))


def cancel_claim(claim: Claim | None, checked: CheckedRequest, request: CancelClaim, _: Records) -> Accepted:
    """Domain rule 14: the insurer takes a claim out."""
    claim = unsettled(visible(claim, checked))
    return Accepted((ClaimCancelled(**requested_event(claim, checked), reason=request.reason),))


def redact_claim(claim: Claim | None, checked: CheckedRequest, _: RedactClaim, records: Records) -> Accepted:
    """Domain rule 23: what it tells of people goes for good, once nobody needs it to handle the claim."""
    if claim is None or checked.company not in (OPERATOR, claim.insurer):
        raise Refused(Code.UNKNOWN_CLAIM)
    if claim.redacted_at is not None:
        raise Refused(Code.CLAIM_REDACTED)
    if claim.link is not None and claim.link.being_undone:
        raise Refused(Code.BEING_LINKED, "claim_id", "its link is being taken back")
    if claim.state is State.TEMPORARY:
        raise Refused(Code.STILL_TEMPORARY if claim.link is None else Code.BEING_LINKED)
    files = _files_on(claim, records.history(claim.id))
    return Accepted((ClaimRedacted(**requested_event(claim, checked), media_ids=list(dict.fromkeys(files))),))


def republish_claim(
    claim: Claim | None, _checked: CheckedRequest, request: RepublishClaim, records: Records
) -> Accepted:
    """All that happened to the claim is sent again, for one reader that may see it.

    Of a creation that was refused its outcome is, for reporting, which counts it.
    """
    refused = refused_creation(request)
    if claim is None and refused is not None and records.is_refused_creation(*refused):
        return Accepted(republish_for=request.reader)
    if claim is None:
        raise Refused(Code.UNKNOWN_CLAIM)
    if request.reader not in {"reporting", "portal", "suggestions", *claim.audience}:
        raise Refused(
            Code.INVALID_REQUEST, "reader", "is none of reporting, portal, suggestions and the companies of the claim"
        )
    return Accepted(republish_for=request.reader)


def refused_creation(request: Request) -> tuple[str, str] | None:
    """Return which refused creation a `republish-claim` for reporting is about, by company and request id."""
    if not isinstance(request, RepublishClaim) or request.refused is None or request.reader != "reporting":
        return None
    company, request_id = request.refused.company, request.refused.request_id
    return (company, request_id) if ids.claim_id(company, request_id) == request.claim_id else None


def _candidate_numbers(checked: CheckedRequest, request: CreateTemporaryClaim) -> Needs:
    return Needs(numbers=frozenset((request.insurer, number) for number in _temporary_numbers(checked, request)))


def _wanted_number(checked: CheckedRequest, request: RegisterClaim | ConvertToNormal) -> Needs:
    return Needs(numbers=frozenset({(checked.company, request.claim_number)}))


def _target_and_reports(checked: CheckedRequest, request: LinkClaim) -> Needs:
    history = frozenset({checked.claim_id})
    if request.target_claim_id is not None:
        return Needs(histories=history, claims=frozenset({request.target_claim_id}))
    number = checked.company, request.target_claim_number or ""
    return Needs(histories=history, claims_by_number=frozenset({number}))


def _creation_to_republish(_: CheckedRequest, request: RepublishClaim) -> Needs:
    refused = refused_creation(request)
    return NOTHING_MORE if refused is None else Needs(refused_creations=frozenset({refused}))


def _own_history(_: CheckedRequest, request: RedactClaim) -> Needs:
    return Needs(histories=frozenset({request.claim_id}))


def _nothing_more(_: CheckedRequest, __: Request) -> Needs:
    return NOTHING_MORE


@dataclass(frozen=True, slots=True)
class Decider:
    """How requests of a type are decided, and what that needs to know besides the claim."""

    decide: Callable[[Claim | None, CheckedRequest, Any, Records], Accepted]
    needs: Callable[[CheckedRequest, Any], Needs]


_DECIDERS: dict[type[Request], Decider] = {
    CreateTemporaryClaim: Decider(create_temporary_claim, needs=_candidate_numbers),
    RegisterClaim: Decider(register_claim, needs=_wanted_number),
    AssignTask: Decider(assign_task, needs=_nothing_more),
    ReportTask: Decider(report_task, needs=_nothing_more),
    ApproveBudget: Decider(approve_budget, needs=_nothing_more),
    ConvertToNormal: Decider(convert_to_normal, needs=_wanted_number),
    AmendClaim: Decider(amend_claim, needs=_nothing_more),
    CancelClaim: Decider(cancel_claim, needs=_nothing_more),
    RedactClaim: Decider(redact_claim, needs=_own_history),
    LinkClaim: Decider(link_claim, needs=_target_and_reports),
    UnlinkClaim: Decider(unlink_claim, needs=_nothing_more),
    RepublishClaim: Decider(republish_claim, needs=_creation_to_republish),
}


def _uploaded(n: int, media: Media, checked: CheckedRequest, records: Records) -> ReportedMedia:
    """Take a file that the sender uploaded, which the key that we signed says."""
    upload = records.upload(media.key)
    if upload is None or upload.name_by < checked.requested_at:
        raise Refused(Code.MEDIA_MISSING, f"media.{n}.key", "names no upload that is kept")
    if upload.company != checked.company:
        raise Refused(Code.MEDIA_NOT_ALLOWED, f"media.{n}.key", "names another company's upload")
    declared_fields = {"size": media.size, "sha256": media.sha256, "content_type": declared(media.content_type)}
    for field, value in declared_fields.items():
        if getattr(upload, field) != value:
            raise Refused(Code.MEDIA_MISMATCH, f"media.{n}.{field}", "is not that of the upload")
    return ReportedMedia(
        media_id=ids.media_id(checked.company, checked.request_id, n + 1),
        name=media.name,
        content_type=upload.content_type,
        size=media.size,
        sha256=media.sha256,
        upload_id=upload.upload_id,
    )


def _files_on(claim: Claim, history: Iterable[ClaimEvent]) -> Iterator[UUID]:
    """The files of the tasks that the claim has; a link that was taken back has taken its tasks along."""
    tasks = {task.task_id for task in claim.tasks}
    for event in history:
        if isinstance(event, TaskReported) and event.task_id in tasks:
            yield from (media.media_id for media in event.report.media)
        elif isinstance(event, ContentImported | ClaimUnlinked):
            reports = (report for task in event.tasks if task.task_id in tasks for report in task.reports)
            yield from (media.media_id for report in reports for media in report.media)


def _is_new(claim: Claim | None) -> None:
    if claim is not None:
        raise ValueError("a claim with this request's id exists, but its request is not remembered")


def _not_in_future(incident: Incident, checked: CheckedRequest, zone: str) -> None:
    today = latest_date(checked.requested_at, zone)
    if incident.date > today:
        raise Refused(Code.INCIDENT_IN_FUTURE, "incident.date", f"is after {today} in {zone}")


def _is_free(claim_number: str, insurer: str, records: Records) -> None:
    if is_temporary_number(claim_number):
        raise Refused(Code.INVALID_REQUEST, "claim_number", "has the word that marks a temporary claim")
    if records.is_taken(insurer, claim_number):
        raise Refused(Code.CLAIM_NUMBER_TAKEN, "claim_number", "is in use")


def _temporary_numbers(checked: CheckedRequest, request: CreateTemporaryClaim) -> list[str]:
    today = latest_date(checked.requested_at, checked.facts.time_zones[request.insurer])
    return temporary_numbers(checked.claim_id, today, request.claim_number)


def _needs_budget(kind: TaskKind, insurer: str, facts: Facts) -> bool:
    return kind is TaskKind.INSPECTION and insurer in facts.insurers_that_need_budget
