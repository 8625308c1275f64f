"""What was published of requests that the record has lost counts as it was, whatever would be decided now. Pure.

What depends on a request's own claim alone would be decided the same again. But numbers, and claims of other
partitions, may be by now what they were not then.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from uuid import UUID

from services.claims.batch import Decided
from services.claims.decisions import NumberKey, RequestKey
from shared.contract.envelope import Envelope
from shared.contract.events import CLAIM_EVENTS, ClaimConverted, ClaimEvent, ClaimRegistered, TemporaryClaimCreated
from shared.contract.outcomes import OUTCOMES, RequestRefused

_GIVE_A_NUMBER = (TemporaryClaimCreated, ClaimRegistered, ClaimConverted)


@dataclass(slots=True)
class Published:
    """What is on the topics: outcomes by request, events by claim and version."""

    requests: set[RequestKey] = field(default_factory=set)
    """Those that the record lacks."""
    claims: set[UUID] = field(default_factory=set)
    """What they are about."""
    _outcomes: dict[RequestKey, Envelope] = field(default_factory=dict)
    _events: dict[tuple[UUID, int], Envelope] = field(default_factory=dict)
    _causes: set[tuple[UUID, str | None]] = field(default_factory=set)

    def take(self, message: Envelope) -> None:
        """Keep a message of `request-outcomes` or `claim-events` if it is about one of these."""
        if message.type in OUTCOMES:
            company, _, request_id = message.id.partition("/")
            if (company, request_id) in self.requests:
                self._outcomes[company, request_id] = message
        elif message.type in CLAIM_EVENTS:
            claim, _, version = message.id.partition("/")
            if UUID(claim) in self.claims:
                self._events[UUID(claim), int(version)] = message
                self._causes.add((UUID(claim), message.cause))

    def is_about(self, request: RequestKey, claim: UUID, cause: str) -> bool:
        """Whether anything of it is there, or may be: a step has no outcome, its events name the request before it."""
        return request in self._outcomes or (claim, cause) in self._causes

    def instead(self, decided: Decided, version: int) -> Decided:
        """Give what was published if it differs from what is decided now of a claim that is at a version."""
        command = decided.command
        outcome = self._outcomes.get(command.key)
        events = list(self._events_after(command.claim_id, version, command.cause))
        same = outcome is None or outcome.body == decided.outcome_body
        same &= all(event.body == body for event, body in zip(events, decided.event_bodies, strict=False))
        if same:
            return decided
        if decided.events:
            events = events[: len(decided.events)]
        happened = tuple(CLAIM_EVENTS[event.type].model_validate_json(event.body) for event in events)
        said = decided.outcome if outcome is None else OUTCOMES[outcome.type].model_validate_json(outcome.body)
        if isinstance(said, RequestRefused):
            return Decided(command, said)
        return replace(decided, outcome=said, events=happened, number_taken=_number(happened))

    def _events_after(self, claim: UUID, version: int, cause: str) -> Iterator[Envelope]:
        """The claim's next events, as long as the same request caused them."""
        while (event := self._events.get((claim, version := version + 1))) is not None and event.cause == cause:
            yield event


def _number(events: tuple[ClaimEvent, ...]) -> NumberKey | None:
    given = [event for event in events if isinstance(event, _GIVE_A_NUMBER)]
    return (given[-1].insurer, given[-1].claim_number) if given else None
