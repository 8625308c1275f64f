"""What `directory` holds: companies, offices, users, permissions and settings, each in force from its append time.

Each message carries the request that led to it, so that the outcome of that request is remembered here and nowhere
else (domain rule 21). Of two messages for the same request the first counts.
"""

from shared.contract.codes import Code
from shared.contract.fields import Moment, NamedMessage, Slug
from shared.contract.outcomes import Detail
from shared.contract.requests import (
    RegisterCompany,
    RegisterOffice,
    RegisterUser,
    SetOfficePermission,
    SetPortalSettings,
)


class DirectoryEvent(NamedMessage):
    """What every message on `directory` says: who asked, with which request, when it was appended."""

    company: Slug
    request_id: str
    request_type: str
    requested_at: Moment
    actor: str | None = None


class CompanyRegistered(DirectoryEvent):
    """A company is known from now on."""

    NAME = "company-registered"

    registered: RegisterCompany


class OfficeRegistered(DirectoryEvent):
    """An office is known from now on."""

    NAME = "office-registered"

    registered: RegisterOffice


class UserRegistered(DirectoryEvent):
    """A user is known from now on."""

    NAME = "user-registered"

    registered: RegisterUser


class OfficePermissionSet(DirectoryEvent):
    """An office's permission for the insurer (`company`) is this from now on."""

    NAME = "office-permission-set"

    permission: SetOfficePermission


class PortalSettingsSet(DirectoryEvent):
    """The insurer's (`company`) settings are these from now on; what is left out stays."""

    NAME = "portal-settings-set"

    settings: SetPortalSettings

    def json_bytes(self) -> bytes:
        """Write it as JSON with just the settings that were given: null takes a subdivision away."""
        return self.json_bytes_as_given()


class SettingsRequestRefused(DirectoryEvent):
    """A request about the directory or settings was refused, remembered so that it is answered the same again."""

    NAME = "settings-request-refused"

    code: Code
    details: list[Detail] | None = None


DIRECTORY_EVENTS: dict[str, type[DirectoryEvent]] = {
    event.type(): event
    for event in (
        CompanyRegistered,
        OfficeRegistered,
        UserRegistered,
        OfficePermissionSet,
        PortalSettingsSet,
        SettingsRequestRefused,
    )
}
"""Every directory message by its CloudEvents type."""
