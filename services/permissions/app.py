"""permissions: every company's requests in; checked commands, directory messages and their outcomes out."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from services.permissions.answers import command, directory_message, outcome_of
from services.permissions.rules import Asked, check, is_about_directory, settle
from shared.contract.envelope import Outgoing, read_envelope
from shared.contract.topics import DIRECTORY, REQUESTS, company_of_requests
from shared.directory import Directory, take_in
from shared.directory_health import DirectoryHealth
from shared.errors import Misconfigured
from shared.messaging.follower import TopicReader
from shared.messaging.record import Record
from shared.messaging.service import KAFKA, Bus, Service
from shared.runtime.settings import ServiceSettings

NAME = "permissions"

_LOG_APPEND_TIME = 1


def build(bus: Bus = KAFKA) -> Service:
    """Wire the service: `requests.<company>` ─▶ `claim-commands`, `directory` and `request-outcomes`."""
    service = Service(NAME, ServiceSettings(), bus)
    directory = Directory()
    lacking = DirectoryHealth(directory)
    service.notes.append(lacking.notes)
    reader = TopicReader(service.settings, DIRECTORY.name, lambda record: take_in(directory, record), bus.consumer)

    async def read_the_directory() -> None:
        await reader.catch_up()
        lacking.look()

    service.on_start.append(read_the_directory)
    service.on_stop.append(reader.stop)

    @service.subscriber(REQUESTS, decode=read_request)
    async def handle(requests: Sequence[Asked]) -> Iterable[Outgoing]:
        await reader.catch_up_to_now()  # the barrier: every setting in force at these requests' moments
        lacking.look()
        answers: list[Outgoing] = []
        for asked in sorted(requests, key=lambda asked: asked.at):
            if is_about_directory(asked.envelope) or directory.answered(asked.company, asked.envelope.id):
                answers.append(await answer_about_directory(asked))
            else:
                answers.append(command(check(directory, asked), asked))
        return answers

    async def answer_about_directory(asked: Asked) -> Outgoing:
        request = asked.company, asked.envelope.id
        if directory.answered(*request) is None:
            await service.publisher.publish([directory_message(settle(directory, asked), asked)])
            await reader.catch_up()
        answered = directory.answered(*request)
        if answered is None:
            raise Misconfigured(f"what was published on {DIRECTORY.name} cannot be read back")
        return outcome_of(answered, asked)

    return service


def read_request(record: Record) -> Asked:
    """Read a request; raises Undecodable where it has no readable id (domain rule 22)."""
    if record.timestamp_type != _LOG_APPEND_TIME:
        raise Misconfigured(f"{record.topic} must have message.timestamp.type=LogAppendTime (domain rule 4)")
    return Asked(
        company=company_of_requests(record.topic),
        at=datetime.fromtimestamp(record.timestamp / 1000, UTC),
        envelope=read_envelope(record.headers, record.value),
    )
