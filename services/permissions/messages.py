"""The messages that permissions sends: checked commands, directory messages, and the outcomes of the latter."""

from services.permissions.received import ReceivedRequest
from shared.contract.commands import CheckedRequest
from shared.contract.directory_events import (
    CompanyRegistered,
    CompanyRemoved,
    DirectoryEvent,
    OfficePermissionSet,
    OfficeRegistered,
    OfficeRemoved,
    UserRegistered,
    UserRemoved,
)
from shared.contract.envelope import Outgoing, outgoing
from shared.contract.outcomes import RequestAccepted, RequestRefused
from shared.contract.topics import CLAIM_COMMANDS, DIRECTORY, REQUEST_OUTCOMES
from shared.domain.directory import SettledRequest

_SOURCE = "permissions"


def command(checked: CheckedRequest, received: ReceivedRequest) -> Outgoing:
    """Pass a checked request on to claims."""
    return outgoing(
        CLAIM_COMMANDS.name,
        checked.claim_id,
        checked,
        id=f"{checked.company}/{checked.request_id}",
        source=_SOURCE,
        cause=checked.request_id,
        trace=received.envelope.trace,
    )


def directory_message(event: DirectoryEvent, received: ReceivedRequest) -> Outgoing:
    """Put what a request changed, or that it was refused, into the directory."""
    return outgoing(
        DIRECTORY.name,
        _key(event),
        event,
        id=f"{event.company}/{event.request_id}",
        source=_SOURCE,
        cause=event.request_id,
        trace=received.envelope.trace,
    )


def outcome_of(settled: SettledRequest, received: ReceivedRequest) -> Outgoing:
    """Return the outcome of a request about the directory; the same whenever it is asked for (domain rule 21)."""
    request_id = received.envelope.id
    outcome: RequestAccepted | RequestRefused
    if settled.code is not None:
        outcome = RequestRefused(
            request_id=request_id,
            company=received.company,
            request_type=settled.request_type,
            requested_at=settled.requested_at,
            code=settled.code,
            message=settled.code.message,
            details=None if settled.details is None else list(settled.details),
        )
    else:
        outcome = RequestAccepted(
            request_id=request_id,
            company=received.company,
            request_type=settled.request_type,
            requested_at=settled.requested_at,
            effective_at=settled.effective_at,
        )
    return outgoing(
        REQUEST_OUTCOMES.name,
        request_id,
        outcome,
        id=f"{received.company}/{request_id}",
        source=_SOURCE,
        cause=request_id,
        trace=received.envelope.trace,
    )


def _key(event: DirectoryEvent) -> str:
    if isinstance(event, CompanyRegistered | OfficeRegistered | UserRegistered):
        return event.registered.id
    if isinstance(event, CompanyRemoved | OfficeRemoved | UserRemoved):
        return event.removed.id
    if isinstance(event, OfficePermissionSet):
        return event.permission.office
    return event.company
