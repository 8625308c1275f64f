"""What this installation, whose tzdata, `holidays` or version is older, does not know of what was accepted. No I/O.

It holds up the company that it is of, and no other (decision 53).
"""

from collections.abc import Mapping
from datetime import datetime

from shared.contract.fields import CompanyKind, LocalizedText
from shared.contract.topics import OPERATOR
from shared.domain.clock import UnknownTimeZone, time_zone
from shared.domain.directory import Directory
from shared.domain.office_hours import region_of


def unknown_settings(directory: Directory, company: str, at: datetime) -> tuple[LocalizedText, ...]:
    """Return a sentence for each thing that is not known here of what a company has in force at a moment."""
    found = [set_by_newer_version(reason) for reason in directory.not_understood(company, at)]
    settings = directory.settings(company, at)
    try:
        time_zone(settings.time_zone)
    except UnknownTimeZone as unknown:
        found.append(LocalizedText(nb=unknown.nb, en=str(unknown)))
    return (*found, *region_of(settings).warnings)


def set_by_newer_version(reason: str) -> LocalizedText:
    """Return the sentence for something that was set by a newer version."""
    return LocalizedText(nb=f"selskapet har satt noe som denne versjonen ikke forstår ({reason})", en=reason)


def unknown_settings_by_company(directory: Directory, at: datetime) -> Mapping[str, tuple[LocalizedText, ...]]:
    """Return those sentences by company, without the companies of which everything is known."""
    companies = [c.id for c in directory.companies(at) if c.kind is CompanyKind.INSURER or c.id == OPERATOR]
    found = {company: unknown_settings(directory, company, at) for company in companies}
    return {company: texts for company, texts in found.items() if texts}
