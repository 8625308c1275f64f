"""What deciding is made of: what a decider needs to know besides the claim, what comes of it, and checks they share."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from services.claims.claim import Claim, ClaimTask, State
from shared.contract.codes import Code
from shared.contract.commands import CheckedRequest
from shared.contract.events import ClaimEvent
from shared.contract.fields import Actor
from shared.contract.linking import LinkStep
from shared.contract.topics import Topic
from shared.domain.refusal import Refused
from shared.media.keys import UploadedMedia

RequestKey = tuple[str, str]
"""Company and request id; of a step of a link, `claimbus` and the step's id."""
NumberKey = tuple[str, str]
"""Insurer and claim number."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What a decider needs of the record besides the claim that it decides about: it is loaded before, and no more."""

    claims: frozenset[UUID] = frozenset()
    """Other claims."""
    numbers: frozenset[NumberKey] = frozenset()
    """Claim numbers of which it matters whether they are in use."""
    claims_by_number: frozenset[NumberKey] = frozenset()
    """Claim numbers whose claims are needed."""
    histories: frozenset[UUID] = frozenset()
    """Claims of which it matters what happened to them before."""
    steps: frozenset[str] = frozenset()
    """Steps of links of which it matters whether they were decided before."""
    refused_creations: frozenset[RequestKey] = frozenset()
    """Requests of which it matters whether they are creations that were refused."""

    def union(self, *others: "Needs") -> "Needs":
        """Return what any of them needs."""
        return Needs(*(getattr(self, f.name).union(*(getattr(each, f.name) for each in others)) for f in fields(self)))


NOTHING_MORE = Needs()


class NotLoaded(Exception):
    """A decider looks up what it did not declare, a fault of ours: not loaded does not mean that there is none."""


class Records(Protocol):
    """What a decider can look up besides the claim. All but an upload raise NotLoaded for what is not in its needs."""

    def is_taken(self, insurer: str, claim_number: str) -> bool:
        """Whether an insurer's claim has or had this number; one that was used once is not used again."""

    def claim(self, id: UUID) -> Claim | None:
        """Find another claim, as it was when the batch was read: its own writer may have changed it since."""

    def claim_with_number(self, insurer: str, claim_number: str) -> Claim | None:
        """Find an insurer's claim that has or had this number."""

    def history(self, claim_id: UUID) -> Sequence[ClaimEvent]:
        """Return all that happened to the claim that is decided about."""

    def is_decided(self, step: str) -> bool:
        """Whether a step of a link, by its id, was decided before."""

    def is_refused_creation(self, company: str, request_id: str) -> bool:
        """Whether a company's request to create a temporary claim was refused, and is remembered."""

    def upload(self, key: str) -> UploadedMedia | None:
        """Return what an upload's key says, or None if we have not signed it."""


@dataclass(frozen=True, slots=True)
class FollowUp:
    """A step of a link that a decision leads to, for another claim's key."""

    topic: Topic
    claim_id: UUID
    step: LinkStep


@dataclass(frozen=True, slots=True)
class Accepted:
    """A request or step takes effect with these events and steps; the rest is for a request's outcome."""

    events: tuple[ClaimEvent, ...] = ()
    follow_ups: tuple[FollowUp, ...] = ()
    claim_number: str | None = None
    task_ids: tuple[UUID, ...] = ()
    redirected_to: UUID | None = None
    republish_for: str | None = None


def visible(claim: Claim | None, checked: CheckedRequest) -> Claim:
    """Domain rule 10: who may not see a claim can't learn that it exists. A redacted one stays as it is."""
    if claim is None or checked.company not in claim.audience:
        raise Refused(Code.UNKNOWN_CLAIM)
    if claim.redacted_at is not None:
        raise Refused(Code.CLAIM_REDACTED)
    return claim


def unsettled(claim: Claim) -> Claim:
    """Let through a claim that is neither cancelled nor being linked."""
    if claim.state is State.CANCELLED:
        raise Refused(Code.ALREADY_CANCELLED)
    if claim.link is not None:
        raise Refused(Code.BEING_LINKED)
    return claim


def task_of(claim: Claim, id: UUID) -> ClaimTask:
    """Find a task of a claim."""
    task = claim.task(id)
    if task is None:
        raise Refused(Code.UNKNOWN_TASK)
    return task


def actor_of(checked: CheckedRequest) -> Actor:
    """Return the request's actor."""
    return Actor(company=checked.company, name=checked.actor)


def event_fields(claim: Claim, at: datetime, actor: Actor) -> dict[str, Any]:
    """Return the fields that every event has, for a claim's next one."""
    return {
        "claim_id": claim.id,
        "version": claim.version + 1,
        "insurer": claim.insurer,
        "at": at,
        "actor": actor,
        "audience": claim.audience,
    }


def requested_event(claim: Claim, checked: CheckedRequest) -> dict[str, Any]:
    """Return the fields that every event has, for the one that a request leads to."""
    return event_fields(claim, checked.requested_at, actor_of(checked))
