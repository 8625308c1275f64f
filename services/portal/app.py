"""portal: uploads and media for companies' systems; what events tell of media in."""

import contextlib
from collections.abc import Iterable, Sequence

from aiokafka.errors import KafkaError
from pydantic import ValidationError

from services.portal.api import api
from services.portal.following import FollowedDirectory
from services.portal.media_store import MediaTables, take_in
from services.portal.serving import WebServer
from services.portal.settings import WebSettings
from services.portal.sweeping import Sweeper
from services.portal.uploads import Uploads, UploadSettings
from shared.contract.envelope import Outgoing, Undecodable, details_of, read_internal_envelope
from shared.contract.events import CLAIM_EVENTS as EVENTS
from shared.contract.events import ClaimEvent
from shared.contract.topics import CLAIM_EVENTS
from shared.media import MediaStore
from shared.runtime.database import DatabaseAway, answers, engine_for, migrate, transaction
from shared.runtime.records import Record
from shared.runtime.service import Service
from shared.runtime.settings import DatabaseSettings, MediaSettings, ServiceSettings

NAME = "portal"

_CONNECTIONS = 10
"""One for what is read from the bus, the others for calls."""


def build() -> Service:
    """Wire the service: `claim-events` and `directory` ─▶ uploads and media over HTTP."""
    service = Service(NAME, ServiceSettings(), away=[DatabaseAway])
    engine = engine_for(DatabaseSettings(), connections=_CONNECTIONS)
    followed = FollowedDirectory(lambda: service.settings)
    settings = WebSettings()
    media = MediaSettings()
    uploading = UploadSettings()
    files = MediaStore.at(media.media)
    tables = MediaTables(engine)
    uploads = Uploads(tables, files, media.media_secrets(), uploading)
    calls = api(uploads, tables, files, lambda token: company_of(followed, token), settings.address)
    server = WebServer(calls, settings)
    sweeper = Sweeper(tables, files, uploading)

    service.on_start += [lambda: migrate(engine, "services.portal"), followed.start, server.start, sweeper.start]
    service.on_stop += [server.stop, sweeper.stop, followed.stop, engine.dispose]
    service.checks["database"] = lambda: answers(engine)

    @service.subscriber(CLAIM_EVENTS)
    @service.published_before_committed(read_event)
    async def handle(events: Sequence[ClaimEvent]) -> Iterable[Outgoing]:
        async with transaction(engine) as connection:
            await take_in(connection, events)
        return []

    return service


def read_event(record: Record) -> ClaimEvent:
    """Read an event; raises Undecodable."""
    envelope = read_internal_envelope(record.headers, record.value)
    event = EVENTS.get(envelope.type)
    if event is None:
        raise Undecodable(f"{envelope.type} is no claim event")
    try:
        return event.model_validate_json(envelope.body)
    except ValidationError as error:
        raise Undecodable("; ".join(f"{d.field} {d.problem}" for d in details_of(error))) from None


async def company_of(followed: FollowedDirectory, token_sha256: str) -> str | None:
    """Tell whose token this is the SHA-256 of; one that is not known may have been registered just now."""
    company = followed.directory.company_with_token(token_sha256)
    if company is None:
        with contextlib.suppress(KafkaError, TimeoutError, OSError):
            await followed.catch_up()
        company = followed.directory.company_with_token(token_sha256)
    return company.id if company else None
