"""The directory as it was at any moment: companies, offices, users, permissions and settings, built from its topic.

Pure: it is told each message of the topic in order, and asked about a moment. Of two messages for the same request the
first counts, so every reader comes to the same directory.
"""

import sys
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, date, datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from shared.contract.codes import Code
from shared.contract.directory_events import (
    CompanyRegistered,
    DirectoryEvent,
    NotUnderstood,
    OfficePermissionSet,
    OfficeRegistered,
    PortalSettingsSet,
    SettingsRequestRefused,
    UserRegistered,
    read_directory_event,
)
from shared.contract.envelope import Undecodable, read_internal_envelope
from shared.contract.fields import CompanyKind, CreationPermission, Hours, ReportPeriod, Weekday
from shared.contract.outcomes import Detail
from shared.contract.requests import SetOfficePermission, SetPortalSettings
from shared.contract.topics import OPERATOR
from shared.errors import Misconfigured
from shared.messaging.record import Record

T = TypeVar("T")
K = TypeVar("K")

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
    """An IANA name that was known where it was accepted; this installation need not know it."""
    country: str = "NO"
    subdivision: str | None = None
    holiday_categories: frozenset[str] | None = None
    """Of the package `holidays`; None is what is usual in the country."""
    office_hours: Mapping[Weekday, Hours | None] = field(default_factory=lambda: DEFAULT_OFFICE_HOURS)
    closed_days: frozenset[date] = frozenset()
    special_hours: Mapping[date, Hours | None] = field(default_factory=dict)
    enhanced_function: bool = False
    inspection_needs_budget: bool = False
    report_period: ReportPeriod = ReportPeriod.WEEKLY
    unlink_days: int = 30

    def changed_by(self, request: SetPortalSettings) -> "PortalSettings":
        """Apply a request; what is left out stays, and another country takes what was the old one's away.

        Parts that are as they were are the same objects, and settings that are as they were are the same settings.
        """
        given = {name: value for name in _PLAIN if (value := getattr(request, name)) is not None}
        if request.country is not None and request.country != self.country:
            given |= {"subdivision": None, "holiday_categories": None}
        if "subdivision" in request.model_fields_set:
            given["subdivision"] = request.subdivision
        if request.holiday_categories is not None:
            given["holiday_categories"] = frozenset(request.holiday_categories) or None
        if request.office_hours is not None:
            given["office_hours"] = _shared({**self.office_hours, **request.office_hours})
        if request.closed_days is not None:
            given["closed_days"] = frozenset(request.closed_days)
        if request.special_hours is not None:
            given["special_hours"] = _shared(request.special_hours)
        changed = {name: value for name, value in given.items() if value != getattr(self, name)}
        return replace(self, **changed) if changed else self


_PLAIN = (
    "time_zone",
    "country",
    "enhanced_function",
    "inspection_needs_budget",
    "report_period",
    "unlink_days",
)
DEFAULT_SETTINGS = PortalSettings()


@lru_cache(maxsize=4096)
def _one(hours: Hours) -> Hours:
    """Tell the first of all hours that are equal: many days have the same."""
    return hours


def _shared(days: Mapping[K, Hours | None]) -> Mapping[K, Hours | None]:
    return MappingProxyType({day: hours and _one(hours) for day, hours in days.items()})


class History(Generic[T]):
    """The values of one thing over time, each in force from its moment until the next one's."""

    __slots__ = ("_moments", "_values")

    def __init__(self) -> None:
        self._moments: list[datetime] = []
        self._values: list[T] = []

    def add(self, value: T, effective_at: datetime) -> bool:
        """Add a value, unless it is as it was; tell whether it is another one.

        A broker's clock that was set back does not reorder what it appended.
        """
        if self._values and self._values[-1] == value:
            return False
        self._moments.append(max(effective_at, self._moments[-1]) if self._moments else effective_at)
        self._values.append(value)
        return True

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


class SettingsHistory:
    """An insurer's settings over time: the last ones as a whole, and of those before what was otherwise."""

    __slots__ = ("_before", "_moments", "latest")

    def __init__(self) -> None:
        self.latest = DEFAULT_SETTINGS
        self._moments: list[datetime] = []
        self._before: list[Mapping[str, Any]] = []
        """What makes each version of the next one; the first is made the defaults."""

    def add(self, settings: PortalSettings, effective_at: datetime) -> bool:
        """Add settings, unless they are as they were; tell whether they are others."""
        if settings == self.latest:
            return False
        self._moments.append(effective_at)
        self._before.append(_difference(settings, self.latest))
        self.latest = settings
        return True

    def at(self, moment: datetime) -> PortalSettings:
        """Tell the settings in force at a moment; before the first ones, the defaults."""
        later = self._before[bisect_right(self._moments, moment) :]
        return _changed(self.latest, later[::-1]) if later else self.latest


def _difference(new: PortalSettings, old: PortalSettings) -> Mapping[str, Any]:
    """Tell what makes the old settings of the new ones: of lists of days, only the days that differ."""
    found: dict[str, Any] = {}
    for name in _NAMES:
        after, before = getattr(new, name), getattr(old, name)
        if after is before or after == before:
            continue
        if name == "closed_days":
            found[name] = after ^ before
        elif name == "special_hours":
            days = after.keys() | before.keys()
            found[name] = {d: before.get(d, _NONE) for d in days if after.get(d, _NONE) != before.get(d, _NONE)}
        else:
            found[name] = before
    return found


def _changed(settings: PortalSettings, differences: Sequence[Mapping[str, Any]]) -> PortalSettings:
    """Go back through versions, from the newest."""
    given: dict[str, Any] = {}
    for difference in differences:
        for name, value in difference.items():
            if name == "closed_days":
                given[name] = given.get(name, settings.closed_days) ^ value
            elif name == "special_hours":
                given.setdefault(name, dict(settings.special_hours)).update(value)
            else:
                given[name] = value
    if "special_hours" in given:
        days = {day: hours for day, hours in given["special_hours"].items() if hours is not _NONE}
        given["special_hours"] = MappingProxyType(days)
    return replace(settings, **given)


_NAMES = tuple(each.name for each in fields(PortalSettings))
_NONE = object()
"""Of a day that has no special hours; null closes one."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What there is to tell about a request that the directory answered (domain rule 21)."""

    request_type: str
    requested_at: datetime
    effective_at: datetime
    code: Code | None = None
    """Of a refusal."""
    details: tuple[Detail, ...] | None = None


class Directory:
    """Everything on the topic `directory`, by moment."""

    def __init__(self) -> None:
        self.changes = 0
        """How many messages changed anything that is in force."""
        self._companies: defaultdict[str, History[Company]] = defaultdict(History)
        self._offices: defaultdict[str, History[Office]] = defaultdict(History)
        self._users: defaultdict[str, History[User]] = defaultdict(History)
        self._permissions: defaultdict[tuple[str, str], History[OfficePermission]] = defaultdict(History)
        self._settings: defaultdict[str, SettingsHistory] = defaultdict(SettingsHistory)
        self._not_understood: defaultdict[str, History[tuple[str, ...]]] = defaultdict(History)
        self._offices_of: defaultdict[str, set[str]] = defaultdict(set)
        self._answers: defaultdict[str, dict[str, Answer]] = defaultdict(dict)
        self._latest = BEGINNING
        self._companies[OPERATOR].add(Company(OPERATOR, "Operator", CompanyKind.OPERATOR), BEGINNING)

    def apply(self, event: DirectoryEvent, effective_at: datetime) -> None:
        """Take in the topic's next message; `effective_at` is its append time."""
        answers = self._answers[event.company]
        if event.request_id in answers:
            return
        # A broker's clock that was set back does not put anything in force before what was appended earlier.
        effective_at = self._latest = max(effective_at, self._latest)
        code, details = self._refusal(event)
        answers[event.request_id] = Answer(
            sys.intern(event.request_type), event.requested_at, effective_at, code, details
        )
        if code is None and self._put_in_force(event, effective_at):
            self.changes += 1

    def _put_in_force(self, event: DirectoryEvent, effective_at: datetime) -> bool:
        """Tell whether anything is otherwise than before."""
        if isinstance(event, CompanyRegistered):
            company = event.registered
            companies = self._companies[company.id]
            known = companies.latest
            token_sha256 = company.token_sha256 or (known.token_sha256 if known else None)
            return companies.add(Company(company.id, company.name, company.kind, token_sha256), effective_at)
        if isinstance(event, OfficeRegistered):
            office = event.registered
            self._offices_of[office.company].add(office.id)
            return self._offices[office.id].add(Office(office.id, office.company, office.name), effective_at)
        if isinstance(event, UserRegistered):
            user = event.registered
            return self._users[user.id].add(
                User(user.id, user.company, user.name, user.office, user.email, user.authorisation_level), effective_at
            )
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

    def _refusal(self, event: DirectoryEvent) -> tuple[Code | None, tuple[Detail, ...] | None]:
        """Tell why a request was refused; a registration of an id that another company has is a refusal too.

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

    def answered(self, company: str, request_id: str) -> Answer | None:
        """Tell what became of a request that the directory answered (domain rule 21)."""
        return self._answers[company].get(request_id) if company in self._answers else None

    def not_understood(self, company: str, at: datetime) -> tuple[str, ...]:
        """Tell what this version does not understand of what a company had in force at a moment, if anything.

        What was registered and is not understood is not known, and told of the operator.
        """
        history = self._not_understood.get(company)
        return (history and history.at(at)) or ()

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
        return DEFAULT_SETTINGS if history is None else history.at(at)

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


def take_in(directory: Directory, record: Record) -> None:
    """Add a message of the topic `directory` to the directory.

    Raises Misconfigured where nobody can tell whose it is: whoever passed it over would decide otherwise than the
    others. One that a newer version wrote holds up the company that it is of, and no other.
    """
    try:
        envelope = read_internal_envelope(record.headers, record.value)
        event = read_directory_event(envelope.type, envelope.body)
    except (Undecodable, ValueError) as error:
        raise Misconfigured(f"message {record.offset} of {record.topic} is broken") from error
    directory.apply(event, datetime.fromtimestamp(record.timestamp / 1000, UTC))
