"""A batch of commands, decided in order, each on what the ones before it have left. Pure."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from uuid import UUID

from services.claims.claim import Claim, apply
from services.claims.claim_numbers import number_keys
from services.claims.commands import Command, Step
from services.claims.decisions import NOTHING_MORE, Accepted, FollowUp, Needs, NotLoaded, NumberKey, RequestKey
from services.claims.link_rules import decide_step, needs_of_step
from services.claims.rules import decide, needs_of
from shared.contract.codes import Code
from shared.contract.commands import Refusal
from shared.contract.events import ClaimEvent, ClaimRedacted
from shared.contract.linking import REMEMBERED_UNDER
from shared.contract.outcomes import Outcome, RequestAccepted, RequestRefused
from shared.contract.redaction import redacted
from shared.media.keys import UploadedMedia


@dataclass(frozen=True)
class Decided:
    """What was decided of a command: what happened to the claim, and a request's one outcome."""

    command: Command | Step
    outcome: Outcome | None = None
    """A step of a link has none."""
    events: tuple[ClaimEvent, ...] = ()
    follow_ups: tuple[FollowUp, ...] = ()
    number_taken: NumberKey | None = None
    republish_for: str | None = None

    @cached_property
    def outcome_body(self) -> bytes | None:
        """The outcome as it is remembered and published."""
        return None if self.outcome is None else self.outcome.json_bytes()

    @cached_property
    def event_bodies(self) -> tuple[bytes, ...]:
        """The events as they are recorded and published."""
        return tuple(event.json_bytes() for event in self.events)


def declared_needs(commands: Iterable[Command | Step]) -> dict[RequestKey, Needs]:
    """Return what deciding each command needs of the record, with its own claim; of one that comes again, the first."""
    needs: dict[RequestKey, Needs] = {}
    for command in commands:
        if command.key not in needs:
            others = _needs_of(command)
            needs[command.key] = replace(others, claims=others.claims | {command.claim_id})
    return needs


def _needs_of(command: Command | Step) -> Needs:
    if isinstance(command, Step):
        return needs_of_step(command.claim_id, command.step)
    if command.request is None:
        return NOTHING_MORE
    return needs_of(command.checked, command.request)


def _no_upload(_: str) -> UploadedMedia | None:
    return None


def _as_decided(decided: Decided, _: int) -> Decided:
    return decided


@dataclass(slots=True)
class Batch:
    """What a batch's commands need to know, as it was, and what it has become."""

    needs: dict[RequestKey, Needs]
    """What was loaded for each command."""
    claims: dict[UUID, Claim]
    numbers: dict[NumberKey, UUID]
    """The claims that have or had a number, by the keys of numbers (`number_keys`)."""
    histories: dict[UUID, list[ClaimEvent]]
    steps: set[str]
    """Those that were decided before."""
    refused_creations: set[RequestKey]
    uploads: Callable[[str], UploadedMedia | None] = _no_upload
    """Reads an upload's key, if we have signed it."""
    instead: Callable[[Decided, int], Decided] = _as_decided
    """Gives what counts in the place of what would be decided now, of a claim that is at a version."""
    decided: dict[RequestKey, Decided] = field(default_factory=dict)
    changed: dict[UUID, Claim] = field(default_factory=dict)

    @property
    def redacted(self) -> list[UUID]:
        """The claims that have an event more and were redacted, now or before: all of it is to be redacted."""
        return sorted(id for id, claim in self.changed.items() if claim.redacted_at is not None)

    def records_for(self, command: Command | Step) -> "RecordsForOne":
        """Return the record as a command's decider sees it. Raises NotLoaded if nothing was loaded for the command."""
        needs = self.needs.get(command.key)
        if needs is None or command.claim_id not in needs.claims:
            raise NotLoaded(f"nothing was loaded for {'/'.join(command.key)}")
        return RecordsForOne(self, needs)

    def is_decided(self, step: str) -> bool:
        """Whether a step of a link was decided before."""
        return step in self.steps or (REMEMBERED_UNDER, step) in self.decided

    def holder_of(self, insurer: str, claim_number: str) -> UUID | None:
        """Find the claim of an insurer that has or had this number."""
        found = (self.numbers.get(key) for key in number_keys(insurer, claim_number))
        return next((id for id in found if id is not None), None)

    def decide_in_order(self, commands: Iterable[Command | Step]) -> None:
        """Decide each request once; one that comes again in the batch keeps its first outcome (domain rule 21)."""
        for command in commands:
            if command.key not in self.decided:
                self.decided[command.key] = self._decide(command)

    def _decide(self, command: Command | Step) -> Decided:
        claim = self.claims.get(command.claim_id)
        decided = self.instead(self._decided(command, claim), 0 if claim is None else claim.version)
        for event in decided.events:
            claim = self.claims[command.claim_id] = self.changed[command.claim_id] = apply(claim, event)
            history = self.histories.get(command.claim_id, [])
            history.append(event)
            if isinstance(event, ClaimRedacted):
                history[:] = map(redacted, history)
        if decided.number_taken is not None:
            self.numbers |= dict.fromkeys(number_keys(*decided.number_taken), command.claim_id)
        return decided

    def _decided(self, command: Command | Step, claim: Claim | None) -> Decided:
        records = self.records_for(command)
        if isinstance(command, Step):
            decision: Accepted | Refusal = decide_step(claim, command.step, command.at, records)
        elif command.request is None:
            decision = command.checked.refusal or Refusal(code=Code.INVALID_REQUEST)
        else:
            decision = decide(claim, command.checked, command.request, records)
        if isinstance(decision, Refusal):
            return Decided(command, _outcome(command, decision))
        number = decision.claim_number and (decision.events[0].insurer, decision.claim_number)
        outcome = _outcome(command, decision)
        return Decided(command, outcome, decision.events, decision.follow_ups, number or None, decision.republish_for)


@dataclass(frozen=True, slots=True)
class RecordsForOne:
    """The record as one command's decider sees it (`Records`): what it declared, and what the batch made of that."""

    _batch: Batch
    _needs: Needs

    def is_taken(self, insurer: str, claim_number: str) -> bool:
        """Whether an insurer's claim has or had this number."""
        _require((insurer, claim_number) in self._needs.numbers, "a claim number")
        return self._batch.holder_of(insurer, claim_number) is not None

    def claim(self, id: UUID) -> Claim | None:
        """Find a claim."""
        _require(id in self._needs.claims, "a claim")
        return self._batch.claims.get(id)

    def claim_with_number(self, insurer: str, claim_number: str) -> Claim | None:
        """Find an insurer's claim that has or had this number."""
        _require((insurer, claim_number) in self._needs.claims_by_number, "the claim of a number")
        id = self._batch.holder_of(insurer, claim_number)
        _require(id is None or id in self._batch.claims, "the claim of a number that is in use")
        return None if id is None else self._batch.claims[id]

    def history(self, claim_id: UUID) -> Sequence[ClaimEvent]:
        """Return all that happened to a claim."""
        _require(claim_id in self._needs.histories and claim_id in self._batch.histories, "a history")
        return self._batch.histories[claim_id]

    def is_decided(self, step: str) -> bool:
        """Whether a step of a link was decided before."""
        _require(step in self._needs.steps, "a step of a link")
        return self._batch.is_decided(step)

    def is_refused_creation(self, company: str, request_id: str) -> bool:
        """Whether a company's request to create a temporary claim was refused, and is remembered."""
        _require((company, request_id) in self._needs.refused_creations, "a refused creation")
        return (company, request_id) in self._batch.refused_creations

    def upload(self, key: str) -> UploadedMedia | None:
        """Return what an upload's key says, or None if we have not signed it."""
        return self._batch.uploads(key)


def _require(loaded: bool, what: str) -> None:
    if not loaded:
        raise NotLoaded(f"the decider asks for {what} that it did not declare")


def _outcome(command: Command | Step, decision: Accepted | Refusal) -> Outcome | None:
    if isinstance(command, Step):
        return None
    checked = command.checked
    if isinstance(decision, Refusal):
        return RequestRefused(
            request_id=checked.request_id,
            company=checked.company,
            request_type=checked.request_type,
            requested_at=checked.requested_at,
            code=decision.code,
            message=decision.code.message,
            insurer=checked.insurer,
            details=decision.details,
            decision=checked.decision,
        )
    return RequestAccepted(
        request_id=checked.request_id,
        company=checked.company,
        request_type=checked.request_type,
        requested_at=checked.requested_at,
        claim_id=checked.claim_id,
        claim_number=decision.claim_number,
        task_ids=list(decision.task_ids) or None,
        redirected_to=decision.redirected_to,
        decision=checked.decision,
    )
