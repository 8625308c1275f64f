"""suggestions: claim events in; for each temporary claim the normal ones that it may belong to out."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from services.suggestions.batch import Batch, CausedEvent, Gap, read_event
from services.suggestions.lists import message_of, next_list
from services.suggestions.migrations import VERSION
from services.suggestions.rules import compare
from services.suggestions.store import Pair, Store, Transaction
from shared.contract.envelope import Outgoing
from shared.contract.topics import CLAIM_EVENTS
from shared.errors import Misconfigured
from shared.messaging.service import KAFKA, Bus, Service
from shared.runtime.logs import log
from shared.runtime.settings import DatabaseSettings, ServiceSettings
from shared.storage.database import NeededVersion, engine_for, ping
from shared.storage.positions import KeptPositions

NAME = "suggestions"
MOST_AT_ONCE = 250
"""The most events in one transaction: even if each is like all others, that stays far below the database's limit."""


def build(bus: Bus = KAFKA) -> Service:
    """Wire the service: `claim-events` ─▶ `link-suggestions`."""
    service = Service(NAME, ServiceSettings(), bus)
    engine = engine_for(DatabaseSettings())
    store = Store(engine)
    positions = KeptPositions(engine)
    needed = NeededVersion(engine, NAME, VERSION)
    service.on_start.append(needed.check)
    service.notes.append(needed.notes)
    service.on_stop.append(engine.dispose)
    service.checks["database"] = lambda: ping(engine)

    @service.subscriber(CLAIM_EVENTS, decode=read_event, positions=positions)
    async def handle(messages: Sequence[CausedEvent | None]) -> Iterable[Outgoing]:
        events = [message for message in messages if message is not None]
        lists: list[Outgoing] = []
        for first in range(0, len(events), MOST_AT_ONCE):
            part = events[first : first + MOST_AT_ONCE]
            async with store.transaction({message.event.insurer for message in part}) as record:
                lists += await lists_after(record, part)
                if part[-1] is events[-1]:
                    await positions.move(record.connection)
        if not events:
            await positions.check()
        return lists

    return service


async def lists_after(record: Transaction, events: Sequence[CausedEvent]) -> list[Outgoing]:
    """Apply events, and send the lists that have changed; those that repeated events led to are sent again.

    Raises Misconfigured if a claim's event is missing.
    """
    batch = Batch(before=await record.claims({message.event.claim_id for message in events}))
    try:
        batch.apply(events)
    except Gap as gap:
        raise Misconfigured(f"{gap}: rebuild suggestions") from None
    if batch.met_half_way:
        log.info("claims without their first event are passed over", claims=len(batch.met_half_way))
    again = await record.caused_by(batch.repeated)
    touched = await matched_anew(record, batch)
    last = await record.published(touched.keys() | batch.moved.keys())
    touched |= {id: {id} for id in last.keys() - touched.keys()}
    matches = await record.matches_of(touched)
    now_ms = await record.now_ms()
    lists = {}
    for claim_id, moved in touched.items():
        cause = batch.last_event_of(moved)
        if changed := next_list(last.get(claim_id), claim_id, matches[claim_id], cause, now_ms):
            lists[claim_id] = changed, cause
    await record.publish([changed for changed, _ in lists.values()])
    repeats = [(each, batch.repeated[each.cause]) for each in again if each.claim_id not in lists]
    return [message_of(each, cause) for each, cause in (*repeats, *lists.values())]


async def matched_anew(record: Transaction, batch: Batch) -> dict[UUID, set[UUID]]:
    """Match the moved claims again; return the temporary claims whose matches change, each with the moved ones."""
    moved = batch.moved
    forgotten = await record.save(batch.changed, moved)
    candidates = await record.candidates(moved)
    others = await record.claims({id for pair in candidates for id in pair} - batch.changed.keys())
    claims = batch.changed | others
    pairs = [
        Pair(temporary_id, claim_id, match)
        for temporary_id, claim_id in candidates
        if claims[temporary_id].insurer == claims[claim_id].insurer
        and (match := compare(claims[temporary_id].particulars, claims[claim_id].particulars)).likely_enough
    ]
    await record.save_matches(pairs)
    touched: dict[UUID, set[UUID]] = {}
    for temporary_id, claim_id in (*forgotten, *((pair.temporary_id, pair.claim_id) for pair in pairs)):
        touched.setdefault(temporary_id, set()).update({temporary_id, claim_id} & moved.keys())
    return touched
