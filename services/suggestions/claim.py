"""A claim as far as suggestions need it, and what each event makes of it. Pure."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any
from uuid import UUID

from services.suggestions.particulars import Particulars, name_of, of_nobody, particulars_of, place_of, policy_number_of
from shared.contract.events import (
    ClaimAmended,
    ClaimCancelled,
    ClaimConverted,
    ClaimEvent,
    ClaimLinked,
    ClaimRedacted,
    ClaimRegistered,
    ClaimUnlinked,
    TemporaryClaimCreated,
)


class State(StrEnum):
    """Where a claim is in its life; one that is being linked is temporary until it is linked."""

    TEMPORARY = "temporary"
    NORMAL = "normal"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Claim:
    """What is known of a claim; a cancelled one's particulars stay, since a link can be undone."""

    id: UUID
    insurer: str
    version: int
    state: State
    claim_number: str
    particulars: Particulars

    def differs_from(self, other: "Claim | None") -> bool:
        """Whether more than the version is another."""
        return other is None or replace(self, version=other.version) != other


def made_by(event: TemporaryClaimCreated | ClaimRegistered) -> Claim:
    """Make a claim of its first event."""
    return Claim(
        id=event.claim_id,
        insurer=event.insurer,
        version=event.version,
        state=State.TEMPORARY if isinstance(event, TemporaryClaimCreated) else State.NORMAL,
        claim_number=event.claim_number,
        particulars=particulars_of(event.incident, event.policyholder, event.policy_number),
    )


def apply(claim: Claim, event: ClaimEvent) -> Claim:
    """Make an event's change. Most kinds of event, and those not known yet, change the version and nothing else."""
    claim = replace(claim, version=event.version)
    if isinstance(event, ClaimConverted):
        return replace(claim, state=State.NORMAL, claim_number=event.claim_number)
    if isinstance(event, ClaimCancelled | ClaimLinked):
        return replace(claim, state=State.CANCELLED)
    if isinstance(event, ClaimUnlinked):
        return replace(claim, state=State.TEMPORARY)
    if isinstance(event, ClaimAmended):
        return replace(claim, particulars=_amended(claim.particulars, event))
    if isinstance(event, ClaimRedacted):
        return replace(claim, particulars=of_nobody(claim.particulars.incident_date, claim.particulars.cause))
    return claim


def _amended(particulars: Particulars, event: ClaimAmended) -> Particulars:
    after = event.after
    changes: dict[str, Any] = {}
    if after.incident is not None:
        changes |= {
            "incident_date": after.incident.date,
            "cause": after.incident.cause,
            "place": place_of(after.incident.address),
        }
    if after.policyholder is not None:
        changes |= {"name": name_of(after.policyholder.name), "phone": after.policyholder.phone}
    if "policy_number" in after.model_fields_set:
        changes["policy_number"] = policy_number_of(after.policy_number)
    return particulars.model_copy(update=changes)
