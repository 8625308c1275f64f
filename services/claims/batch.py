"""A batch of commands, decided in order, each on what the ones before it have left. Pure."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from pydantic import ValidationError

from services.claims.claim import Claim, apply
from services.claims.claim_numbers import number_keys
from services.claims.decisions import Accepted, FollowUp
from services.claims.link_rules import decide_step
from services.claims.rules import decide, numbers_asked_for, refused_creation
from shared.contract.codes import Code
from shared.contract.commands import CheckedRequest, Refusal
from shared.contract.envelope import Headers, Undecodable, details_of, read_internal_envelope
from shared.contract.events import ClaimEvent
from shared.contract.linking import (
    REMEMBERED_UNDER,
    STEPS_FOR_CLAIMS,
    AbandonLink,
    FinishLink,
    GiveUpImport,
    ImportContent,
    LinkStep,
    WithdrawContent,
    step_id,
)
from shared.contract.outcomes import Outcome, RequestAccepted, RequestRefused
from shared.contract.requests import REQUESTS, LinkClaim, Request
from shared.media.keys import UploadedMedia
from shared.messaging.record import Record

RequestKey = tuple[str, str]
"""Company and request id; of a step of a link, `claimbus` and the step's id."""
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

    @property
    def claim_id(self) -> UUID:
        """Tell the claim that it is about, or creates."""
        return self.checked.claim_id

    @property
    def at(self) -> datetime:
        """Tell the request's append time."""
        return self.checked.requested_at

    @property
    def cause(self) -> str:
        """Tell the id of the request that led to it: its own."""
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
        """Tell how it is remembered."""
        return REMEMBERED_UNDER, self.step.id


@dataclass(frozen=True, slots=True)
class Decided:
    """What was decided of a command: what happened to the claim, and a request's one outcome."""

    command: Command | Step
    outcome: Outcome | None = None
    """A step of a link has none."""
    events: tuple[ClaimEvent, ...] = ()
    follow_ups: tuple[FollowUp, ...] = ()
    number_taken: NumberKey | None = None
    republish_for: str | None = None


@dataclass(slots=True)
class Needs:
    """What deciding commands needs from the record, beside the claims that they are about."""

    claims: set[UUID] = field(default_factory=set)
    numbers: set[NumberKey] = field(default_factory=set)
    targets: set[NumberKey] = field(default_factory=set)
    """Numbers whose claims are needed too."""
    histories: set[UUID] = field(default_factory=set)
    steps: set[str] = field(default_factory=set)
    """Steps of links of which it matters whether they were decided before."""
    refused: set[RequestKey] = field(default_factory=set)
    """Requests of which it matters whether they are creations that were refused."""

    @classmethod
    def of(cls, commands: Iterable[Command | Step]) -> "Needs":
        """Tell what these commands need."""
        needs = cls()
        for command in commands:
            needs.claims.add(command.claim_id)
            if isinstance(command, Step):
                needs._add_step(command)
            elif command.request is not None:
                needs._add_request(command, command.request)
        return needs

    def _add_request(self, command: Command, request: Request) -> None:
        numbers = {key for asked in numbers_asked_for(command.checked, request) for key in number_keys(*asked)}
        self.numbers |= numbers
        if (refused := refused_creation(request)) is not None:
            self.refused.add(refused)
        if isinstance(request, LinkClaim):
            self.histories.add(command.claim_id)
            if request.target_claim_id is not None:
                self.claims.add(request.target_claim_id)
            else:
                self.targets |= numbers

    def _add_step(self, command: Step) -> None:
        step = command.step
        if isinstance(step, FinishLink | AbandonLink | WithdrawContent):
            self.histories.add(command.claim_id)
        if isinstance(step, ImportContent | GiveUpImport):
            self.steps |= {step_id(step.link_id, step.part, name) for name in (ImportContent, GiveUpImport)}
            self.steps.add(step_id(step.link_id, 1, WithdrawContent))


@dataclass(slots=True)
class Batch:
    """What a batch's commands need to know, as it was, and what it has become."""

    claims: dict[UUID, Claim] = field(default_factory=dict)
    numbers: dict[NumberKey, UUID] = field(default_factory=dict)
    histories: dict[UUID, list[ClaimEvent]] = field(default_factory=dict)
    steps: set[str] = field(default_factory=set)
    refused: set[RequestKey] = field(default_factory=set)
    uploads: Callable[[str], UploadedMedia | None] = lambda _: None
    decided: dict[RequestKey, Decided] = field(default_factory=dict)
    changed: dict[UUID, Claim] = field(default_factory=dict)

    def is_taken(self, insurer: str, claim_number: str) -> bool:
        """Whether an insurer's claim has or had this number."""
        return self._holder(insurer, claim_number) is not None

    def claim(self, id: UUID) -> Claim | None:
        """Find a claim."""
        return self.claims.get(id)

    def claim_with_number(self, insurer: str, claim_number: str) -> Claim | None:
        """Find an insurer's claim that has or had this number."""
        id = self._holder(insurer, claim_number)
        return None if id is None else self.claims.get(id)

    def _holder(self, insurer: str, claim_number: str) -> UUID | None:
        found = (self.numbers.get(key) for key in number_keys(insurer, claim_number))
        return next((id for id in found if id is not None), None)

    def history(self, claim_id: UUID) -> Sequence[ClaimEvent]:
        """Tell all that happened to a claim."""
        return self.histories[claim_id]

    def is_decided(self, step: str) -> bool:
        """Whether a step of a link was decided before."""
        return step in self.steps or (REMEMBERED_UNDER, step) in self.decided

    def is_refused_creation(self, company: str, request_id: str) -> bool:
        """Whether a company's request to create a temporary claim was refused, and is remembered."""
        return (company, request_id) in self.refused

    def upload(self, key: str) -> UploadedMedia | None:
        """Tell what an upload's key says, or None if we have not signed it."""
        return self.uploads(key)

    def decide_in_order(self, commands: Iterable[Command | Step]) -> None:
        """Decide each request once; one that comes again in the batch keeps its first outcome (domain rule 21)."""
        for command in commands:
            if command.key not in self.decided:
                self.decided[command.key] = self._decide(command)

    def _decide(self, command: Command | Step) -> Decided:
        claim = self.claims.get(command.claim_id)
        if isinstance(command, Step):
            answer: Accepted | Refusal = decide_step(claim, command.step, command.at, self)
        elif command.request is None:
            answer = command.checked.refusal or Refusal(code=Code.INVALID_REQUEST)
        else:
            answer = decide(claim, command.checked, command.request, self)
        if isinstance(answer, Refusal):
            return Decided(command, _outcome(command, answer))
        for event in answer.events:
            claim = self.claims[command.claim_id] = self.changed[command.claim_id] = apply(claim, event)
            self.histories.get(command.claim_id, []).append(event)
        number = None
        if answer.claim_number is not None and claim is not None:
            number = claim.insurer, answer.claim_number
            self.numbers |= dict.fromkeys(number_keys(*number), claim.id)
        outcome = _outcome(command, answer)
        return Decided(command, outcome, answer.events, answer.follow_ups, number, answer.republish_for)


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
        checked = CheckedRequest.model_validate_json(envelope.body)
        request = None if checked.refusal else _request(checked)
    except KeyError:
        raise Undecodable("it is a request of an unknown type that was not refused") from None
    except ValidationError as error:
        raise Undecodable("; ".join(f"{d.field}: {d.problem}" for d in details_of(error))) from None
    except ValueError:
        raise Undecodable("its key is no claim's id") from None
    return Command(checked, request, envelope.trace)


def _request(checked: CheckedRequest) -> Request:
    # Not strict: permissions has checked it as JSON, and what JSON has as text is text here still.
    return REQUESTS[checked.request_type].model_validate(checked.request, strict=False)


def _outcome(command: Command | Step, answer: Accepted | Refusal) -> Outcome | None:
    if isinstance(command, Step):
        return None
    checked = command.checked
    if isinstance(answer, Refusal):
        return RequestRefused(
            request_id=checked.request_id,
            company=checked.company,
            request_type=checked.request_type,
            requested_at=checked.requested_at,
            code=answer.code,
            message=answer.code.message,
            insurer=checked.insurer,
            details=answer.details,
            decision=checked.decision,
        )
    return RequestAccepted(
        request_id=checked.request_id,
        company=checked.company,
        request_type=checked.request_type,
        requested_at=checked.requested_at,
        claim_id=checked.claim_id,
        claim_number=answer.claim_number,
        task_ids=list(answer.task_ids) or None,
        redirected_to=answer.redirected_to,
        decision=checked.decision,
    )
