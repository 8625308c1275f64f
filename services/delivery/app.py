"""delivery: events, outcomes, suggestions and reports in; to each company those that it may see."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from services.delivery.rules import Letter, addressed
from shared.contract.envelope import Outgoing
from shared.contract.topics import CLAIM_EVENTS, EVENTS, LINK_SUGGESTIONS, REPORTS, REQUEST_OUTCOMES
from shared.messaging.dead_letters import Why, dead_letter
from shared.messaging.record import Record
from shared.messaging.service import KAFKA, Bus, Service
from shared.runtime import metrics
from shared.runtime.settings import RoadSettings

NAME = "delivery"


def build(bus: Bus = KAFKA) -> Service:
    """Wire the service: events, outcomes, suggestions and reports ─▶ `events.<company>`."""
    service = Service(NAME, RoadSettings(), bus)

    @service.subscriber(CLAIM_EVENTS, REQUEST_OUTCOMES, LINK_SUGGESTIONS, REPORTS, decode=read_letter)
    async def handle(letters: Sequence[Addressed]) -> Iterable[Outgoing]:
        topics = {EVENTS.of(company) for addressed in letters for company in addressed.letter.recipients}
        missing = await service.publisher.missing(topics)
        return [message for addressed in letters for message in copies(addressed, missing)]

    return service


@dataclass(frozen=True, slots=True)
class Addressed:
    """A letter, and the record that it was made of."""

    letter: Letter
    record: Record


def read_letter(record: Record) -> Addressed:
    """Read an event, an outcome, suggestions or a report; raises Undecodable."""
    return Addressed(addressed(record.key, record.headers, record.value), record)


def copies(addressed: Addressed, missing: Collection[str]) -> Iterable[Outgoing]:
    """Make each recipient's message: the same key, headers and id.

    A company that was registered but never provisioned has no topic: that costs it its copy, which becomes a dead
    letter, and nobody else theirs.
    """
    letter = addressed.letter
    topics = {EVENTS.of(company): company for company in letter.recipients}
    for topic, company in topics.items():
        if topic not in missing:
            yield Outgoing(topic, letter.key, tuple(letter.headers), letter.value_for(company))
    without = [topic for topic in topics if topic in missing]
    if without:
        metrics.DEAD_LETTERS.labels(addressed.record.topic, Why.NO_TOPIC).inc()
        yield dead_letter(addressed.record, service=NAME, reason=f"there is no topic {', '.join(without)}")
