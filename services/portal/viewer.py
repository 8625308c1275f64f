"""Who looks at a page: the user of the session, as the directory has it at this moment."""

from collections.abc import Container, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from starlette.requests import Request

from shared.contract.fields import CompanyKind, LocalizedText
from shared.contract.texts import by_name
from shared.domain.clock import is_known
from shared.domain.companies import Company, User
from shared.domain.creation import SettingsNotUnderstood, decide_creation
from shared.domain.directory import Directory
from shared.domain.refusal import Refused
from shared.domain.report_access import may_see_reports
from shared.domain.unknown_settings import unknown_settings

_PARTNERS_ZONE = "Europe/Oslo"


@dataclass(frozen=True)
class Viewer:
    """A user who is logged in, with the company and the time zone of what is shown."""

    user: User
    company: Company
    zone: str
    unknown_settings: tuple[LocalizedText, ...] = ()
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


def viewer_of(request: Request, directory: Directory, ended_sessions: Container[str]) -> Viewer | None:
    """The viewer; None if nobody is logged in, has logged out since, or the user is no longer in the directory."""
    at = datetime.now(UTC)
    session = request.session.get("id")
    if session is None or session in ended_sessions:
        return None
    user = directory.user(request.session.get("user", ""), at)
    company = None if user is None else directory.company(user.company, at)
    if user is None or company is None:
        return None
    if company.kind is not CompanyKind.INSURER:
        return Viewer(user, company, _PARTNERS_ZONE)
    zone = directory.settings(company.id, at).time_zone
    return Viewer(user, company, zone, unknown_settings(directory, company.id, at))


def insurers_open_to(viewer: Viewer, directory: Directory, at: datetime) -> list[Company]:
    """Return the insurers for which the user's office may create a temporary claim at a moment (domain rules 1–3)."""
    return by_name(insurer for insurer, refused in _creations(viewer, directory, at) if refused is None)


def insurers_not_understood(viewer: Viewer, directory: Directory, at: datetime) -> list[tuple[Company, LocalizedText]]:
    """Return the insurers for which it cannot be decided here whether the user's office may create, and why."""
    return [
        (insurer, refused.problem)
        for insurer, refused in _creations(viewer, directory, at)
        if isinstance(refused, SettingsNotUnderstood)
    ]


def _creations(viewer: Viewer, directory: Directory, at: datetime) -> Iterator[tuple[Company, Refused | None]]:
    """Yield every insurer, by id, with why the user's office may not create a temporary claim for it, if it may not."""
    if viewer.user.office is None:
        return
    for insurer in directory.insurers(at):
        try:
            decide_creation(directory, insurer.id, viewer.user.office, at, sender=viewer.company.id)
        except Refused as refused:
            yield insurer, refused
        else:
            yield insurer, None
