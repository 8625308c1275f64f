"""The messages that claims sends: the events of a request and its one outcome, for the first time or again."""

from collections.abc import Iterable, Iterator

from services.claims.batch import Command, Decided
from services.claims.store import StoredEvent, StoredOutcome
from shared.contract.envelope import Outgoing, outgoing, sealed
from shared.contract.topics import CLAIM_EVENTS, REQUEST_OUTCOMES

_SOURCE = "claims"


def first_answer(command: Command, decided: Decided) -> Iterator[Outgoing]:
    """Send what was decided just now."""
    for event in decided.events:
        yield outgoing(
            CLAIM_EVENTS.name,
            event.claim_id,
            event,
            id=f"{event.claim_id}/{event.version}",
            source=_SOURCE,
            cause=decided.checked.request_id,
            subject=event.claim_id,
            trace=command.trace,
        )
    yield outgoing(
        REQUEST_OUTCOMES.name,
        decided.checked.request_id,
        decided.outcome,
        id="/".join(command.key),
        source=_SOURCE,
        cause=decided.checked.request_id,
        subject=decided.checked.claim_id,
        trace=command.trace,
    )


def same_answer(command: Command, outcome: StoredOutcome, events: Iterable[StoredEvent]) -> Iterator[Outgoing]:
    """Send again what was decided before, with the same ids (domain rule 21).

    Of the events only those of the command's own claim: another claim's are published from that claim's partition,
    where alone their order is known.
    """
    for event in events:
        if event.claim_id == command.checked.claim_id:
            yield _event_again(command, event)
    yield _outcome_again(command, outcome)


def whole_history(
    command: Command, creation: StoredOutcome, history: Iterable[StoredEvent], reader: str
) -> Iterator[Outgoing]:
    """Send the outcome of a claim's creation and all its events again, for one reader."""
    yield _outcome_again(command, creation, reader)
    for event in history:
        yield _event_again(command, event, reader)


def _event_again(command: Command, event: StoredEvent, reader: str | None = None) -> Outgoing:
    return sealed(
        CLAIM_EVENTS.name,
        event.claim_id,
        event.type,
        event.body,
        id=f"{event.claim_id}/{event.version}",
        source=_SOURCE,
        cause=event.request_id,
        subject=event.claim_id,
        trace=command.trace,
        republished_for=reader,
    )


def _outcome_again(command: Command, outcome: StoredOutcome, reader: str | None = None) -> Outgoing:
    return sealed(
        REQUEST_OUTCOMES.name,
        outcome.request_id,
        outcome.type,
        outcome.body,
        id=f"{outcome.company}/{outcome.request_id}",
        source=_SOURCE,
        cause=outcome.request_id,
        subject=outcome.claim_id,
        trace=command.trace,
        republished_for=reader,
    )
