"""A batch of events, applied claim by claim: what is new of each, and what was applied before. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from uuid import UUID

from pydantic import ValidationError

from services.suggestions.claim import Claim, apply, made_by
from shared.contract.envelope import Headers, Undecodable, details_of, read_internal_envelope
from shared.contract.events import (
    CLAIM_EVENTS,
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
from shared.messaging.record import Record

READER = "suggestions"
"""Our name in what is published again for one reader (`ce_republishedfor`)."""

_FIRST = (TemporaryClaimCreated, ClaimRegistered)
_READ_WHOLE = {
    kind.type()
    for kind in (
        *_FIRST,
        ClaimConverted,
        ClaimAmended,
        ClaimCancelled,
        ClaimRedacted,
        ClaimLinked,
        ClaimUnlinked,
    )
}

Version = tuple[UUID, int]
"""A claim and one of its versions: one event."""


class Gap(Exception):
    """An event of a claim is missing, so nothing is certain of the claim any more."""


@dataclass(frozen=True, slots=True)
class CausedEvent:
    """An event, with the request that caused it."""

    event: ClaimEvent
    request_id: str
    """The request that led to the event."""
    trace: Headers

    @property
    def version(self) -> Version:
        """Which event of which claim."""
        return self.event.claim_id, self.event.version


def read_event(record: Record) -> CausedEvent | None:
    """Read an event, or pass over what is published again for another reader. Raises Undecodable."""
    envelope = read_internal_envelope(record.headers, record.value)
    if envelope.republished_for not in {None, READER}:
        return None
    kind = CLAIM_EVENTS[envelope.type] if envelope.type in _READ_WHOLE else ClaimEvent
    try:
        event = kind.model_validate_json(envelope.body)
    except ValidationError as error:
        raise Undecodable("; ".join(f"{d.field}: {d.problem}" for d in details_of(error))) from None
    request_id = dict(record.headers).get("ce_causationid") or b""
    return CausedEvent(event, request_id.decode(errors="replace"), envelope.trace)


@dataclass
class Batch:
    """What a batch of events does to the claims."""

    before: Mapping[UUID, Claim]
    """The claims as they were recorded."""
    changed: dict[UUID, Claim] = field(default_factory=dict)
    """Claims with a new version, as they are now."""
    last_events: dict[UUID, tuple[int, CausedEvent]] = field(default_factory=dict)
    """The last new event of each of those, with its place in the batch."""
    repeated: dict[Version, CausedEvent] = field(default_factory=dict)
    """Events that were applied before."""
    met_half_way: set[UUID] = field(default_factory=set)
    """Claims of which not even the first event is known."""

    @property
    def moved(self) -> dict[UUID, Claim]:
        """The changed claims of which more than the version is new: what they match must be looked for again."""
        return {id: claim for id, claim in self.changed.items() if claim.differs_from(self.before.get(id))}

    def last_event_of(self, claims: Iterable[UUID]) -> CausedEvent:
        """Find the last of the new events of some changed claims."""
        _, event = max((self.last_events[id] for id in claims), key=itemgetter(0))
        return event

    def apply(self, events: Iterable[CausedEvent]) -> None:
        """Apply each event if it is its claim's next one. Raises Gap if one is missing in between.

        A claim whose first event has not been met is passed over until it is published again from the first on.
        """
        for place, message in enumerate(events):
            event = message.event
            claim = self.changed.get(event.claim_id) or self.before.get(event.claim_id)
            if claim is not None and event.version <= claim.version:
                self.repeated[message.version] = message
                continue
            if claim is None:
                if not isinstance(event, _FIRST):
                    self.met_half_way.add(event.claim_id)
                    continue
                claim = made_by(event)
            elif event.version == claim.version + 1:
                claim = apply(claim, event)
            else:
                raise Gap(f"of claim {claim.id}, version {event.version} came after {claim.version}")
            self.changed[claim.id] = claim
            self.last_events[claim.id] = place, message
