"""claims: checked commands in; claims, their events and one outcome for each request out."""

from collections.abc import Iterable, Sequence

from services.claims.answers import first_answer, same_answer, whole_history
from services.claims.batch import Batch, Command, read_command
from services.claims.rules import numbers_asked_for
from services.claims.store import Store, Transaction
from shared.contract.envelope import Outgoing
from shared.contract.outcomes import RequestAccepted
from shared.contract.requests import RepublishClaim
from shared.contract.topics import CLAIM_COMMANDS
from shared.runtime import metrics
from shared.runtime.database import DatabaseAway, answers, engine_for, migrate
from shared.runtime.service import Service
from shared.runtime.settings import DatabaseSettings, ServiceSettings

NAME = "claims"


def build() -> Service:
    """Wire the service: `claim-commands` ─▶ `claim-events` and `request-outcomes`."""
    service = Service(NAME, ServiceSettings(), away=[DatabaseAway])
    engine = engine_for(DatabaseSettings())
    store = Store(engine)
    service.on_start.append(lambda: migrate(engine, "services.claims"))
    service.on_stop.append(engine.dispose)
    service.checks["database"] = lambda: answers(engine)

    @service.subscriber(CLAIM_COMMANDS)
    @service.published_before_committed(read_command)
    async def handle(commands: Sequence[Command]) -> Iterable[Outgoing]:
        async with store.transaction() as record:
            answered = await record.outcomes_of({command.key for command in commands})
            batch = await decided_now(record, [command for command in commands if command.key not in answered])
            await record.save(batch)
            events = await record.events_of(answered)
            messages: list[Outgoing] = []
            for command in commands:
                if command.key in answered:
                    messages += same_answer(command, answered[command.key], events.get(command.key, ()))
                    accepted = answered[command.key].type == RequestAccepted.type()
                else:
                    messages += first_answer(command, batch.decided[command.key])
                    accepted = isinstance(batch.decided[command.key].outcome, RequestAccepted)
                if accepted:
                    messages += await republished(record, command)
        for decided in batch.decided.values():
            metrics.OUTCOMES.labels(getattr(decided.outcome, "code", "accepted")).inc()
        return messages

    return service


async def decided_now(record: Transaction, commands: Sequence[Command]) -> Batch:
    """Load what the commands are about, and decide them in order."""
    numbers = [n for c in commands if c.request is not None for n in numbers_asked_for(c.checked, c.request)]
    batch = Batch(
        claims=await record.claims({command.checked.claim_id for command in commands}),
        numbers=await record.numbers_in_use(numbers),
    )
    batch.decide_in_order(commands)
    return batch


async def republished(record: Transaction, command: Command) -> Iterable[Outgoing]:
    """All that an accepted `republish-claim` asks for, whether it is decided now or comes again."""
    request = command.request
    if not isinstance(request, RepublishClaim):
        return []
    history = await record.history_of(request.claim_id)
    if not history:
        return []
    created_by = history[0].company, history[0].request_id
    return whole_history(command, (await record.outcomes_of([created_by]))[created_by], history, request.reader)
