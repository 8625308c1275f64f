"""Which companies get a message, and what they may see of it (domain rule 10). No I/O."""

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import to_json

from shared.contract.envelope import Headers, Undecodable, read_internal_envelope
from shared.contract.events import CLAIM_EVENTS, TwoClaimsEvent
from shared.contract.outcomes import OUTCOMES
from shared.contract.reports import ReportReady
from shared.contract.suggestions import LinkSuggested
from shared.contract.topics import ReadModel

_READERS_OF_THEIR_OWN = frozenset(ReadModel)
"""Who reads `claim-events` itself: what is republished for them is nobody else's."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A message as it leaves for `events.<company>` of each recipient: the same id, without the audience."""

    recipients: tuple[str, ...]
    key: str
    headers: Headers
    value: bytes
    see_other_claim: frozenset[str] = frozenset()
    value_for_others: bytes | None = None
    """What they get who may not see the other claim that an event tells of; None if it tells of none."""

    def value_for(self, company: str) -> bytes:
        """The body that a recipient gets."""
        if self.value_for_others is None or company in self.see_other_claim:
            return self.value
        return self.value_for_others


class _ClaimEvent(BaseModel):
    """What is for delivery alone; all else is passed on as it is."""

    model_config = ConfigDict(extra="allow")

    audience: list[str]
    see_other_claim: list[str] = []
    seen_from_now_on_by: list[str] = []


class _Outcome(BaseModel):
    company: str


class _ForInsurer(BaseModel):
    insurer: str


def addressed(key: bytes | None, headers: Headers, value: bytes | None) -> Letter:
    """Address an event, an outcome, suggestions or a report to the companies that get it.

    An outcome goes to the company that asked, an event to its audience, suggestions, which tell of other claims, and
    reports to the insurer, and what is republished to its reader alone, if that is one of them. Of another claim that
    an event tells of only those learn who may see that claim too.
    Raises Undecodable.
    """
    envelope = read_internal_envelope(headers, value)
    body = envelope.body
    see_other_claim: frozenset[str] = frozenset()
    value_for_others = None
    try:
        if envelope.type in OUTCOMES:
            recipients = visible_to = [_Outcome.model_validate_json(body).company]
        elif envelope.type in CLAIM_EVENTS:
            event = _ClaimEvent.model_validate_json(body)
            recipients = visible_to = event.audience
            passed_on = event.model_extra or {}
            body = to_json(passed_on)
            if issubclass(kind := CLAIM_EVENTS[envelope.type], TwoClaimsEvent):
                see_other_claim = frozenset(event.see_other_claim)
                value_for_others = to_json({n: v for n, v in passed_on.items() if n not in kind.OTHER_CLAIM})
        elif envelope.type in (LinkSuggested.type(), ReportReady.type()):
            recipients = visible_to = [_ForInsurer.model_validate_json(body).insurer]
        else:
            raise Undecodable(f"{envelope.type} is not for companies")
    except ValidationError:
        raise Undecodable("it has no company, audience or insurer") from None
    if envelope.republished_for in _READERS_OF_THEIR_OWN:
        recipients = []
    elif envelope.republished_for is not None:
        recipients = [company for company in visible_to if company == envelope.republished_for]
    key_text = (key or b"").decode(errors="replace")
    return Letter(tuple(recipients), key_text, headers, body, see_other_claim, value_for_others)
