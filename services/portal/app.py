"""portal: what people see, and media for systems. Events and outcomes in, a read model out; users' requests out."""

import contextlib
from collections.abc import Iterable, Sequence
from datetime import timedelta

from aiokafka.errors import KafkaError

from services.portal.api import api
from services.portal.directory_follower import DirectoryFollower
from services.portal.guessable import refuse_what_can_be_guessed
from services.portal.live import Live
from services.portal.media_store import MediaTables, save_media
from services.portal.migrations import VERSION
from services.portal.old_reports import save_old_reports
from services.portal.pages.routes import routes
from services.portal.read_model import Read, read, save
from services.portal.removing import Remover
from services.portal.request_sender import RequestSender
from services.portal.retention import Retention
from services.portal.serving import WebServer, side_by_side
from services.portal.settings import WebSettings
from services.portal.store import Store
from services.portal.sweeping import Sweeper
from services.portal.thumbnails import Thumbnails
from services.portal.uploads import Uploads, UploadSettings
from services.portal.visit import Portal
from services.portal.waiting_claims import WaitingClaims
from services.portal.web import web_app
from shared.contract.envelope import Outgoing
from shared.contract.events import ClaimRedacted
from shared.contract.topics import CLAIM_EVENTS, LINK_SUGGESTIONS, REPORTS, REQUEST_OUTCOMES
from shared.domain.directory import Directory
from shared.messaging.service import KAFKA, Bus, Service
from shared.runtime.settings import DatabaseSettings, MediaSettings, ServiceSettings
from shared.storage.database import NeededVersion, engine_for, ping
from shared.storage.media_store import MediaStore
from shared.storage.positions import KeptPositions

NAME = "portal"

_CONNECTIONS = 10
"""One for what is read from the bus, the others for pages and calls."""


def build(bus: Bus = KAFKA) -> Service:
    """Wire the service: `claim-events`, `request-outcomes` and `directory` ─▶ pages ─▶ `requests.<company>`."""
    service = Service(NAME, ServiceSettings(), bus)
    database, settings, media, uploading = DatabaseSettings(), WebSettings(), MediaSettings(), UploadSettings()
    refuse_what_can_be_guessed(settings, service.settings, database, media)
    engine = engine_for(database, connections=_CONNECTIONS)
    store = Store(engine)
    live = Live(database)
    follower = DirectoryFollower(lambda: service.settings, bus.consumer)
    service.notes.append(follower.unknown_settings.notes)
    sender = RequestSender(service.publisher, store, live, follower, settings.outcome_wait_s)
    positions = KeptPositions(engine)
    files = MediaStore.at(media.media)
    tables = MediaTables(engine)
    uploads = Uploads(tables, files, media.media_secrets(), uploading)
    calls = api(uploads, tables, files, lambda token: company_of(follower, token), settings.address)
    thumbnails = Thumbnails(files)
    portal = Portal(settings, store, live, follower, sender, uploads, tables, files, thumbnails)
    server = WebServer(side_by_side({"/api/": calls}, web_app(portal, routes(portal))), settings)
    waiting = WaitingClaims(engine)
    sweeper = Sweeper(tables, files, uploading, store, timedelta(hours=settings.session_hours))

    remover = Remover(tables, files, thumbnails)

    async def newest() -> Directory:
        await follower.catch_up()
        return follower.directory

    retention = Retention(store, newest, service.publisher.publish)

    needed = NeededVersion(engine, NAME, VERSION)
    service.notes.append(needed.notes)
    service.on_start += [server.start, follower.start, needed.check, live.start]
    service.on_start += [lambda: save_old_reports(service.settings, store, bus.consumer), sweeper.start, waiting.start]
    service.on_start += [remover.start, retention.start]
    service.on_stop += [
        live.stop,
        server.stop,
        sweeper.stop,
        remover.stop,
        retention.stop,
        waiting.stop,
        thumbnails.stop,
        follower.stop,
        engine.dispose,
    ]
    service.checks["database"] = lambda: ping(engine)

    @service.subscriber(CLAIM_EVENTS, REQUEST_OUTCOMES, LINK_SUGGESTIONS, REPORTS, decode=read, positions=positions)
    async def handle(batch: Sequence[Read]) -> Iterable[Outgoing]:
        async with store.transaction() as connection:
            await positions.move(connection)  # what is missing behind them looks like a gap else
            events = await save(connection, batch)
            await save_media(connection, events)
        if any(isinstance(event, ClaimRedacted) for event in events):
            remover.tell()
        return []

    return service


async def company_of(follower: DirectoryFollower, token_sha256: str) -> str | None:
    """Whose token this is the SHA-256 of; one that is not known may have been registered just now."""
    company = follower.directory.company_with_token(token_sha256)
    if company is None:
        with contextlib.suppress(KafkaError, TimeoutError, OSError):
            await follower.catch_up()
        company = follower.directory.company_with_token(token_sha256)
    return company.id if company else None
