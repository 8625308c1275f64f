"""The directory as it was at any moment: companies, offices, users, permissions and settings, built from its topic.

Pure: each message of the topic is applied in order, and every question names its moment. Of two messages for the same
request the first counts, so every reader comes to the same directory.
"""

import sys
from bisect import bisect_right, insort
from collections import ChainMap, defaultdict
from collections.abc import Callable, MutableMapping
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.contract.codes import Code
from shared.contract.directory_events import (
    CompanyRegistered,
    CompanyRemoved,
    DirectoryEvent,
    NotUnderstood,
    OfficePermissionSet,
    OfficeRegistered,
    OfficeRemoved,
    PortalSettingsSet,
    SettingsRequestRefused,
    UserRegistered,
    UserRemoved,
)
from shared.contract.fields import CompanyKind
from shared.contract.outcomes import Detail
from shared.contract.topics import OPERATOR
from shared.domain.companies import Company, Office, OfficePermission, User
from shared.domain.history import History, SettingsHistory
from shared.domain.portal_settings import DEFAULT_SETTINGS, PortalSettings

BEGINNING = datetime.min.replace(tzinfo=UTC)
"""Before everything that was appended."""
LATEST = datetime.max.replace(tzinfo=UTC)
"""After everything that was appended: asks for the directory as it is now."""
MOST_CHANGES = 20_000
"""So many requests of a company it takes within 24 hours, since it keeps each for ever; of the operator any number."""
_A_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class SettledRequest:
    """What became of a request about the directory (domain rule 21)."""

    request_type: str
    requested_at: datetime
    effective_at: datetime
    code: Code | None = None
    """Of a refusal."""
    details: tuple[Detail, ...] | None = None


class _Copies(ChainMap[Any, Any]):
    """A mapping with another's values, each copied as soon as it is asked for."""

    def __init__(self, of: MutableMapping[Any, Any], make: Callable[[], Any]) -> None:
        super().__init__({}, of)
        self._make = make

    def __getitem__(self, key: Any) -> Any:
        own, of = self.maps
        if key not in own:
            own[key] = copy(of[key]) if key in of else self._make()
        return own[key]


class Directory:
    """Everything on the topic `directory`, by moment."""

    def __init__(self) -> None:
        self.changes = 0
        """How many messages changed anything that is in force."""
        self._companies: defaultdict[str, History[Company | None]] = defaultdict(History)
        self._offices: defaultdict[str, History[Office | None]] = defaultdict(History)
        self._users: defaultdict[str, History[User | None]] = defaultdict(History)
        self._permissions: defaultdict[tuple[str, str], History[OfficePermission]] = defaultdict(History)
        self._settings: defaultdict[str, SettingsHistory] = defaultdict(SettingsHistory)
        self._not_understood: defaultdict[str, History[tuple[str, ...]]] = defaultdict(History)
        self._offices_of: defaultdict[str, set[str]] = defaultdict(set)
        """All that a company has, or has had."""
        self._users_of: defaultdict[str, set[str]] = defaultdict(set)
        """As with offices."""
        self._offices_now: defaultdict[str, int] = defaultdict(int)
        self._users_now: defaultdict[str, int] = defaultdict(int)
        self._settled: defaultdict[str, dict[str, SettledRequest]] = defaultdict(dict)
        self._asked: defaultdict[str, list[datetime]] = defaultdict(list)
        """When each request of a company was appended, in order."""
        self._latest = BEGINNING
        self._companies[OPERATOR].add(Company(OPERATOR, "Operator", CompanyKind.OPERATOR), BEGINNING)

    def apply(self, event: DirectoryEvent, effective_at: datetime) -> None:
        """Apply the topic's next message; `effective_at` is its append time."""
        settled = self._settled[event.company]
        if event.request_id in settled:
            return
        # A broker's clock that was set back does not put anything in force before what was appended earlier.
        effective_at = self._latest = max(effective_at, self._latest)
        code, details = self._refusal(event)
        settled[event.request_id] = SettledRequest(
            sys.intern(event.request_type), event.requested_at, effective_at, code, details
        )
        if event.company != OPERATOR:
            insort(self._asked[event.company], event.requested_at)
        if code is None and self._put_in_force(event, effective_at):
            self.changes += 1

    def ahead(self) -> "Directory":
        """Return a directory that begins as this one and goes its own way; it costs what is looked at in it."""
        ahead = copy(self)
        for name, kept in vars(self).items():
            if isinstance(kept, defaultdict) and kept.default_factory:
                setattr(ahead, name, _Copies(kept, kept.default_factory))
        return ahead

    def _put_in_force(self, event: DirectoryEvent, effective_at: datetime) -> bool:
        """Return whether anything is otherwise than before."""
        if isinstance(event, CompanyRegistered):
            company = event.registered
            companies = self._companies[company.id]
            latest = companies.latest
            token_sha256 = company.token_sha256 or (latest.token_sha256 if latest else None)
            return companies.add(Company(company.id, company.name, company.kind, token_sha256), effective_at)
        if isinstance(event, OfficeRegistered):
            office = event.registered
            self._offices_of[office.company].add(office.id)
            self._offices_now[office.company] += self._offices[office.id].latest is None
            return self._offices[office.id].add(Office(office.id, office.company, office.name), effective_at)
        if isinstance(event, UserRegistered):
            user = event.registered
            self._users_of[user.company].add(user.id)
            self._users_now[user.company] += self._users[user.id].latest is None
            return self._users[user.id].add(
                User(user.id, user.company, user.name, user.office, user.email, user.authorisation_level), effective_at
            )
        if isinstance(event, CompanyRemoved):
            return self._remove_company(event.removed.id, effective_at)
        if isinstance(event, OfficeRemoved):
            return self._remove_office(event.removed.id, event.removed.company, effective_at)
        if isinstance(event, UserRemoved):
            return self._remove_user(event.removed.id, event.removed.company, effective_at)
        if isinstance(event, OfficePermissionSet):
            permissions = self._permissions[event.company, event.permission.office]
            before = permissions.latest or OfficePermission()
            return permissions.add(before.changed_by(event.permission), effective_at)
        if isinstance(event, PortalSettingsSet):
            settings = self._settings[event.company]
            return settings.add(settings.latest.changed_by(event.settings), effective_at)
        if isinstance(event, NotUnderstood):
            reasons = self._not_understood[OPERATOR if event.is_registration else event.company]
            return reasons.add(tuple(dict.fromkeys((*(reasons.latest or ()), event.reason))), effective_at)
        return False

    def _remove_company(self, id: str, effective_at: datetime) -> bool:
        for user in self._users_of[id]:
            self._remove_user(user, id, effective_at)
        offices = {office for office in self._offices_of[id] if self._take_office(office, id, effective_at)}
        self._end_permissions(lambda insurer, office: insurer == id or office in offices, effective_at)
        self._settings[id].add(DEFAULT_SETTINGS, effective_at)
        return self._companies[id].add(None, effective_at)

    def _remove_office(self, id: str, company: str, effective_at: datetime) -> bool:
        """Take it out with its permissions; return whether it was this company's."""
        is_taken = self._take_office(id, company, effective_at)
        if is_taken:
            self._end_permissions(lambda _, office: office == id, effective_at)
        return is_taken

    def _take_office(self, id: str, company: str, effective_at: datetime) -> bool:
        """Take it out if it is still this company's; return whether it was."""
        office = self._offices[id].latest
        if office is None or office.company != company:
            return False
        self._offices_now[company] -= 1
        return self._offices[id].add(None, effective_at)

    def _remove_user(self, id: str, company: str, effective_at: datetime) -> bool:
        """Take them out if they are still this company's; return whether they were."""
        user = self._users[id].latest
        if user is None or user.company != company:
            return False
        self._users_now[company] -= 1
        return self._users[id].add(None, effective_at)

    def _end_permissions(self, ends: Callable[[str, str], bool], effective_at: datetime) -> None:
        """Set back those of which it holds, of the insurer and the office; it looks through all that there are."""
        for insurer, office in [key for key in self._permissions if ends(*key)]:
            self._permissions[insurer, office].add(OfficePermission(), effective_at)

    def _refusal(self, event: DirectoryEvent) -> tuple[Code | None, tuple[Detail, ...] | None]:
        """Return why a request was refused; a registration of an id that another company has is a refusal too.

        Two instances of permissions that settle such requests at once accept both. The topic's order decides, so every
        reader comes to the same, also of the request's outcome.
        """
        if isinstance(event, SettingsRequestRefused):
            return event.code, None if event.details is None else tuple(event.details)
        code = None
        if isinstance(event, CompanyRegistered):
            company = self._companies[event.registered.id].latest
            code = Code.INVALID_REQUEST if company and company.kind is not event.registered.kind else None
        elif isinstance(event, OfficeRegistered):
            office = self._offices[event.registered.id].latest
            code = Code.NOT_YOUR_OFFICE if office and office.company != event.registered.company else None
        elif isinstance(event, UserRegistered):
            user = self._users[event.registered.id].latest
            code = Code.INVALID_REQUEST if user and user.company != event.registered.company else None
        return code, None if code is None else (Detail(field="id", problem="is taken"),)

    def settled(self, company: str, request_id: str) -> SettledRequest | None:
        """Return what became of a request about the directory (domain rule 21); None where it is not known."""
        return self._settled[company].get(request_id) if company in self._settled else None

    def has_changed_enough(self, company: str, at: datetime) -> bool:
        """Whether a company's requests of the 24 hours up to a moment are as many as the directory takes."""
        asked = self._asked.get(company, ())
        return bisect_right(asked, at) - bisect_right(asked, at - _A_DAY) >= MOST_CHANGES

    def not_understood(self, company: str, at: datetime) -> tuple[str, ...]:
        """Return what this version does not understand of what a company had in force at a moment.

        A registration that is not understood is not known, and counts as the operator's.
        """
        history = self._not_understood.get(company)
        return (history and history.at(at)) or ()

    def company(self, id: str, at: datetime) -> Company | None:
        """Return a company that was registered at a moment."""
        return self._companies[id].at(at) if id in self._companies else None

    def insurer(self, id: str, at: datetime) -> Company | None:
        """Return a company that was registered as an insurer at a moment."""
        company = self.company(id, at)
        return company if company is not None and company.kind is CompanyKind.INSURER else None

    def company_with_token(self, token_sha256: str) -> Company | None:
        """Return the company whose bearer token has this SHA-256 now: a token that was replaced is nobody's."""
        latest = (history.latest for history in self._companies.values())
        return next((company for company in latest if company and company.token_sha256 == token_sha256), None)

    def registered_at(self, company: str) -> datetime | None:
        """Return when a company was registered first."""
        return self._companies[company].begins if company in self._companies else None

    def office(self, id: str, at: datetime) -> Office | None:
        """Return an office that was registered at a moment."""
        return self._offices[id].at(at) if id in self._offices else None

    def partner_office(self, id: str, at: datetime) -> Office | None:
        """Return an office that was registered at a moment and is a partner's."""
        office = self.office(id, at)
        company = None if office is None else self.company(office.company, at)
        return office if company is not None and company.kind is CompanyKind.PARTNER else None

    def user(self, id: str, at: datetime) -> User | None:
        """Return a user that was registered at a moment."""
        return self._users[id].at(at) if id in self._users else None

    def count_offices(self, company: str) -> int:
        """Count the offices that a company has now."""
        return self._offices_now.get(company, 0)

    def count_users(self, company: str) -> int:
        """Count the users that a company has now."""
        return self._users_now.get(company, 0)

    def has_users(self, office: Office) -> bool:
        """Whether somebody is registered with an office now."""
        users = (self._users[id].latest for id in self._users_of.get(office.company, ()))
        return any(user is not None and user.office == office.id for user in users)

    def permission(self, insurer: str, office: str, at: datetime) -> OfficePermission:
        """Return what an office may do for an insurer at a moment; by default nothing (domain rule 1)."""
        history = self._permissions.get((insurer, office))
        return (history and history.at(at)) or OfficePermission()

    def settings(self, insurer: str, at: datetime) -> PortalSettings:
        """Return an insurer's settings in force at a moment (domain rule 4)."""
        history = self._settings.get(insurer)
        return DEFAULT_SETTINGS if history is None else history.at(at)

    def offices_of(self, company: str, at: datetime) -> list[Office]:
        """Return a company's offices at a moment, by id."""
        found = (self.office(office, at) for office in sorted(self._offices_of.get(company, ())))
        return [office for office in found if office is not None and office.company == company]

    def companies(self, at: datetime) -> list[Company]:
        """Return the companies that were registered at a moment, by id."""
        found = (history.at(at) for _, history in sorted(self._companies.items()))
        return [company for company in found if company is not None]

    def insurers(self, at: datetime) -> list[Company]:
        """Return the insurers that were registered at a moment, by id."""
        return [company for company in self.companies(at) if company.kind is CompanyKind.INSURER]

    def users(self, at: datetime) -> list[User]:
        """Return the users that were registered at a moment, by id."""
        found = (history.at(at) for _, history in sorted(self._users.items()))
        return [user for user in found if user is not None]

    def permissions_of(self, insurer: str, at: datetime) -> dict[str, OfficePermission]:
        """Return the permissions that an insurer had given at a moment, by office."""
        found = {o: history.at(at) for (i, o), history in sorted(self._permissions.items()) if i == insurer}
        return {office: permission for office, permission in found.items() if permission is not None}
