"""Who may change what in the directory and in settings (domain rules 1, 2, 7 and 21). No I/O, no clock.

Requests are decided against the directory as it is now, and not as it was when the request was appended: a company's
own requests, sent one after the other without waiting, would be refused or not depending on how fast this service is.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from services.permissions.received import ReceivedRequest, is_settled_here, partner_office, sender_of
from shared.contract.codes import Code
from shared.contract.directory_events import EVENT_OF, DirectoryEvent, SettingsRequestRefused
from shared.contract.fields import CompanyKind
from shared.contract.requests import (
    RESERVED_COMPANY_IDS,
    DirectoryRequest,
    RegisterCompany,
    RegisterOffice,
    RegisterUser,
    RemoveCompany,
    RemoveOffice,
    RemoveUser,
    SetOfficePermission,
    SetPortalSettings,
)
from shared.contract.topics import OPERATOR
from shared.domain.companies import Company
from shared.domain.directory import BEGINNING, LATEST, Directory
from shared.domain.office_hours import region_of
from shared.domain.public_holidays import unknown_region
from shared.domain.refusal import Refused

MOST_OFFICES = 2_000
MOST_USERS = 20_000
"""So many a company can register itself: each is in the memory of every service. The operator can register more."""

_HIGHEST_LEVEL = {CompanyKind.INSURER: 6, CompanyKind.PARTNER: 4}


def settle_in_order(
    directory: Directory, requests: Iterable[ReceivedRequest]
) -> Iterator[tuple[DirectoryEvent, ReceivedRequest]]:
    """Settle what the directory does not remember yet, each request with those before it in force.

    What is too much for a company is left out.
    """
    ahead = directory.ahead()
    for received in requests:
        is_new = ahead.settled(received.company, received.envelope.id) is None
        if is_new and is_settled_here(ahead, received.company, received.envelope.type, received.at):
            event = settle(ahead, received)
            ahead.apply(event, BEGINNING)
            yield event, received


def settle(directory: Directory, received: ReceivedRequest) -> DirectoryEvent:
    """Decide a request about the directory or settings. What is returned goes on `directory`, also a refusal."""
    about = {
        "company": received.company,
        "request_id": received.envelope.id,
        "request_type": received.envelope.type,
        "requested_at": received.at,
        "actor": received.envelope.actor,
    }
    try:
        request = received.parse()
        if not isinstance(request, DirectoryRequest):
            raise TypeError(f"{received.envelope.type} is not about the directory")
        sender = sender_of(directory, received.company, request, LATEST)
        _CHECKS[type(request)](directory, sender, request)
    except Refused as refused:
        refusal = refused.refusal
        return SettingsRequestRefused.model_validate({**about, "code": refusal.code, "details": refusal.details})
    event, part = EVENT_OF[type(request)]
    return event.model_validate({**about, part: request})


def check_company(directory: Directory, _: Company, request: RegisterCompany) -> None:
    """An id that is not reserved, and a company stays what it is."""
    if request.id in RESERVED_COMPANY_IDS:
        raise Refused(Code.INVALID_REQUEST, "id", "is reserved")
    registered = directory.company(request.id, LATEST)
    if registered is not None and registered.kind is not request.kind:
        raise Refused(Code.INVALID_REQUEST, "kind", f"the company is registered as {registered.kind}")


def check_office(directory: Directory, sender: Company, request: RegisterOffice) -> None:
    """An office stays its company's."""
    _registered_by(directory, sender, request.company)
    registered = directory.office(request.id, LATEST)
    if registered is not None and registered.company != request.company:
        raise Refused(Code.NOT_YOUR_OFFICE, "id", "belongs to another company")
    if registered is None and sender.id != OPERATOR and directory.count_offices(sender.id) >= MOST_OFFICES:
        raise Refused(Code.COMPANY_FULL, "id", f"the company has {MOST_OFFICES} offices")


def check_user(directory: Directory, sender: Company, request: RegisterUser) -> None:
    """A user stays their company's, with a level that such a company has, at an office of it."""
    company = _registered_by(directory, sender, request.company)
    highest = _HIGHEST_LEVEL[company.kind]
    if request.authorisation_level > highest:
        raise Refused(Code.INVALID_REQUEST, "authorisation_level", f"must be 1–{highest} for a {company.kind}'s user")
    if request.office is not None:
        office = directory.office(request.office, LATEST)
        if office is None:
            raise Refused(Code.UNKNOWN_OFFICE, "office", "is not registered")
        if office.company != request.company:
            raise Refused(Code.NOT_YOUR_OFFICE, "office", "belongs to another company")
    registered = directory.user(request.id, LATEST)
    if registered is not None and registered.company != request.company:
        raise Refused(Code.INVALID_REQUEST, "id", "is taken")
    if registered is None and sender.id != OPERATOR and directory.count_users(sender.id) >= MOST_USERS:
        raise Refused(Code.COMPANY_FULL, "id", f"the company has {MOST_USERS} users")


def check_removed_company(directory: Directory, _: Company, request: RemoveCompany) -> None:
    """A company that is there."""
    company = directory.company(request.id, LATEST)
    if company is None or company.kind is CompanyKind.OPERATOR:
        raise Refused(Code.INVALID_REQUEST, "id", "is not registered")


def check_removed_office(directory: Directory, sender: Company, request: RemoveOffice) -> None:
    """An office of the company, which nobody is registered with."""
    _registered_by(directory, sender, request.company)
    office = directory.office(request.id, LATEST)
    if office is None or office.company != request.company:
        raise Refused(Code.UNKNOWN_OFFICE, "id", "is not registered")
    if directory.has_users(office):
        raise Refused(Code.INVALID_REQUEST, "id", "has users, who have to be removed or moved before")


def check_removed_user(directory: Directory, sender: Company, request: RemoveUser) -> None:
    """A user of the company."""
    _registered_by(directory, sender, request.company)
    user = directory.user(request.id, LATEST)
    if user is None or user.company != request.company:
        raise Refused(Code.UNKNOWN_USER, "id", "is not registered")


def check_permission(directory: Directory, sender: Company, request: SetOfficePermission) -> None:
    """Of a partner's office; a right can be given only while the enhanced function is on (domain rule 7)."""
    partner_office(directory, request.office, LATEST, "office")
    grants = request.may_assign_to_others or request.may_define_claim_number
    if grants and not directory.settings(sender.id, LATEST).enhanced_function:
        raise Refused(Code.ENHANCED_FUNCTION_OFF)


def check_settings(directory: Directory, sender: Company, request: SetPortalSettings) -> None:
    """Holidays of a region that is known here (domain rule 2)."""
    settings = directory.settings(sender.id, LATEST).changed_by(request)
    if request.country is not None or request.subdivision is not None or request.holiday_categories:
        wrong = unknown_region(region_of(settings))
        if wrong is not None:
            raise Refused(Code.INVALID_REQUEST, *wrong)


_CHECKS: dict[type[DirectoryRequest], Callable[[Directory, Company, Any], None]] = {
    RegisterCompany: check_company,
    RegisterOffice: check_office,
    RegisterUser: check_user,
    RemoveCompany: check_removed_company,
    RemoveOffice: check_removed_office,
    RemoveUser: check_removed_user,
    SetOfficePermission: check_permission,
    SetPortalSettings: check_settings,
}


def _registered_by(directory: Directory, sender: Company, id: str) -> Company:
    """Find the company that something is registered of: the sender's own, or for the operator any."""
    if sender.id not in (OPERATOR, id):
        raise Refused(Code.SENDER_NOT_ALLOWED, "company", "is not the sender")
    company = directory.company(id, LATEST)
    if company is None or company.kind is CompanyKind.OPERATOR:
        raise Refused(Code.INVALID_REQUEST, "company", "is not registered")
    return company
