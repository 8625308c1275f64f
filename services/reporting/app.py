"""reporting: what happened to claims, and refused creation requests in; the report of each period out."""

from collections.abc import Iterable, Sequence

from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from services.reporting.closing import Closing
from services.reporting.migrations import VERSION
from services.reporting.progress import Progress
from services.reporting.projection import Gap, RefusedCreation
from services.reporting.store import Store
from shared.contract.envelope import Outgoing, Undecodable, details_of, read_internal_envelope
from shared.contract.events import CLAIM_EVENTS as EVENT_TYPES
from shared.contract.events import ClaimEvent
from shared.contract.outcomes import OUTCOMES, RequestRefused
from shared.contract.topics import CLAIM_EVENTS, REQUEST_OUTCOMES
from shared.directory_reader import DirectoryReader
from shared.errors import Misconfigured
from shared.messaging.record import Record
from shared.messaging.service import KAFKA, Bus, Service
from shared.runtime.logs import log
from shared.runtime.settings import DatabaseSettings, ServiceSettings
from shared.storage.database import NeededVersion, engine_for, ping
from shared.storage.positions import KeptPositions

NAME = "reporting"

Counted = ClaimEvent | RefusedCreation | None
"""What a report can count; None is any other message."""


class ReportingSettings(ServiceSettings):
    """Reporting's settings."""

    close_every_s: float = Field(default=5.0, gt=0)
    """How often it looks whether a period can be closed."""
    clocks_differ_s: float = Field(default=10.0, ge=0)
    """How far a broker's clock may be behind this one's; no period is closed earlier than this after its end."""


def build(bus: Bus = KAFKA) -> Service:
    """Wire the service: `claim-events` and `request-outcomes` ─▶ `reports`."""
    settings = ReportingSettings()
    service = Service(NAME, settings, bus)
    engine = engine_for(DatabaseSettings())
    store = Store(engine)
    positions = KeptPositions(engine)
    reader = DirectoryReader(service.settings, bus.consumer)
    service.notes.append(reader.unknown_settings.notes)
    progress = Progress(service.settings, bus)

    async def read_the_directory() -> None:
        await reader.catch_up()
        reader.unknown_settings.look()

    closing = Closing(
        store,
        reader.directory,
        progress,
        service.publisher,
        catch_up=read_the_directory,
        give_up=service.give_up,
        clocks_differ_s=settings.clocks_differ_s,
        every_s=settings.close_every_s,
    )
    needed = NeededVersion(engine, NAME, VERSION)
    service.notes.append(needed.notes)
    service.on_start += [
        needed.check,
        lambda: notice_what_is_missing(store, progress),
        closing.start,
    ]
    service.on_stop += [closing.stop, reader.stop, engine.dispose]
    service.checks["database"] = lambda: ping(engine)

    @service.subscriber(CLAIM_EVENTS, REQUEST_OUTCOMES, decode=read_message, positions=positions)
    async def handle(messages: Sequence[Counted]) -> Iterable[Outgoing]:
        events = [message for message in messages if isinstance(message, ClaimEvent)]
        refused_creations = [message for message in messages if isinstance(message, RefusedCreation)]
        async with store.transaction() as transaction:
            await positions.move(transaction.connection)  # what is missing behind them looks like a gap else
            changes = await transaction.counted.changes_to({event.claim_id for event in events})
            try:
                changes.apply(events)
            except Gap as gap:
                raise Misconfigured(f"{gap}: run `claimbus rebuild reporting`") from gap
            await transaction.counted.save(changes, refused_creations)
        return ()

    return service


async def notice_what_is_missing(store: Store, progress: Progress) -> None:
    """Note that claims can be missing if messages were deleted before they were read, or the database is another one.

    Nothing is closed then until `claimbus rebuild reporting` has made it whole.
    """
    deleted = await progress.deleted_unread(NAME, (CLAIM_EVENTS, REQUEST_OUTCOMES))
    has_read = await progress.has_read(NAME)
    async with store.transaction() as transaction:
        is_new = await transaction.completeness.is_incomplete() is None
        if is_new:
            await transaction.completeness.set_incomplete(False)
        if await transaction.completeness.notice(deleted) or (is_new and has_read):
            await transaction.completeness.set_incomplete(True)
        missing = await transaction.completeness.is_incomplete()
    if missing:
        log.error("claims can be missing, and no period is closed: run `claimbus rebuild reporting`")


class _RefusedRequest(BaseModel):
    """What counts of a refused request."""

    company: str
    request_id: str
    requested_at: AwareDatetime
    code: str
    insurer: str | None = None


def read_message(record: Record) -> Counted:
    """Read a message of our own services. Raises Undecodable.

    An event of a claim that is not understood stops the service, before any report lacks it: claims is newer than this
    (Misconfigured).
    """
    envelope = read_internal_envelope(record.headers, record.value)
    if envelope.republished_for not in (None, NAME):
        return None
    try:
        if record.topic == CLAIM_EVENTS.name:
            return EVENT_TYPES[envelope.type].model_validate_json(envelope.body)
        if envelope.type == RequestRefused.type():
            request = _RefusedRequest.model_validate_json(envelope.body)
            return _refused_creation(request)
        if envelope.type in OUTCOMES:
            return None
    except KeyError:
        raise Misconfigured(f"this version does not know {envelope.type}: run a newer one") from None
    except ValidationError as error:
        reason = "; ".join(f"{d.field}: {d.problem}" for d in details_of(error))
        if record.topic == CLAIM_EVENTS.name:
            raise Misconfigured(f"this version does not understand {envelope.id} ({reason}): run a newer one") from None
        raise Undecodable(reason) from None
    raise Undecodable(f"reporting does not read {envelope.type}")


def _refused_creation(request: _RefusedRequest) -> RefusedCreation | None:
    if request.insurer is None:
        return None
    return RefusedCreation(request.company, request.request_id, request.insurer, request.requested_at, request.code)
