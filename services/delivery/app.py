"""delivery: events and outcomes in; to each company those that it may see."""

from collections.abc import Iterable, Sequence

from services.delivery.rules import Letter, addressed
from shared.contract.envelope import Outgoing
from shared.contract.topics import CLAIM_EVENTS, EVENTS, REQUEST_OUTCOMES
from shared.runtime.records import Record
from shared.runtime.service import Service
from shared.runtime.settings import ServiceSettings

NAME = "delivery"


def build() -> Service:
    """Wire the service: `claim-events` and `request-outcomes` ─▶ `events.<company>`."""
    service = Service(NAME, ServiceSettings())

    @service.subscriber(CLAIM_EVENTS, REQUEST_OUTCOMES)
    @service.published_before_committed(read_letter)
    async def handle(letters: Sequence[Letter]) -> Iterable[Outgoing]:
        outgoing = [message for letter in letters for message in copies(letter)]
        await service.publisher.require({message.topic for message in outgoing})
        return outgoing

    return service


def read_letter(record: Record) -> Letter:
    """Read an event or outcome; raises Undecodable."""
    return addressed(record.key, record.headers, record.value)


def copies(letter: Letter) -> Iterable[Outgoing]:
    """Make each recipient's message: the same key, headers and id."""
    for company in letter.recipients:
        yield Outgoing(EVENTS.of(company), letter.key, tuple(letter.headers), letter.value)
