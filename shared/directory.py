"""The directory as it was at any moment: companies, offices, users, permissions and settings, built from its topic.

Pure: it is told each message of the topic in order, and asked about a moment. Of two messages for the same request the
first counts, so every reader comes to the same directory.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from types import MappingProxyType
from typing import Generic, TypeVar

from shared.contract.codes import Code
from shared.contract.directory_events import (
    CompanyRegistered,
    DirectoryEvent,
    OfficePermissionSet,
    OfficeRegistered,
    PortalSettingsSet,
    SettingsRequestRefused,
    UserRegistered,
)
from shared.contract.fields import CompanyKind, CreationPermission, Hours, ReportPeriod, Weekday
from shared.contract.outcomes import Detail
from shared.contract.requests import SetOfficePermission, SetPortalSettings
from shared.contract.topics import OPERATOR

T = TypeVar("T")

BEGINNING = datetime.min.replace(tzinfo=UTC)

_EIGHT_TO_FOUR = Hours(opens="08:00", closes="16:00")
DEFAULT_OFFICE_HOURS: Mapping[Weekday, Hours | None] = MappingProxyType(
    {day: None if day in {Weekday.SAT, Weekday.SUN} else _EIGHT_TO_FOUR for day in Weekday},
)
"""Domain rule 2."""


@dataclass(frozen=True, slots=True)
class Company:
    """An insurer, a partner, or the operator."""

    id: str
    name: str
    kind: CompanyKind
    token_sha256: str | None = None
    """Of the bearer token with which its systems call the portal."""


@dataclass(frozen=True, slots=True)
class Office:
    """A part of a company; permissions are given to it."""

    id: str
    company: str
    name: str


@dataclass(frozen=True, slots=True)
class User:
    """A person of a company."""

    id: str
    company: str
    name: str
    office: str | None
    email: str | None
    authorisation_level: int


@dataclass(frozen=True, slots=True)
class OfficePermission:
    """What an office may do for an insurer (domain rules 1 and 7); rights are dormant without the enhanced function."""

    creation: CreationPermission = CreationPermission.NEVER
    may_assign_to_others: bool = False
    may_define_claim_number: bool = False

    def changed_by(self, request: SetOfficePermission) -> "OfficePermission":
        """Apply a request; a right left out stays."""
        given = request.may_assign_to_others, request.may_define_claim_number
        return OfficePermission(
            request.creation,
            self.may_assign_to_others if given[0] is None else given[0],
            self.may_define_claim_number if given[1] is None else given[1],
        )


@dataclass(frozen=True, slots=True)
class PortalSettings:
    """What an insurer decides for itself, with the defaults of domain rules 2, 7, 11 and 18."""

    time_zone: str = "Europe/Oslo"
    country: str = "NO"
    subdivision: str | None = None
    office_hours: Mapping[Weekday, Hours | None] = field(default_factory=lambda: DEFAULT_OFFICE_HOURS)
    closed_days: frozenset[date] = frozenset()
    special_hours: Mapping[date, Hours | None] = field(default_factory=dict)
    enhanced_function: bool = False
    inspection_needs_budget: bool = False
    report_period: ReportPeriod = ReportPeriod.WEEKLY
    unlink_days: int = 30

    def changed_by(self, request: SetPortalSettings) -> "PortalSettings":
        """Apply a request; what is left out stays, and another country takes the old one's subdivision away."""
        new = self
        if request.country is not None and request.country != self.country:
            new = replace(new, country=request.country, subdivision=None)
        if "subdivision" in request.model_fields_set:
            new = replace(new, subdivision=request.subdivision)
        if request.office_hours is not None:
            new = replace(new, office_hours=MappingProxyType({**self.office_hours, **request.office_hours}))
        if request.closed_days is not None:
            new = replace(new, closed_days=frozenset(request.closed_days))
        if request.special_hours is not None:
            new = replace(new, special_hours=MappingProxyType(dict(request.special_hours)))
        if request.enhanced_function is not None:
            new = replace(new, enhanced_function=request.enhanced_function)
        if request.inspection_needs_budget is not None:
            new = replace(new, inspection_needs_budget=request.inspection_needs_budget)
        return replace(
            new,
            time_zone=request.time_zone or self.time_zone,
            report_period=request.report_period or self.report_period,
            unlink_days=self.unlink_days if request.unlink_days is None else request.unlink_days,
        )


class History(Generic[T]):
    """The values of one thing over time, each in force from its moment until the next one's."""

    __slots__ = ("_moments", "_values")

    def __init__(self) -> None:
        self._moments: list[datetime] = []
        self._values: list[T] = []

    def add(self, value: T, effective_at: datetime) -> None:
        """Add a value; a broker's clock that was set back does not reorder what it appended."""
        self._moments.append(max(effective_at, self._moments[-1]) if self._moments else effective_at)
        self._values.append(value)

    def at(self, moment: datetime) -> T | None:
        """Tell the value in force at a moment; a value is in force from its moment on, to the microsecond."""
        index = bisect_right(self._moments, moment)
        return self._values[index - 1] if index else None

    @property
    def begins(self) -> datetime | None:
        """Tell when the first value came into force."""
        return self._moments[0] if self._moments else None

    @property
    def latest(self) -> T | None:
        """Tell the last value."""
        return self._values[-1] if self._values else None


class Directory:
    """Everything on the topic `directory`, by moment."""

    def __init__(self) -> None:
        self._companies: defaultdict[str, History[Company]] = defaultdict(History)
        self._offices: defaultdict[str, History[Office]] = defaultdict(History)
        self._users: defaultdict[str, History[User]] = defaultdict(History)
        self._permissions: defaultdict[tuple[str, str], History[OfficePermission]] = defaultdict(History)
        self._settings: defaultdict[str, History[PortalSettings]] = defaultdict(History)
        self._offices_of: defaultdict[str, set[str]] = defaultdict(set)
        self._answered: dict[tuple[str, str], tuple[DirectoryEvent, datetime]] = {}
        self._latest = BEGINNING
        self._companies[OPERATOR].add(Company(OPERATOR, "Operator", CompanyKind.OPERATOR), BEGINNING)

    def apply(self, event: DirectoryEvent, effective_at: datetime) -> None:
        """Take in the topic's next message; `effective_at` is its append time."""
        request = event.company, event.request_id
        if request in self._answered:
            return
        # A broker's clock that was set back does not put anything in force before what was appended earlier.
        effective_at = self._latest = max(effective_at, self._latest)
        event = self._refused_if_taken(event)
        self._answered[request] = event, effective_at
        if isinstance(event, CompanyRegistered):
            company = event.registered
            companies = self._companies[company.id]
            known = companies.latest
            token_sha256 = company.token_sha256 or (known.token_sha256 if known else None)
            companies.add(Company(company.id, company.name, company.kind, token_sha256), effective_at)
        elif isinstance(event, OfficeRegistered):
            office = event.registered
            self._offices[office.id].add(Office(office.id, office.company, office.name), effective_at)
            self._offices_of[office.company].add(office.id)
        elif isinstance(event, UserRegistered):
            user = event.registered
            self._users[user.id].add(
                User(user.id, user.company, user.name, user.office, user.email, user.authorisation_level), effective_at
            )
        elif isinstance(event, OfficePermissionSet):
            permissions = self._permissions[event.company, event.permission.office]
            before = permissions.latest or OfficePermission()
            permissions.add(before.changed_by(event.permission), effective_at)
        elif isinstance(event, PortalSettingsSet):
            settings = self._settings[event.company]
            settings.add((settings.latest or PortalSettings()).changed_by(event.settings), effective_at)

    def _refused_if_taken(self, event: DirectoryEvent) -> DirectoryEvent:
        """Take a registration of an id that another company has for a refusal.

        Two instances of permissions that settle such requests at once accept both. The topic's order decides, so every
        reader comes to the same, also of the request's outcome.
        """
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
        if code is None:
            return event
        return SettingsRequestRefused(
            company=event.company,
            request_id=event.request_id,
            request_type=event.request_type,
            requested_at=event.requested_at,
            actor=event.actor,
            code=code,
            details=[Detail(field="id", problem="is taken")],
        )

    def answered(self, company: str, request_id: str) -> tuple[DirectoryEvent, datetime] | None:
        """Tell the message that answered a request, and when it was appended (domain rule 21)."""
        return self._answered.get((company, request_id))

    def company(self, id: str, at: datetime) -> Company | None:
        """Tell a company that was registered at a moment."""
        return self._companies[id].at(at) if id in self._companies else None

    def company_with_token(self, token_sha256: str) -> Company | None:
        """Tell whose bearer token this is the SHA-256 of, as things are now: a token that was replaced is nobody's."""
        latest = (history.latest for history in self._companies.values())
        return next((company for company in latest if company and company.token_sha256 == token_sha256), None)

    def registered_at(self, company: str) -> datetime | None:
        """Tell when a company was registered first."""
        return self._companies[company].begins if company in self._companies else None

    def office(self, id: str, at: datetime) -> Office | None:
        """Tell an office that was registered at a moment."""
        return self._offices[id].at(at) if id in self._offices else None

    def user(self, id: str, at: datetime) -> User | None:
        """Tell a user that was registered at a moment."""
        return self._users[id].at(at) if id in self._users else None

    def permission(self, insurer: str, office: str, at: datetime) -> OfficePermission:
        """Tell what an office may do for an insurer at a moment; by default nothing (domain rule 1)."""
        history = self._permissions.get((insurer, office))
        return (history and history.at(at)) or OfficePermission()

    def settings(self, insurer: str, at: datetime) -> PortalSettings:
        """Tell an insurer's settings in force at a moment (domain rule 4)."""
        history = self._settings.get(insurer)
        return (history and history.at(at)) or PortalSettings()

    def offices_of(self, company: str, at: datetime) -> list[Office]:
        """Tell a company's offices at a moment, by id."""
        found = (self.office(office, at) for office in sorted(self._offices_of.get(company, ())))
        return [office for office in found if office is not None]

    def companies(self, at: datetime) -> list[Company]:
        """Tell the companies that were registered at a moment, by id."""
        found = (history.at(at) for _, history in sorted(self._companies.items()))
        return [company for company in found if company is not None]

    def users(self, at: datetime) -> list[User]:
        """Tell the users that were registered at a moment, by id."""
        found = (history.at(at) for _, history in sorted(self._users.items()))
        return [user for user in found if user is not None]

    def permissions_of(self, insurer: str, at: datetime) -> dict[str, OfficePermission]:
        """Tell the offices that an insurer has given permissions, and which, at a moment."""
        found = {o: history.at(at) for (i, o), history in sorted(self._permissions.items()) if i == insurer}
        return {office: permission for office, permission in found.items() if permission is not None}
