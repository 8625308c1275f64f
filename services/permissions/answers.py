"""The messages that permissions sends: checked commands, directory messages, and the outcomes of the latter."""

from datetime import datetime

from services.permissions.rules import Asked
from shared.contract.commands import CheckedRequest
from shared.contract.directory_events import (
    CompanyRegistered,
    DirectoryEvent,
    OfficePermissionSet,
    OfficeRegistered,
    SettingsRequestRefused,
    UserRegistered,
)
from shared.contract.envelope import Outgoing, outgoing
from shared.contract.outcomes import RequestAccepted, RequestRefused
from shared.contract.topics import CLAIM_COMMANDS, DIRECTORY, REQUEST_OUTCOMES

_SOURCE = "permissions"


def command(checked: CheckedRequest, asked: Asked) -> Outgoing:
    """Pass a checked request on to claims."""
    return outgoing(
        CLAIM_COMMANDS.name,
        checked.claim_id,
        checked,
        id=f"{checked.company}/{checked.request_id}",
        source=_SOURCE,
        cause=checked.request_id,
        trace=asked.envelope.trace,
    )


def directory_message(event: DirectoryEvent, asked: Asked) -> Outgoing:
    """Put what a request changed, or that it was refused, into the directory."""
    return outgoing(
        DIRECTORY.name,
        _key(event),
        event,
        id=f"{event.company}/{event.request_id}",
        source=_SOURCE,
        cause=event.request_id,
        trace=asked.envelope.trace,
    )


def outcome_of(event: DirectoryEvent, effective_at: datetime, asked: Asked) -> Outgoing:
    """Tell the outcome that a directory message is of; the same whenever it is asked for (domain rule 21)."""
    outcome: RequestAccepted | RequestRefused
    if isinstance(event, SettingsRequestRefused):
        outcome = RequestRefused(
            request_id=event.request_id,
            company=event.company,
            request_type=event.request_type,
            requested_at=event.requested_at,
            code=event.code,
            message=event.code.message,
            details=event.details,
        )
    else:
        outcome = RequestAccepted(
            request_id=event.request_id,
            company=event.company,
            request_type=event.request_type,
            requested_at=event.requested_at,
            effective_at=effective_at,
        )
    return outgoing(
        REQUEST_OUTCOMES.name,
        event.request_id,
        outcome,
        id=f"{event.company}/{event.request_id}",
        source=_SOURCE,
        cause=event.request_id,
        trace=asked.envelope.trace,
    )


def _key(event: DirectoryEvent) -> str:
    if isinstance(event, CompanyRegistered | OfficeRegistered | UserRegistered):
        return event.registered.id
    if isinstance(event, OfficePermissionSet):
        return event.permission.office
    return event.company
