"""What deciding is made of: what is known beside the claim, what comes of it, and the checks that requests share."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from services.claims.claim import Claim, ClaimTask, State
from shared.contract.codes import Code
from shared.contract.commands import CheckedRequest, Refusal
from shared.contract.events import ClaimEvent
from shared.contract.fields import Actor
from shared.contract.linking import LinkStep
from shared.contract.outcomes import Detail
from shared.contract.topics import Topic
from shared.media.keys import UploadedMedia


class Known(Protocol):
    """What deciding may need to know beside the claim."""

    def is_taken(self, insurer: str, claim_number: str) -> bool:
        """Whether an insurer's claim has or had this number; one that was used once is not used again."""

    def claim(self, id: UUID) -> Claim | None:
        """Find another claim, as it was when the batch was read: its own writer may have changed it since."""

    def claim_with_number(self, insurer: str, claim_number: str) -> Claim | None:
        """Find an insurer's claim that has or had this number."""

    def history(self, claim_id: UUID) -> Sequence[ClaimEvent]:
        """Tell all that happened to the claim that is decided about."""

    def is_decided(self, step: str) -> bool:
        """Whether a step of a link, by its id, was decided before."""

    def is_refused_creation(self, company: str, request_id: str) -> bool:
        """Whether a company's request to create a temporary claim was refused, and is remembered."""

    def upload(self, key: str) -> UploadedMedia | None:
        """Tell what an upload's key says, or None if we have not signed it."""


@dataclass(frozen=True, slots=True)
class FollowUp:
    """A step of a link that a decision leads to, for another claim's key."""

    topic: Topic
    claim_id: UUID
    step: LinkStep


@dataclass(frozen=True, slots=True)
class Accepted:
    """A request or step takes effect with these events and steps; the rest is told in a request's outcome."""

    events: tuple[ClaimEvent, ...] = ()
    follow_ups: tuple[FollowUp, ...] = ()
    claim_number: str | None = None
    task_ids: tuple[UUID, ...] = ()
    redirected_to: UUID | None = None
    republish_for: str | None = None


class Refused(Exception):
    """A rule says no."""

    def __init__(self, code: Code, field: str | None = None, problem: str = "") -> None:
        super().__init__(code)
        self.refusal = Refusal(code=code, details=[Detail(field=field, problem=problem)] if field else None)


def visible(claim: Claim | None, checked: CheckedRequest) -> Claim:
    """Domain rule 10: who may not see a claim can't learn that it exists."""
    if claim is None or checked.company not in claim.audience:
        raise Refused(Code.UNKNOWN_CLAIM)
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
    """Tell who asks."""
    return Actor(company=checked.company, name=checked.actor)


def about(claim: Claim, at: datetime, actor: Actor) -> dict[str, Any]:
    """Tell what every event says, for a claim's next one."""
    return {
        "claim_id": claim.id,
        "version": claim.version + 1,
        "insurer": claim.insurer,
        "at": at,
        "actor": actor,
        "audience": claim.audience,
    }


def asked_of(claim: Claim, checked: CheckedRequest) -> dict[str, Any]:
    """Tell what every event says, for the one that a request leads to."""
    return about(claim, checked.requested_at, actor_of(checked))
