"""The messages that claims sends: the events of a command, a link's next steps and the one outcome; first or again."""

from collections.abc import Iterable, Iterator

from services.claims.batch import Decided
from services.claims.commands import Command, Step
from services.claims.store import Remembered, StoredEvent, StoredFollowUp, StoredOutcome
from shared.contract.envelope import Outgoing, outgoing, sealed
from shared.contract.topics import CLAIM_EVENTS, REQUEST_OUTCOMES

_SOURCE = "claims"


def messages_of(decided: Decided) -> Iterator[Outgoing]:
    """Yield the messages of what was decided just now."""
    command = decided.command
    for event, body in zip(decided.events, decided.event_bodies, strict=True):
        yield sealed(
            CLAIM_EVENTS.name,
            event.claim_id,
            event.type(),
            body,
            id=f"{event.claim_id}/{event.version}",
            source=_SOURCE,
            cause=command.cause,
            subject=event.claim_id,
            trace=command.trace,
        )
    for follow_up in decided.follow_ups:
        yield outgoing(
            follow_up.topic.name,
            follow_up.claim_id,
            follow_up.step,
            id=follow_up.step.id,
            source=_SOURCE,
            cause=command.cause,
            subject=follow_up.claim_id,
            trace=command.trace,
        )
    if decided.outcome is not None and decided.outcome_body is not None:
        yield sealed(
            REQUEST_OUTCOMES.name,
            decided.outcome.request_id,
            decided.outcome.type(),
            decided.outcome_body,
            id="/".join(command.key),
            source=_SOURCE,
            cause=command.cause,
            subject=command.claim_id,
            trace=command.trace,
        )


def messages_again(command: Command | Step, remembered: Remembered) -> Iterator[Outgoing]:
    """Yield again the messages of what was decided before, with the same ids (domain rule 21).

    Of the events and steps only those of the command's own claim: another claim's are published from that claim's
    partition, where alone their order is known.
    """
    if remembered.outcome.claim_id == command.claim_id:
        for event in remembered.events:
            yield _event_again(command, event)
        for follow_up in remembered.follow_ups:
            yield _follow_up_again(command, follow_up)
    yield from _outcome_again(command, remembered.outcome)


def whole_history(
    command: Command, creation: StoredOutcome, history: Iterable[StoredEvent], reader: str
) -> Iterator[Outgoing]:
    """Yield the outcome of a claim's creation and all its events again, for one reader."""
    yield from _outcome_again(command, creation, reader)
    for event in history:
        yield _event_again(command, event, reader)


def _event_again(command: Command | Step, event: StoredEvent, reader: str | None = None) -> Outgoing:
    return sealed(
        CLAIM_EVENTS.name,
        event.claim_id,
        event.type,
        event.body,
        id=f"{event.claim_id}/{event.version}",
        source=_SOURCE,
        cause=event.cause,
        subject=event.claim_id,
        trace=command.trace,
        republished_for=reader,
    )


def _follow_up_again(command: Command | Step, follow_up: StoredFollowUp) -> Outgoing:
    return sealed(
        follow_up.topic,
        follow_up.claim_id,
        follow_up.type,
        follow_up.body,
        id=follow_up.step_id,
        source=_SOURCE,
        cause=command.cause,
        subject=follow_up.claim_id,
        trace=command.trace,
    )


def _outcome_again(command: Command | Step, outcome: StoredOutcome, reader: str | None = None) -> Iterator[Outgoing]:
    if outcome.type is None:
        return  # a step of a link has none
    yield sealed(
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
