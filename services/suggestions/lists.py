"""The list of a temporary claim's suggestions, as it was published, and the next one where it differs. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from services.suggestions.batch import CausedEvent, Version
from services.suggestions.rules import Match, best
from shared.contract.envelope import Outgoing, sealed
from shared.contract.suggestions import LinkSuggested
from shared.contract.topics import LINK_SUGGESTIONS

_SOURCE = "suggestions"


@dataclass(frozen=True, slots=True)
class Published:
    """A list as it was published."""

    claim_id: UUID
    revision: int
    cause: Version
    """The event that led to it."""
    body: bytes


def next_list(
    last: Published | None, claim_id: UUID, matches: Iterable[tuple[UUID, str, Match]], cause: CausedEvent, now_ms: int
) -> Published | None:
    """Make a claim's next list; None if it has what the last one had. Without a last one, it had nothing.

    `now_ms`, milliseconds since 1970 UTC, makes the revision grow even if the database was lost in between.
    """
    suggestions = list(best(matches))
    published = LinkSuggested.model_validate_json(last.body).suggestions if last else []
    if suggestions == published:
        return None
    revision = max(last.revision + 1 if last else 1, now_ms)
    body = LinkSuggested(
        claim_id=claim_id,
        insurer=cause.event.insurer,
        at=cause.event.at,
        revision=revision,
        suggestions=suggestions,
    )
    return Published(claim_id, revision, cause.version, body.json_bytes())


def message_of(published: Published, cause: CausedEvent) -> Outgoing:
    """Put a list into its envelope: the same each time that it is published."""
    return sealed(
        LINK_SUGGESTIONS.name,
        published.claim_id,
        LinkSuggested.type(),
        published.body,
        id=f"{published.claim_id}/suggestions/{published.revision}",
        source=_SOURCE,
        cause=cause.request_id,
        subject=published.claim_id,
        trace=cause.trace,
    )
