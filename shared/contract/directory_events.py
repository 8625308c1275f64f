"""What `directory` holds: companies, offices, users, permissions and settings, each in force from its append time.

Each message carries the request that led to it, so that the outcome of that request is remembered here and nowhere
else (domain rule 21). Of two messages for the same request the first counts.
"""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from pydantic import ValidationError

from shared.contract.codes import Code
from shared.contract.fields import Hours, Message, Moment, NamedMessage, Slug
from shared.contract.outcomes import Detail
from shared.contract.recorded import read_recorded
from shared.contract.requests import (
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


class CompanyRemoved(DirectoryEvent):
    """A company is known no more, nor what belongs to it."""

    NAME = "company-removed"

    removed: RemoveCompany


class OfficeRemoved(DirectoryEvent):
    """An office is known no more, and has no permission."""

    NAME = "office-removed"

    removed: RemoveOffice


class UserRemoved(DirectoryEvent):
    """A user is known no more."""

    NAME = "user-removed"

    removed: RemoveUser


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
        CompanyRemoved,
        OfficeRemoved,
        UserRemoved,
        OfficePermissionSet,
        PortalSettingsSet,
        SettingsRequestRefused,
    )
}
"""Every directory message by its CloudEvents type."""


EVENT_OF: Mapping[type[DirectoryRequest], tuple[type[DirectoryEvent], str]] = MappingProxyType(
    {
        RegisterCompany: (CompanyRegistered, "registered"),
        RegisterOffice: (OfficeRegistered, "registered"),
        RegisterUser: (UserRegistered, "registered"),
        RemoveCompany: (CompanyRemoved, "removed"),
        RemoveOffice: (OfficeRemoved, "removed"),
        RemoveUser: (UserRemoved, "removed"),
        SetOfficePermission: (OfficePermissionSet, "permission"),
        SetPortalSettings: (PortalSettingsSet, "settings"),
    }
)
"""The message that puts a request in force, and the name of its part that is the request."""


class NotUnderstood(DirectoryEvent):
    """A message that a newer version wrote, as far as this one can read it; never sent."""

    NAME = "not-understood"

    message: str
    """Its CloudEvents type."""
    reason: str
    """What this version does not understand."""

    @property
    def is_registration(self) -> bool:
        """Whether it registers something, which decides nothing that was set."""
        return self.message in {event.type() for event in (CompanyRegistered, OfficeRegistered, UserRegistered)}


def _not_understood(event: DirectoryEvent) -> Iterator[str]:
    """Yield the fields with which this version cannot reckon, although they are texts as it expects them."""
    if not isinstance(event, PortalSettingsSet):
        return
    for name in ("office_hours", "special_hours"):
        days: Mapping[object, Hours | None] = getattr(event.settings, name) or {}
        for day, hours in days.items():
            if hours is not None and not (_CLOCK.fullmatch(hours.opens) and _CLOCK.fullmatch(hours.closes)):
                yield f"settings.{name}.{day}"


_CLOCK = re.compile(r"[0-9]{2}:[0-9]{2}")


class _About(Message):
    """What every message on `directory` says, of whatever version."""

    company: Slug
    request_id: str
    request_type: str
    requested_at: Moment
    actor: str | None = None


def read_directory_event(type: str, body: bytes) -> DirectoryEvent:
    """Read a message of `directory`: what was accepted once is not judged again, on whatever machine.

    What a newer version wrote and this one does not understand is NotUnderstood. Raises ValueError where not even who
    asked for it can be read.
    """
    model = DIRECTORY_EVENTS.get(type)
    if model is None:
        reason = f"this version does not know the message {type}"
    else:
        try:
            event = read_recorded(model, body)
        except ValidationError as error:
            fields = ", ".join(".".join(str(part) for part in problem["loc"]) for problem in error.errors())
        else:
            fields = ", ".join(_not_understood(event))
            if not fields:
                return event
        reason = f"this version does not understand {fields} of {type}"
    about = dict(read_recorded(_About, body))
    if model is SettingsRequestRefused:  # it had no effect, and a code that is not known is a refusal too
        detail = Detail(field="code", problem=reason)
        return SettingsRequestRefused.model_construct(**about, code=Code.INVALID_REQUEST, details=[detail])
    return NotUnderstood.model_construct(**about, message=type, reason=reason)
