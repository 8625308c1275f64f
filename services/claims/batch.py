"""A batch of commands, decided in order, each on what the ones before it have left. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

from pydantic import ValidationError

from services.claims.claim import Claim, apply
from services.claims.rules import Accepted, decide
from shared.contract.codes import Code
from shared.contract.commands import CheckedRequest, Refusal
from shared.contract.envelope import Headers, Undecodable, details_of, read_internal_envelope
from shared.contract.events import ClaimEvent
from shared.contract.outcomes import Outcome, RequestAccepted, RequestRefused
from shared.contract.requests import REQUESTS, Request
from shared.runtime.records import Record

RequestKey = tuple[str, str]
"""Company and request id."""
NumberKey = tuple[str, str]
"""Insurer and claim number."""


@dataclass(frozen=True, slots=True)
class Command:
    """A request that permissions has checked; `request` is absent where it was refused."""

    checked: CheckedRequest
    request: Request | None
    trace: Headers = ()

    @property
    def key(self) -> RequestKey:
        """Tell whose request it is, and which."""
        return self.checked.company, self.checked.request_id


@dataclass(frozen=True, slots=True)
class Decided:
    """What was decided of a request: its one outcome, what happened to the claim, and the claim number it took."""

    checked: CheckedRequest
    outcome: Outcome
    events: tuple[ClaimEvent, ...] = ()
    number_taken: NumberKey | None = None
    republish_for: str | None = None


@dataclass(slots=True)
class Batch:
    """The claims and numbers that a batch's commands are about, as they were, and what they have become."""

    claims: dict[UUID, Claim]
    numbers: set[NumberKey]
    decided: dict[RequestKey, Decided] = field(default_factory=dict)
    changed: dict[UUID, Claim] = field(default_factory=dict)

    def is_taken(self, insurer: str, claim_number: str) -> bool:
        """Whether an insurer's claim has or had this number."""
        return (insurer, claim_number) in self.numbers

    def decide_in_order(self, commands: Iterable[Command]) -> None:
        """Decide each request once; one that comes again in the batch keeps its first outcome (domain rule 21)."""
        for command in commands:
            if command.key not in self.decided:
                self.decided[command.key] = self._decide(command)

    def _decide(self, command: Command) -> Decided:
        checked = command.checked
        claim = self.claims.get(checked.claim_id)
        answer = _answer(claim, command, self)
        if isinstance(answer, Refusal):
            return Decided(checked, _refused(checked, answer))
        for event in answer.events:
            claim = self.claims[checked.claim_id] = self.changed[checked.claim_id] = apply(claim, event)
        number = None
        if answer.claim_number is not None and claim is not None:
            number = claim.insurer, answer.claim_number
            self.numbers.add(number)
        return Decided(checked, _accepted(checked, answer), answer.events, number, answer.republish_for)


def read_command(record: Record) -> Command:
    """Read a command. Raises Undecodable, which for what our own services wrote is a fault of ours."""
    envelope = read_internal_envelope(record.headers, record.value)
    if envelope.type != CheckedRequest.type():
        raise Undecodable(f"claims does not read {envelope.type}")
    try:
        checked = CheckedRequest.model_validate_json(envelope.body)
        request = None if checked.refusal else _request(checked)
    except KeyError:
        raise Undecodable("it is a request of an unknown type that was not refused") from None
    except ValidationError as error:
        raise Undecodable("; ".join(f"{d.field}: {d.problem}" for d in details_of(error))) from None
    return Command(checked, request, envelope.trace)


def _request(checked: CheckedRequest) -> Request:
    # Not strict: permissions has checked it as JSON, and what JSON has as text is text here still.
    return REQUESTS[checked.request_type].model_validate(checked.request, strict=False)


def _answer(claim: Claim | None, command: Command, batch: Batch) -> Accepted | Refusal:
    if command.request is None:
        return command.checked.refusal or Refusal(code=Code.INVALID_REQUEST)
    return decide(claim, command.checked, command.request, batch)


def _accepted(checked: CheckedRequest, answer: Accepted) -> RequestAccepted:
    return RequestAccepted(
        request_id=checked.request_id,
        company=checked.company,
        request_type=checked.request_type,
        requested_at=checked.requested_at,
        claim_id=checked.claim_id,
        claim_number=answer.claim_number,
        task_ids=list(answer.task_ids) or None,
        decision=checked.decision,
    )


def _refused(checked: CheckedRequest, refusal: Refusal) -> RequestRefused:
    return RequestRefused(
        request_id=checked.request_id,
        company=checked.company,
        request_type=checked.request_type,
        requested_at=checked.requested_at,
        code=refusal.code,
        message=refusal.code.message,
        details=refusal.details,
        decision=checked.decision,
    )
