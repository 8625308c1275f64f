"""linking: parts of links in; what the target is to import, with every file copied and verified, out."""

import time
from collections.abc import Iterable, Sequence

from pydantic import ValidationError

from services.linking.ages import Ages
from services.linking.copying import Copying
from services.linking.rules import copies_without_a_claim, give_up
from services.linking.settings import LinkingSettings
from shared.contract.envelope import Outgoing, Undecodable, details_of, outgoing, read_internal_envelope
from shared.contract.events import ContentWithdrawn, LinkFailed
from shared.contract.linking import GiveUpImport, ImportContent, LinkFailure, LinkRequested
from shared.contract.topics import CLAIM_COMMANDS, CLAIM_EVENTS, LINK_REQUESTS
from shared.media.keys import stored
from shared.messaging.record import Record
from shared.messaging.service import KAFKA, Bus, Service
from shared.runtime import metrics
from shared.runtime.settings import MediaSettings, ServiceSettings
from shared.storage.media_store import MediaStore

NAME = "linking"


class Part:
    """A part of a link, and what is carried through from its message."""

    def __init__(self, record: Record) -> None:
        """Raises Undecodable, which for what our own services wrote is a fault of ours."""
        envelope = read_internal_envelope(record.headers, record.value)
        if envelope.type != LinkRequested.type():
            raise Undecodable(f"linking does not read {envelope.type}")
        try:
            self.request = LinkRequested.model_validate_json(envelope.body)
        except ValidationError as error:
            raise Undecodable("; ".join(f"{d.field}: {d.problem}" for d in details_of(error))) from None
        self.appended_at_ms = record.timestamp
        self._cause = envelope.cause or envelope.id
        self._trace = envelope.trace

    def step(self, step: ImportContent | GiveUpImport) -> Outgoing:
        """Make the message for the target."""
        target = self.request.target_claim_id
        return outgoing(
            CLAIM_COMMANDS.name,
            target,
            step,
            id=step.id,
            source=NAME,
            cause=self._cause,
            subject=target,
            trace=self._trace,
        )


def build(bus: Bus = KAFKA) -> Service:
    """Wire the service: `link-requests` ─▶ `claim-commands`, and `claim-events` for the copies that nobody needs."""
    service = Service(NAME, ServiceSettings(), bus)
    settings = LinkingSettings()
    store = MediaStore.at(MediaSettings().media)
    copying = Copying(store, settings)
    service.checks["media"] = store.ping
    for reason in LinkFailure:
        metrics.LINKS_GIVEN_UP.labels(reason)
    metrics.MEDIA_BYTES.labels("copied")
    ages = Ages()

    @service.subscriber(LINK_REQUESTS, decode=Part, concurrency=settings.concurrency(), instead=given_up)
    async def copy(parts: Sequence[Part]) -> Iterable[Outgoing]:
        with ages.copying(part.appended_at_ms for part in parts):
            steps = [part.step(await copying.copied(part.request)) for part in parts]
        for part in parts:
            metrics.COPIED_SECONDS.observe(max(0.0, time.time() - part.appended_at_ms / 1000))
        return steps

    @service.subscriber(CLAIM_EVENTS, decode=read_event)
    async def remove_copies(events: Sequence[LinkFailed | ContentWithdrawn | None]) -> Iterable[Outgoing]:
        for event in events:
            if event is not None:
                await copying.remove([stored(copy) for copy in copies_without_a_claim(event)])
        return []

    return service


def given_up(part: Part) -> Iterable[Outgoing]:
    """Give up a link whose first part the service itself fails on; a later part, of late reports, is only put aside."""
    return [part.step(give_up(part.request, LinkFailure.SERVICE_FAILS))] if part.request.part == 1 else []


def read_event(record: Record) -> LinkFailed | ContentWithdrawn | None:
    """Read an event after which copies are of no use; any other is passed over. Raises Undecodable."""
    envelope = read_internal_envelope(record.headers, record.value)
    for event in (LinkFailed, ContentWithdrawn):
        if envelope.type == event.type():
            try:
                return event.model_validate_json(envelope.body)
            except ValidationError as error:
                raise Undecodable("; ".join(f"{d.field}: {d.problem}" for d in details_of(error))) from None
    return None
