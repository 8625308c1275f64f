"""Who may ask for what about claims, at the moment of the request (domain rules 1–7, 21 and 22). No I/O, no clock.

What depends on the claim itself is for claims to decide; what only the directory knows of it is sent along as facts.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple
from uuid import UUID

from pydantic_core import from_json

from services.permissions.received import ReceivedRequest, partner_office, sender_of
from shared.contract import ids
from shared.contract.codes import Code
from shared.contract.commands import CheckedRequest, Facts, OfficeOfInsurer, Refusal
from shared.contract.fields import CompanyKind, TaskKind
from shared.contract.outcomes import Decision
from shared.contract.requests import (
    AmendClaim,
    ApproveBudget,
    AssignTask,
    CancelClaim,
    ClaimRequest,
    ConvertToNormal,
    CreateTemporaryClaim,
    DirectoryRequest,
    LinkClaim,
    RedactClaim,
    RegisterClaim,
    ReportTask,
    RepublishClaim,
    Request,
    UnlinkClaim,
)
from shared.domain.companies import Company
from shared.domain.creation import decide_creation, rights_in_force
from shared.domain.directory import MOST_CHANGES, Directory
from shared.domain.refusal import Refused


class Passed(NamedTuple):
    """What permissions knows of a request that it lets through."""

    facts: Facts = Facts()
    decision: Decision | None = None


def check(directory: Directory, received: ReceivedRequest) -> CheckedRequest:
    """Check a request that `directory` does not remember; a refused one is passed on too: claims remembers outcomes."""
    request: Request | None = None
    passed = Passed()
    refusal: Refusal | None = None
    try:
        request = received.parse()
        sender = sender_of(directory, received.company, request, received.at)
        passed = _CHECKS.get(type(request), refuse_change)(directory, received, sender, request)
    except Refused as refused:
        refusal, passed = refused.refusal, Passed(decision=refused.decision)
    return CheckedRequest(
        company=received.company,
        request_id=received.envelope.id,
        request_type=received.envelope.type,
        requested_at=received.at,
        actor=received.envelope.actor,
        claim_id=_claim_of(received, request),
        insurer=_insurer_named(directory, received, request),
        request=None if refusal else request,
        refusal=refusal,
        decision=passed.decision,
        facts=passed.facts,
    )


def check_creation(
    directory: Directory, received: ReceivedRequest, sender: Company, request: CreateTemporaryClaim
) -> Passed:
    """Domain rules 1–7; see `shared.domain.creation`."""
    assigned = [("assigned_office", request.assigned_office)] if request.assigned_office else []
    assigned += [(f"tasks.{n}.office", task.office) for n, task in enumerate(request.tasks) if task.office]
    decision = decide_creation(
        directory,
        request.insurer,
        request.office,
        received.at,
        sender=sender.id,
        defines_claim_number=request.claim_number is not None,
        assigned_offices=assigned,
    )
    offices = (directory.office(id, received.at) for id in (request.office, *(id for _, id in assigned)))
    settings = directory.settings(request.insurer, received.at)
    facts = Facts(
        time_zones={request.insurer: settings.time_zone},
        companies_of_offices={office.id: office.company for office in offices if office is not None},
        insurers_that_need_budget=[request.insurer] if settings.inspection_needs_budget else [],
    )
    return Passed(facts, decision)


def check_registration(
    directory: Directory, received: ReceivedRequest, sender: Company, request: RegisterClaim
) -> Passed:
    """The claims handler is a user of the insurer (domain rule 14)."""
    _check_handler(directory, received, request.handler)
    return Passed(Facts(time_zones={sender.id: directory.settings(sender.id, received.at).time_zone}))


def check_conversion(directory: Directory, received: ReceivedRequest, _: Company, request: ConvertToNormal) -> Passed:
    """The claims handler is a user of the insurer (domain rule 14)."""
    _check_handler(directory, received, request.handler)
    return Passed()


def check_unlinking(directory: Directory, received: ReceivedRequest, sender: Company, _: UnlinkClaim) -> Passed:
    """A link can be taken back for as many days as the insurer's settings say."""
    return Passed(Facts(unlink_days=directory.settings(sender.id, received.at).unlink_days))


def check_assignment(directory: Directory, received: ReceivedRequest, sender: Company, request: AssignTask) -> Passed:
    """The office is the sender's or a partner's; whether it may be another's depends on the claim (domain rule 7)."""
    at = received.at
    companies: dict[str, str] = {}
    rights: list[OfficeOfInsurer] = []
    insurers = [insurer.id for insurer in directory.insurers(at)]
    if request.office is not None:
        office = directory.office(request.office, at)
        own = office is not None and office.company == sender.id
        if office is None or not own:
            office = partner_office(directory, request.office, at, "office")
        companies[office.id] = office.company
        if not own and sender.kind is CompanyKind.PARTNER:
            rights = list(_rights_to_assign(directory, received, insurers))
    needed = request.kind is TaskKind.INSPECTION
    return Passed(
        Facts(
            companies_of_offices=companies,
            may_assign_to_others=rights,
            insurers_that_need_budget=[
                insurer for insurer in insurers if needed and directory.settings(insurer, at).inspection_needs_budget
            ],
        )
    )


def let_through(_: Directory, __: ReceivedRequest, ___: Company, ____: Request) -> Passed:
    """Nothing is left to check without the claim."""
    return Passed()


def refuse_change(_: Directory, __: ReceivedRequest, ___: Company, ____: DirectoryRequest) -> Passed:
    """What is about the directory and not settled there is too much (`is_settled_here`)."""
    raise Refused(Code.TOO_MANY_CHANGES, "request", f"is one of more than {MOST_CHANGES} within 24 hours")


_CHECKS: dict[type[Request], Callable[[Directory, ReceivedRequest, Company, Any], Passed]] = {
    CreateTemporaryClaim: check_creation,
    RegisterClaim: check_registration,
    AssignTask: check_assignment,
    ReportTask: let_through,
    ApproveBudget: let_through,
    ConvertToNormal: check_conversion,
    AmendClaim: let_through,
    CancelClaim: let_through,
    LinkClaim: let_through,
    UnlinkClaim: check_unlinking,
    RedactClaim: let_through,
    RepublishClaim: let_through,
}


def _check_handler(directory: Directory, received: ReceivedRequest, id: str) -> None:
    user = directory.user(id, received.at)
    if user is None or user.company != received.company:
        raise Refused(Code.UNKNOWN_USER, "handler", "is not a registered user of the company")


def _rights_to_assign(
    directory: Directory, received: ReceivedRequest, insurers: Iterable[str]
) -> Iterable[OfficeOfInsurer]:
    offices = directory.offices_of(received.company, received.at)
    for insurer in insurers:
        for office in offices:
            if rights_in_force(directory, insurer, office.id, received.at).may_assign_to_others:
                yield OfficeOfInsurer(insurer=insurer, office=office.id)


def _claim_of(received: ReceivedRequest, request: Request | None) -> UUID:
    if isinstance(request, ClaimRequest):
        return request.claim_id
    return ids.claim_id(received.company, received.envelope.id)


def _insurer_named(directory: Directory, received: ReceivedRequest, request: Request | None) -> str | None:
    """Return the registered insurer that a creation request names, however wrong the request is otherwise."""
    envelope = received.envelope
    if envelope.type != CreateTemporaryClaim.type() or envelope.too_large:
        return None
    named = request.insurer if isinstance(request, CreateTemporaryClaim) else _field(envelope.body, "insurer")
    insurer = directory.insurer(named, received.at) if isinstance(named, str) else None
    return None if insurer is None else insurer.id


def _field(body: bytes, name: str) -> Any:
    try:
        parsed = from_json(body)
    except ValueError:
        return None
    return parsed.get(name) if isinstance(parsed, dict) else None
