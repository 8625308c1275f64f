"""permissions: every company's requests in; checked commands, directory messages and their outcomes out."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from services.permissions.claim_rules import check
from services.permissions.directory_rules import settle_in_order
from services.permissions.messages import command, directory_message, outcome_of
from services.permissions.received import ReceivedRequest, is_settled_here
from shared.contract.codes import Code
from shared.contract.directory_events import SettingsRequestRefused
from shared.contract.envelope import Outgoing, read_envelope
from shared.contract.topics import DIRECTORY, REQUESTS, company_of_requests
from shared.directory_reader import DirectoryReader
from shared.errors import Misconfigured
from shared.messaging.record import Record
from shared.messaging.service import KAFKA, Bus, Service
from shared.runtime import metrics
from shared.runtime.settings import FirstOnTheRoadSettings

NAME = "permissions"

_LOG_APPEND_TIME = 1


def build(bus: Bus = KAFKA) -> Service:
    """Wire the service: `requests.<company>` ─▶ `claim-commands`, `directory` and `request-outcomes`."""
    service = Service(NAME, FirstOnTheRoadSettings(), bus)
    reader = DirectoryReader(service.settings, bus.consumer)
    directory = reader.directory
    service.notes.append(reader.unknown_settings.notes)

    async def read_the_directory() -> None:
        await reader.catch_up()
        reader.unknown_settings.look()

    service.on_start.append(read_the_directory)
    service.on_stop.append(reader.stop)

    @service.subscriber(REQUESTS, decode=read_request)
    async def handle(requests: Sequence[ReceivedRequest]) -> Iterable[Outgoing]:
        await reader.catch_up_to_now()  # the barrier: every setting in force at these requests' moments
        reader.unknown_settings.look()
        in_order = sorted(requests, key=lambda received: received.at)
        if ours := [received for received in in_order if is_ours(received)]:
            await settle_all(ours)
        return [answer(received) for received in in_order]

    def is_ours(received: ReceivedRequest) -> bool:
        return is_settled_here(directory, received.company, received.envelope.type, received.at)

    for code in ("accepted", *Code):
        metrics.OUTCOMES.labels(code)

    async def settle_all(requests: Sequence[ReceivedRequest]) -> None:
        settled = list(settle_in_order(directory, requests))
        if not settled:
            return
        await service.publisher.publish([directory_message(event, received) for event, received in settled])
        await read_the_directory()
        for event, _ in settled:
            code = event.code if isinstance(event, SettingsRequestRefused) else None
            metrics.OUTCOMES.labels(code or "accepted").inc()
            if code is not None:
                metrics.REFUSALS.labels(event.company, code).inc()

    def answer(received: ReceivedRequest) -> Outgoing:
        settled = directory.settled(received.company, received.envelope.id)
        if settled is not None:
            return outcome_of(settled, received)
        if is_ours(received):
            raise Misconfigured(f"what was published on {DIRECTORY.name} cannot be read back")
        return command(check(directory, received), received)

    return service


def read_request(record: Record) -> ReceivedRequest:
    """Read a request; raises Undecodable where it has no readable id (domain rule 22)."""
    if record.timestamp_type != _LOG_APPEND_TIME:
        raise Misconfigured(f"{record.topic} must have message.timestamp.type=LogAppendTime (domain rule 4)")
    return ReceivedRequest(
        company=company_of_requests(record.topic),
        at=datetime.fromtimestamp(record.timestamp / 1000, UTC),
        envelope=read_envelope(record.headers, record.value),
    )
