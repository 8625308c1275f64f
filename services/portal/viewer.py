"""Who looks at a page: the user of the session, as the directory has it at this moment."""

from dataclasses import dataclass
from datetime import UTC, datetime

from starlette.requests import Request

from shared.clock import is_known
from shared.contract.fields import CompanyKind, LocalizedText
from shared.contract.texts import by_name
from shared.creation import NotPermitted, decide_creation
from shared.directory import Company, Directory, User
from shared.lacking import lacking
from shared.reports.access import may_see_reports

_PARTNERS_ZONE = "Europe/Oslo"


@dataclass(frozen=True)
class Viewer:
    """A user who is logged in, with the company and the time zone of what is shown."""

    user: User
    company: Company
    zone: str
    lacking: tuple[LocalizedText, ...] = ()
    """What this installation does not know of what the company, an insurer, has set."""

    @property
    def sees_utc(self) -> bool:
        """Whether times are shown in UTC, since this installation does not know the time zone."""
        return not is_known(self.zone)

    @property
    def is_insurer(self) -> bool:
        """Whether the user's company is an insurer."""
        return self.company.kind is CompanyKind.INSURER

    @property
    def sees_reports(self) -> bool:
        """Whether the user finds the report of temporary claims (domain rule 18)."""
        return self.is_insurer and may_see_reports(self.user, self.company.id)


def viewer_of(request: Request, directory: Directory) -> Viewer | None:
    """Who looks, or None if nobody is logged in, or the user is no longer in the directory."""
    at = datetime.now(UTC)
    user = directory.user(request.session.get("user", ""), at)
    company = None if user is None else directory.company(user.company, at)
    if user is None or company is None:
        return None
    if company.kind is not CompanyKind.INSURER:
        return Viewer(user, company, _PARTNERS_ZONE)
    zone = directory.settings(company.id, at).time_zone
    return Viewer(user, company, zone, lacking(directory, company.id, at))


def insurers_open_to(viewer: Viewer, directory: Directory, at: datetime) -> list[Company]:
    """The insurers for which the user's office may create a temporary claim at a moment (domain rules 1–3)."""
    office = viewer.user.office
    if viewer.is_insurer or office is None:
        return []
    insurers = by_name(c for c in directory.companies(at) if c.kind is CompanyKind.INSURER)
    return [insurer for insurer in insurers if _may_create(directory, insurer.id, office, at)]


def insurers_not_understood(viewer: Viewer, directory: Directory, at: datetime) -> list[tuple[Company, LocalizedText]]:
    """The insurers for which it cannot be told here whether the user's office may create a claim, and why."""
    office = viewer.user.office
    if viewer.is_insurer or office is None:
        return []
    found = []
    for insurer in (c for c in directory.companies(at) if c.kind is CompanyKind.INSURER):
        try:
            decide_creation(directory, insurer.id, office, at)
        except NotPermitted as no:
            if no.problem is not None:
                found.append((insurer, no.problem))
    return found


def _may_create(directory: Directory, insurer: str, office: str, at: datetime) -> bool:
    try:
        decide_creation(directory, insurer, office, at)
    except NotPermitted:
        return False
    return True
