"""claims: checked commands in; claims, their events and one outcome for each request out."""

from collections.abc import Iterable, Mapping, Sequence

from pydantic import Field

from services.claims.batch import Batch
from services.claims.commands import Command, Step, read_command
from services.claims.counting import count
from services.claims.deciding import load_and_decide
from services.claims.decisions import RequestKey
from services.claims.messages import messages_again, messages_of, whole_history
from services.claims.migrations import VERSION
from services.claims.recovery import RecordPositions
from services.claims.rules import refused_creation
from services.claims.store import Remembered, Store, Transaction
from shared.contract.codes import Code
from shared.contract.envelope import Outgoing
from shared.contract.events import CLAIM_EVENTS
from shared.contract.outcomes import RequestAccepted
from shared.contract.requests import RepublishClaim
from shared.contract.topics import CLAIM_COMMANDS
from shared.media.keys import MediaKeys
from shared.messaging.service import KAFKA, Bus, Service
from shared.runtime import metrics
from shared.runtime.settings import DatabaseSettings, MediaSettings, RoadSettings
from shared.storage.database import NeededVersion, engine_for, ping

NAME = "claims"


class ClaimsSettings(RoadSettings):
    """The settings of claims."""

    recover_most: int = Field(default=10_000, ge=0)
    """How many requests that its database has lost are decided again at once; of more an operator has to know."""


def build(bus: Bus = KAFKA) -> Service:
    """Wire the service: `claim-commands` ─▶ `claim-events`, `request-outcomes` and the steps of links."""
    settings = ClaimsSettings()
    service = Service(NAME, settings, bus)
    engine = engine_for(DatabaseSettings(), ask_first=False)
    store = Store(engine)
    keys = MediaKeys(MediaSettings().media_secrets())
    positions = RecordPositions(engine, keys, service.settings, bus, settings.recover_most)
    needed = NeededVersion(engine, NAME, VERSION)
    service.on_start.append(needed.check)
    service.notes += [needed.notes, positions.notes]
    service.on_stop.append(engine.dispose)
    service.checks["database"] = lambda: ping(engine)

    for code in ("accepted", *Code):
        metrics.OUTCOMES.labels(code)
    for event in CLAIM_EVENTS.values():
        metrics.EVENTS.labels(event.NAME)

    @service.subscriber(CLAIM_COMMANDS, decode=read_command, positions=positions)
    async def handle(commands: Sequence[Command | Step]) -> Iterable[Outgoing]:
        async with store.transaction() as record:
            remembered, batch = await load_and_decide(record, commands, keys)
            await record.save(batch, positions.moves)
            accepted = [command for command in commands if is_accepted(command, remembered, batch)]
            again = await republished(record, accepted)
            messages: list[Outgoing] = []
            for command in commands:
                if command.key in remembered:
                    messages += messages_again(command, remembered[command.key])
                else:
                    messages += messages_of(batch.decided[command.key])
                messages += again.get(command.key, ())
        count(batch.decided.values())
        return messages

    return service


def is_accepted(command: Command | Step, remembered: Mapping[RequestKey, Remembered], batch: Batch) -> bool:
    """Return whether it took effect, now or when it was decided before."""
    if command.key in remembered:
        return remembered[command.key].outcome.type == RequestAccepted.type()
    return isinstance(batch.decided[command.key].outcome, RequestAccepted)


async def republished(record: Transaction, commands: Iterable[Command | Step]) -> dict[RequestKey, list[Outgoing]]:
    """Return what accepted `republish-claim`s ask for, by their keys, whether they are decided now or come again."""
    republications = [
        (command, command.request)
        for command in commands
        if isinstance(command, Command) and isinstance(command.request, RepublishClaim)
    ]
    if not republications:
        return {}
    histories = await record.stored_histories({request.claim_id for _, request in republications})
    created_by = {request.claim_id: key for _, request in republications if (key := refused_creation(request))}
    created_by |= {id: (events[0].company, events[0].request_id) for id, events in histories.items() if events}
    creations = await record.remembered(set(created_by.values()))
    return {
        command.key: list(
            whole_history(
                command, creations[created_by[request.claim_id]].outcome, histories[request.claim_id], request.reader
            )
        )
        for command, request in republications
        if request.claim_id in created_by
    }
