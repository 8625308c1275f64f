"""What `claim-commands` carries, as claims reads it: requests that permissions has checked, and the steps of links."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from pydantic import ValidationError

from services.claims.decisions import RequestKey
from shared.contract.commands import CheckedRequest, read_checked_request
from shared.contract.envelope import Headers, Undecodable, details_of, read_internal_envelope
from shared.contract.linking import REMEMBERED_UNDER, STEPS_FOR_CLAIMS, LinkStep
from shared.contract.requests import Request
from shared.messaging.record import Record


@dataclass(frozen=True, slots=True)
class Command:
    """A request that permissions has checked."""

    checked: CheckedRequest
    trace: Headers = ()

    @property
    def request(self) -> Request | None:
        """What is asked for; absent where it was refused."""
        return None if self.checked.refusal else self.checked.request

    @property
    def key(self) -> RequestKey:
        """Whose request it is, and which."""
        return self.checked.company, self.checked.request_id

    @property
    def claim_id(self) -> UUID:
        """The claim that it is about, or creates."""
        return self.checked.claim_id

    @property
    def at(self) -> datetime:
        """The request's append time."""
        return self.checked.requested_at

    @property
    def cause(self) -> str:
        """The id of the request that led to it: its own."""
        return self.checked.request_id


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a link, about the claim that its message's key names."""

    step: LinkStep
    claim_id: UUID
    at: datetime
    """The step's own append time."""
    cause: str
    """The id of the request that led to it."""
    trace: Headers = ()

    @property
    def key(self) -> RequestKey:
        """What it is remembered under."""
        return REMEMBERED_UNDER, self.step.id


def read_command(record: Record) -> Command | Step:
    """Read a command. Raises Undecodable, which for what our own services wrote is a fault of ours."""
    envelope = read_internal_envelope(record.headers, record.value)
    try:
        if envelope.type in STEPS_FOR_CLAIMS:
            return Step(
                step=STEPS_FOR_CLAIMS[envelope.type].model_validate_json(envelope.body),
                claim_id=UUID((record.key or b"").decode(errors="replace")),
                at=datetime.fromtimestamp(record.timestamp / 1000, UTC),
                cause=envelope.cause or envelope.id,
                trace=envelope.trace,
            )
        if envelope.type != CheckedRequest.type():
            raise Undecodable(f"claims does not read {envelope.type}")
        checked = read_checked_request(envelope.body)
    except ValidationError as error:
        raise Undecodable("; ".join(f"{d.field}: {d.problem}" for d in details_of(error))) from None
    except ValueError:
        raise Undecodable("its key is no claim's id") from None
    if checked.refusal is None and checked.request is None:
        raise Undecodable("it was not refused, and has no request or one of an unknown type")
    return Command(checked, envelope.trace)
