"""claims: checked commands in; claims, their events and one outcome for each request out."""

from collections.abc import Iterable, Sequence

from services.claims.answers import first_answer, same_answer, whole_history
from services.claims.batch import Batch, Command, Needs, Step, read_command
from services.claims.rules import refused_creation
from services.claims.store import Store, Transaction
from shared.contract.envelope import Outgoing
from shared.contract.outcomes import RequestAccepted
from shared.contract.requests import RepublishClaim
from shared.contract.topics import CLAIM_COMMANDS
from shared.media_keys import MediaKeys
from shared.runtime import metrics
from shared.runtime.database import DatabaseAway, answers, engine_for, migrate
from shared.runtime.service import Service
from shared.runtime.settings import DatabaseSettings, MediaSettings, ServiceSettings

NAME = "claims"


def build() -> Service:
    """Wire the service: `claim-commands` ─▶ `claim-events`, `request-outcomes` and the steps of links."""
    service = Service(NAME, ServiceSettings(), away=[DatabaseAway])
    engine = engine_for(DatabaseSettings())
    store = Store(engine)
    keys = MediaKeys(MediaSettings().media_secrets())
    service.on_start.append(lambda: migrate(engine, "services.claims"))
    service.on_stop.append(engine.dispose)
    service.checks["database"] = lambda: answers(engine)

    @service.subscriber(CLAIM_COMMANDS)
    @service.published_before_committed(read_command)
    async def handle(commands: Sequence[Command | Step]) -> Iterable[Outgoing]:
        async with store.transaction() as record:
            answered = await record.remembered({command.key for command in commands})
            batch = await decided_now(record, [command for command in commands if command.key not in answered], keys)
            await record.save(batch)
            messages: list[Outgoing] = []
            for command in commands:
                if command.key in answered:
                    messages += same_answer(command, answered[command.key])
                    accepted = answered[command.key].outcome.type == RequestAccepted.type()
                else:
                    messages += first_answer(batch.decided[command.key])
                    accepted = isinstance(batch.decided[command.key].outcome, RequestAccepted)
                if accepted:
                    messages += await republished(record, command)
        for decided in batch.decided.values():
            if decided.outcome is not None:
                metrics.OUTCOMES.labels(getattr(decided.outcome, "code", "accepted")).inc()
        return messages

    return service


async def decided_now(record: Transaction, commands: Sequence[Command | Step], keys: MediaKeys) -> Batch:
    """Load what the commands need to know, and decide them in order."""
    needs = Needs.of(commands)
    numbers = await record.numbers_in_use(needs.numbers)
    needs.claims |= {numbers[target] for target in needs.targets if target in numbers}
    batch = Batch(
        claims=await record.claims(needs.claims),
        numbers=numbers,
        histories=await record.histories(needs.histories),
        steps=await record.steps_decided(needs.steps),
        refused=await record.refused_creations(needs.refused),
        uploads=keys.verify,
    )
    batch.decide_in_order(commands)
    return batch


async def republished(record: Transaction, command: Command | Step) -> Iterable[Outgoing]:
    """All that an accepted `republish-claim` asks for, whether it is decided now or comes again."""
    if not isinstance(command, Command) or not isinstance(command.request, RepublishClaim):
        return []
    history = await record.history_of(command.request.claim_id)
    created_by = (history[0].company, history[0].request_id) if history else refused_creation(command.request)
    if created_by is None:
        return []
    creation = (await record.remembered([created_by]))[created_by].outcome
    return whole_history(command, creation, history, command.request.reader)
