"""Who may ask for what, at the moment of the request (domain rules 1–7, 21 and 22). No I/O, no clock."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from pydantic_core import from_json

from shared.contract import ids
from shared.contract.codes import Code
from shared.contract.commands import CheckedRequest, Facts, OfficeOfInsurer, Refusal
from shared.contract.directory_events import (
    CompanyRegistered,
    DirectoryEvent,
    OfficePermissionSet,
    OfficeRegistered,
    PortalSettingsSet,
    SettingsRequestRefused,
    UserRegistered,
)
from shared.contract.envelope import Envelope, details_of
from shared.contract.fields import CompanyKind, TaskKind
from shared.contract.outcomes import Decision, Detail
from shared.contract.requests import (
    REQUESTS,
    RESERVED_COMPANY_IDS,
    AssignTask,
    ClaimRequest,
    ConvertToNormal,
    CreateTemporaryClaim,
    DirectoryRequest,
    RegisterClaim,
    RegisterCompany,
    RegisterOffice,
    RegisterUser,
    Request,
    SetOfficePermission,
    SetPortalSettings,
    UnlinkClaim,
)
from shared.contract.topics import OPERATOR
from shared.domain.companies import Company, Office
from shared.domain.creation import NotPermitted, decide_creation, rights_in_force
from shared.domain.directory import Directory
from shared.domain.office_hours import region_of
from shared.domain.public_holidays import unknown_region

_NOW = datetime.max.replace(tzinfo=UTC)
"""Asks the directory for what was appended last."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it arrived: who asks, from the topic's name, and when, from the broker (domain rules 4 and 5)."""

    company: str
    at: datetime
    envelope: Envelope


class Refused(Exception):
    """A rule says no."""

    def __init__(self, code: Code, field: str | None = None, problem: str = "", decision: Decision | None = None):
        super().__init__(code)
        self.code = code
        self.details = [Detail(field=field, problem=problem)] if field else None
        self.decision = decision


# Creation requests and the other requests about claims


def check(directory: Directory, asked: Asked) -> CheckedRequest:
    """Check a request about claims and stamp the answer on it; a refused one is passed on too, to be remembered."""
    request: Request | None = None
    decision: Decision | None = None
    facts = Facts()
    refusal: Refusal | None = None
    try:
        request = _understood(asked)
        sender = _sender(directory, asked, request)
        if isinstance(request, CreateTemporaryClaim):
            decision, facts = _check_creation(directory, asked, request)
        else:
            facts = _check_claim_request(directory, asked, sender, request)
    except ValidationError as error:
        refusal = Refusal(code=Code.INVALID_REQUEST, details=details_of(error))
    except Refused as refused:
        refusal = Refusal(code=refused.code, details=refused.details)
        decision = refused.decision
    return CheckedRequest(
        company=asked.company,
        request_id=asked.envelope.id,
        request_type=asked.envelope.type,
        requested_at=asked.at,
        actor=asked.envelope.actor,
        claim_id=_claim_of(asked, request),
        insurer=_insurer_named(directory, asked, request),
        request=None if refusal or request is None else from_json(request.json_bytes()),
        refusal=refusal,
        decision=decision,
        facts=facts,
    )


def _understood(asked: Asked) -> Request:
    """Raise Refused or ValidationError for what is not a well-formed request of a known type (domain rule 22)."""
    envelope = asked.envelope
    if envelope.too_large:
        raise Refused(Code.MESSAGE_TOO_LARGE)
    if envelope.problems:
        refused = Refused(Code.INVALID_REQUEST)
        refused.details = list(envelope.problems)
        raise refused
    model = REQUESTS.get(envelope.type)
    if model is None:
        raise Refused(Code.UNKNOWN_TYPE)
    return model.model_validate_json(envelope.body)


def _sender(directory: Directory, asked: Asked, request: Request) -> Company:
    company = directory.company(asked.company, asked.at)
    if company is None or company.kind not in request.SENT_BY:
        raise Refused(Code.SENDER_NOT_ALLOWED)
    return company


def _claim_of(asked: Asked, request: Request | None) -> UUID:
    if isinstance(request, ClaimRequest):
        return request.claim_id
    return ids.claim_id(asked.company, asked.envelope.id)


def _insurer_named(directory: Directory, asked: Asked, request: Request | None) -> str | None:
    """Tell the registered insurer that a creation request names, however wrong the request is otherwise."""
    if asked.envelope.type != CreateTemporaryClaim.type() or asked.envelope.too_large:
        return None
    named = request.insurer if isinstance(request, CreateTemporaryClaim) else _field(asked.envelope.body, "insurer")
    insurer = directory.company(named, asked.at) if isinstance(named, str) else None
    return insurer.id if insurer is not None and insurer.kind is CompanyKind.INSURER else None


def _field(body: bytes, name: str) -> Any:
    try:
        parsed = from_json(body)
    except ValueError:
        return None
    return parsed.get(name) if isinstance(parsed, dict) else None


def _check_creation(directory: Directory, asked: Asked, request: CreateTemporaryClaim) -> tuple[Decision, Facts]:
    _own_office(directory, asked, request.office)
    insurer = directory.company(request.insurer, asked.at)
    if insurer is None or insurer.kind is not CompanyKind.INSURER:
        raise Refused(Code.UNKNOWN_INSURER, "insurer", "is not a registered insurer")
    try:
        decision = decide_creation(directory, request.insurer, request.office, asked.at)
    except NotPermitted as no:
        refused = Refused(no.code, decision=no.decision)
        if no.problem is not None:
            refused.details = [Detail(field="insurer", problem=no.problem.en)]
        raise refused from None
    try:
        companies = _check_rights(directory, asked, request)
    except Refused as refused:
        refused.decision = decision
        raise
    settings = directory.settings(request.insurer, asked.at)
    return decision, Facts(
        time_zones={request.insurer: settings.time_zone},
        companies_of_offices=companies,
        insurers_that_need_budget=[request.insurer] if settings.inspection_needs_budget else [],
    )


def _check_rights(directory: Directory, asked: Asked, request: CreateTemporaryClaim) -> dict[str, str]:
    """Check what only the enhanced function allows (domain rule 7); tell the companies of the offices named."""
    rights = rights_in_force(directory, request.insurer, request.office, asked.at)
    if request.claim_number is not None and not rights.may_define_claim_number:
        raise Refused(Code.MAY_NOT_DEFINE_CLAIM_NUMBER, "claim_number", "only an office with the right may give one")
    named = [("assigned_office", request.assigned_office)] if request.assigned_office else []
    named += [(f"tasks.{n}.office", task.office) for n, task in enumerate(request.tasks) if task.office]
    companies = {request.office: asked.company}
    for field, office in named:
        found = _partner_office(directory, asked, office, field)
        if found.company != asked.company and not rights.may_assign_to_others:
            raise Refused(Code.MAY_NOT_ASSIGN_TO_OTHERS, field, "is another partner's office")
        companies[found.id] = found.company
    return companies


def _check_claim_request(directory: Directory, asked: Asked, sender: Company, request: Request) -> Facts:
    """Check what can be checked without the claim, and tell claims what only the directory knows."""
    if isinstance(request, RegisterClaim | ConvertToNormal):
        _own_user(directory, asked, request.handler)
    if isinstance(request, RegisterClaim):
        return Facts(time_zones={sender.id: directory.settings(sender.id, asked.at).time_zone})
    if isinstance(request, UnlinkClaim):
        return Facts(unlink_days=directory.settings(sender.id, asked.at).unlink_days)
    if isinstance(request, AssignTask):
        return _facts_for_assignment(directory, asked, sender, request)
    return Facts()


def _facts_for_assignment(directory: Directory, asked: Asked, sender: Company, request: AssignTask) -> Facts:
    companies: dict[str, str] = {}
    rights: list[OfficeOfInsurer] = []
    insurers = [c.id for c in directory.companies(asked.at) if c.kind is CompanyKind.INSURER]
    if request.office is not None:
        office = directory.office(request.office, asked.at)
        own = office is not None and office.company == sender.id
        if office is None or not own:
            office = _partner_office(directory, asked, request.office, "office")
        companies[office.id] = office.company
        if not own and sender.kind is CompanyKind.PARTNER:
            rights = list(_rights_to_assign(directory, asked, insurers))
    needed = request.kind is TaskKind.INSPECTION
    return Facts(
        companies_of_offices=companies,
        may_assign_to_others=rights,
        insurers_that_need_budget=[
            i for i in insurers if needed and directory.settings(i, asked.at).inspection_needs_budget
        ],
    )


def _rights_to_assign(directory: Directory, asked: Asked, insurers: Iterable[str]) -> Iterable[OfficeOfInsurer]:
    offices = directory.offices_of(asked.company, asked.at)
    for insurer in insurers:
        for office in offices:
            if rights_in_force(directory, insurer, office.id, asked.at).may_assign_to_others:
                yield OfficeOfInsurer(insurer=insurer, office=office.id)


def _own_office(directory: Directory, asked: Asked, id: str, field: str = "office") -> Office:
    office = directory.office(id, asked.at)
    if office is None:
        raise Refused(Code.UNKNOWN_OFFICE, field, "is not registered")
    if office.company != asked.company:
        raise Refused(Code.NOT_YOUR_OFFICE, field, "belongs to another company")
    return office


def _partner_office(directory: Directory, asked: Asked, id: str, field: str) -> Office:
    office = directory.office(id, asked.at)
    company = None if office is None else directory.company(office.company, asked.at)
    if office is None or company is None or company.kind is not CompanyKind.PARTNER:
        raise Refused(Code.UNKNOWN_OFFICE, field, "is not a registered partner's office")
    return office


def _own_user(directory: Directory, asked: Asked, id: str) -> None:
    user = directory.user(id, asked.at)
    if user is None or user.company != asked.company:
        raise Refused(Code.UNKNOWN_USER, "handler", "is not a registered user of the company")


# Requests about the directory and settings


def is_about_directory(envelope: Envelope) -> bool:
    """Whether permissions itself answers the request, and `directory` remembers the answer."""
    model = REQUESTS.get(envelope.type)
    return model is not None and issubclass(model, DirectoryRequest)


def settle(directory: Directory, asked: Asked) -> DirectoryEvent:
    """Decide a request about the directory or settings, against the directory as it is now.

    Not as it was when the request was appended: a company's own requests, sent one after the other without waiting,
    would be refused or not depending on how fast this service is.
    """
    about = {
        "company": asked.company,
        "request_id": asked.envelope.id,
        "request_type": asked.envelope.type,
        "requested_at": asked.at,
        "actor": asked.envelope.actor,
    }
    try:
        request = _understood(asked)
        asked = replace(asked, at=_NOW)
        sender = _sender(directory, asked, request)
        if isinstance(request, RegisterCompany):
            _check_company(directory, asked, request)
            return CompanyRegistered.model_validate({**about, "registered": request})
        if isinstance(request, RegisterOffice):
            _check_office(directory, asked, sender, request)
            return OfficeRegistered.model_validate({**about, "registered": request})
        if isinstance(request, RegisterUser):
            _check_user(directory, asked, sender, request)
            return UserRegistered.model_validate({**about, "registered": request})
        if isinstance(request, SetOfficePermission):
            _check_permission(directory, asked, request)
            return OfficePermissionSet.model_validate({**about, "permission": request})
        if isinstance(request, SetPortalSettings):
            _check_settings(directory, asked, request)
            return PortalSettingsSet.model_validate({**about, "settings": request})
        raise TypeError(f"{asked.envelope.type} is not about the directory")
    except ValidationError as error:
        return SettingsRequestRefused.model_validate(
            {**about, "code": Code.INVALID_REQUEST, "details": details_of(error)}
        )
    except Refused as refused:
        return SettingsRequestRefused.model_validate({**about, "code": refused.code, "details": refused.details})


def _check_company(directory: Directory, asked: Asked, request: RegisterCompany) -> None:
    if request.id in RESERVED_COMPANY_IDS:
        raise Refused(Code.INVALID_REQUEST, "id", "is reserved")
    known = directory.company(request.id, asked.at)
    if known is not None and known.kind is not request.kind:
        raise Refused(Code.INVALID_REQUEST, "kind", f"the company is registered as {known.kind}")


def _check_office(directory: Directory, asked: Asked, sender: Company, request: RegisterOffice) -> None:
    _registers_for(directory, asked, sender, request.company)
    known = directory.office(request.id, asked.at)
    if known is not None and known.company != request.company:
        raise Refused(Code.NOT_YOUR_OFFICE, "id", "belongs to another company")


def _check_user(directory: Directory, asked: Asked, sender: Company, request: RegisterUser) -> None:
    company = _registers_for(directory, asked, sender, request.company)
    highest = 6 if company.kind is CompanyKind.INSURER else 4
    if request.authorisation_level > highest:
        raise Refused(Code.INVALID_REQUEST, "authorisation_level", f"must be 1–{highest} for a {company.kind}'s user")
    if request.office is not None:
        office = directory.office(request.office, asked.at)
        if office is None:
            raise Refused(Code.UNKNOWN_OFFICE, "office", "is not registered")
        if office.company != request.company:
            raise Refused(Code.NOT_YOUR_OFFICE, "office", "belongs to another company")
    known = directory.user(request.id, asked.at)
    if known is not None and known.company != request.company:
        raise Refused(Code.INVALID_REQUEST, "id", "is taken")


def _registers_for(directory: Directory, asked: Asked, sender: Company, id: str) -> Company:
    if sender.id not in (OPERATOR, id):
        raise Refused(Code.SENDER_NOT_ALLOWED, "company", "is not the sender")
    company = directory.company(id, asked.at)
    if company is None or company.kind is CompanyKind.OPERATOR:
        raise Refused(Code.INVALID_REQUEST, "company", "is not registered")
    return company


def _check_permission(directory: Directory, asked: Asked, request: SetOfficePermission) -> None:
    _partner_office(directory, asked, request.office, "office")
    grants = request.may_assign_to_others or request.may_define_claim_number
    if grants and not directory.settings(asked.company, asked.at).enhanced_function:
        raise Refused(Code.ENHANCED_FUNCTION_OFF)


def _check_settings(directory: Directory, asked: Asked, request: SetPortalSettings) -> None:
    settings = directory.settings(asked.company, asked.at).changed_by(request)
    if request.country is not None or request.subdivision is not None or request.holiday_categories:
        wrong = unknown_region(region_of(settings))
        if wrong is not None:
            raise Refused(Code.INVALID_REQUEST, *wrong)
