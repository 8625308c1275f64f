"""The record of claims on a real PostgreSQL: what is written at once or not at all, and who loses a race."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import UUID

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from operations.stack import Stack
from services.claims.batch import Decided
from services.claims.claim_numbers import number_keys
from services.claims.commands import Command, Step
from services.claims.deciding import load_and_decide
from services.claims.decisions import NOTHING_MORE, Needs
from services.claims.store import Store, Transaction
from services.claims.tables import claim_events, claim_numbers, claims, requests
from shared.contract.codes import Code
from shared.contract.commands import Refusal
from shared.contract.events import LinkStarted
from shared.contract.fields import Actor
from shared.contract.linking import GiveUpImport
from shared.errors import Conflict, Misconfigured
from shared.media.keys import MediaKeys
from shared.storage.database import DatabaseAway, ping, reason_of, transaction
from shared.storage.migrations import migrate
from tests.builders.commands import (
    INSURER,
    NO_CLAIM,
    PLUMBER,
    about,
    accepted,
    code_of,
    command,
    creation,
    registration,
)
from tests.builders.moments import TUESDAY_EVENING
from tests.integration.conftest import Databases, engine_of

KEYS = MediaKeys(["a secret"])


@pytest.fixture
async def engine(databases: Databases) -> AsyncIterator[AsyncEngine]:
    """An empty database."""
    async with engine_of(await databases.empty("services.claims")) as engine:
        yield engine


@pytest.mark.promise("Two writers of the same claim: one loses and changes nothing.", about="claims")
async def test_of_two_instances_that_decide_the_same_requests_one_loses_and_writes_nothing(
    engine: AsyncEngine,
) -> None:
    commands = [creation(f"r-{n}") for n in range(50)]
    store = Store(engine)
    decided = asyncio.Barrier(2)

    async def instance() -> None:
        async with store.transaction() as record:
            _, batch = await load_and_decide(record, commands, KEYS)
            await decided.wait()  # both have read, and neither has written
            await record.save(batch)

    results = await asyncio.gather(instance(), instance(), return_exceptions=True)
    assert [type(result) for result in results if result is not None] == [Conflict]
    assert await _count(engine, requests) == await _count(engine, claims) == await _count(engine, claim_events) == 50


async def test_what_was_decided_is_found_again_as_it_was_published(engine: AsyncEngine) -> None:
    command = creation("r-1")
    store = Store(engine)
    async with store.transaction() as record:
        _, batch = await load_and_decide(record, [command], KEYS)
        await record.save(batch)
    async with store.transaction() as record:
        remembered = (await record.remembered([command.key]))[command.key]
        found = await record.claims([command.checked.claim_id])
    decided = batch.decided[command.key]
    assert decided.outcome is not None
    assert remembered.outcome.body == decided.outcome.json_bytes()
    assert [event.body for event in remembered.events] == [event.json_bytes() for event in decided.events]
    assert found == batch.changed


async def test_what_deciders_declare_is_loaded_and_nothing_else(engine: AsyncEngine) -> None:
    created, normal = creation("r-1"), registration("SK-1")
    refusal = Refusal(code=Code.NEVER_PERMITTED)
    refused = command("create-temporary-claim", None, company=PLUMBER, request_id="refused", refusal=refusal)
    refused = replace(refused, checked=refused.checked.model_copy(update={"insurer": INSURER}))
    given_up = GiveUpImport(
        link_id=UUID(int=1), part=1, actor=Actor(company=INSURER), source_claim_id=NO_CLAIM, reason="media_gone"
    )
    step = Step(given_up, NO_CLAIM, TUESDAY_EVENING, "cause")
    store = Store(engine)
    async with store.transaction() as record:
        _, saved = await load_and_decide(record, [created, normal, refused, step], KEYS)
        await record.save(saved)
    claim, number = created.claim_id, (INSURER, "sk-1")
    needs = {
        "claims": Needs(claims=frozenset({claim, NO_CLAIM})),
        "numbers": Needs(numbers=frozenset({number, (INSURER, "SK-9")})),
        "claims by number": Needs(claims_by_number=frozenset({number})),
        "histories": Needs(histories=frozenset({claim, NO_CLAIM})),
        "steps": Needs(steps=frozenset({given_up.id, "another"})),
        "refused creations": Needs(refused_creations=frozenset({refused.key, created.key})),
        "nothing": NOTHING_MORE,
    }
    async with store.transaction() as record:
        loaded = {
            name: await record.load({("x", name): each}, KEYS.verify, await record.claims(each.claims))
            for name, each in needs.items()
        }
    found = {name: (b.claims, b.numbers, b.histories, b.steps, b.refused_creations) for name, b in loaded.items()}
    both = {(INSURER, "sk-1"): normal.claim_id}
    assert found == {
        "claims": ({claim: saved.claims[claim]}, {}, {}, set(), set()),
        "numbers": ({}, both, {}, set(), set()),
        "claims by number": ({normal.claim_id: saved.claims[normal.claim_id]}, both, {}, set(), set()),
        "histories": ({}, {}, {claim: list(saved.decided[created.key].events), NO_CLAIM: []}, set(), set()),
        "steps": ({}, {}, {}, {given_up.id}, set()),
        "refused creations": ({}, {}, {}, set(), {refused.key}),
        "nothing": ({}, {}, {}, set(), set()),
    }


@pytest.mark.parametrize("between_statements", [True, False])
async def test_an_instance_that_hangs_within_its_transaction_does_not_hold_up_the_one_that_takes_over(
    engine: AsyncEngine, between_statements: bool
) -> None:
    commands = [creation("r-1")]
    store = Store(engine)
    taken_over = asyncio.Event()
    saved = asyncio.Event()

    async def hangs() -> None:
        async with transaction(engine) as connection:
            record = Transaction(connection)
            await record.save((await load_and_decide(record, commands, KEYS))[1])
            saved.set()
            if between_statements:
                await taken_over.wait()
            else:  # for the server it is at work, as it is when the client hangs in the middle of a statement
                await connection.execute(text("select pg_sleep(60)"))

    async def takes_over() -> None:
        async with store.transaction() as record:
            await record.save((await load_and_decide(record, commands, KEYS))[1])

    hanging = asyncio.create_task(hangs())
    await saved.wait()
    try:
        await takes_over()
    except DatabaseAway:  # its own transaction may be ended in the same moment: the batch loop tries it again
        await takes_over()
    taken_over.set()
    with pytest.raises(DatabaseAway):
        await hanging
    assert await _count(engine, requests) == 1


async def test_a_batch_that_fails_halfway_leaves_nothing(engine: AsyncEngine) -> None:
    store = Store(engine)

    async def interrupted() -> None:
        async with store.transaction() as record:
            await record.save((await load_and_decide(record, [creation("r-1")], KEYS))[1])
            raise KeyError

    with pytest.raises(KeyError):
        await interrupted()
    assert await _count(engine, requests) == 0


async def test_a_number_is_found_by_every_spelling_of_it(engine: AsyncEngine) -> None:
    store = Store(engine)

    async def decide(command: Command) -> Decided:
        async with store.transaction() as record:
            _, batch = await load_and_decide(record, [command], KEYS)
            await record.save(batch)
        return batch.decided[command.key]

    target = accepted(await decide(registration("Å-17  Bergen"))).claim_id
    source = accepted(await decide(creation("r-1"))).claim_id
    assert source is not None
    spellings = ("A\u030a-17 Bergen", "å-17 BERGEN", " Å-17\u00a0Bergen")
    for n, spelling in enumerate(spellings):
        assert code_of(await decide(registration(spelling, f"again-{n}"))) is Code.CLAIM_NUMBER_TAKEN
    link = about(source, "link-claim", INSURER, "link", target_claim_number=spellings[0])
    started = (await decide(link)).events[0]
    assert isinstance(started, LinkStarted)
    assert started.target_claim_id == target


async def test_numbers_from_before_an_upgrade_are_found_by_every_spelling(engine: AsyncEngine) -> None:
    """Where two claims had one number already, one is found by every spelling, and the other by its own."""
    old = {
        "Midlertidig 2026-11-24-K1F2G2": UUID(int=1),
        "A\u030a-17": UUID(int=2),
        "SK-1": UUID(int=3),
        "sk-1": UUID(int=4),
        "sk 2": UUID(int=5),
    }
    rows = [{"insurer": INSURER, "claim_number": number, "claim_id": id} for number, id in old.items()]
    async with transaction(engine) as connection:
        await connection.execute(claim_numbers.insert(), rows)
        await connection.execute(text("drop table positions, recoveries"))
        await connection.execute(text("update alembic_version set version_num = '0002'"))
    await migrate(engine, "services.claims")
    found = {
        "midlertidig 2026-11-24-k1f2g2": UUID(int=1),
        "Å-17": UUID(int=2),
        "å-17": UUID(int=2),
        "SK-1": UUID(int=3),
        "Sk-1": UUID(int=4),
        "sk-1": UUID(int=4),
        " SK   2 ": UUID(int=5),
    }
    async with Store(engine).transaction() as record:
        for number, id in found.items():
            keys = number_keys(INSURER, number)
            recorded = await record.numbers_in_use(keys)
            assert next(recorded[key] for key in keys if key in recorded) == id, number

    async with transaction(engine) as connection:
        kept = dict((await connection.execute(select(claim_numbers.c.claim_number, claim_numbers.c.claim_id))).all())
    assert kept.items() >= old.items()  # an instance that is older finds what it has found


async def test_instances_that_start_together_migrate_once(databases: Databases) -> None:
    async with engine_of(databases.new()) as engine:
        await asyncio.gather(*(migrate(engine, "services.claims") for _ in range(3)))
        assert await _count(engine, requests) == 0


async def test_a_server_that_is_away_is_waited_for_and_not_taken_for_a_bad_message(stack: Stack) -> None:
    async with engine_of(stack.postgres.url("nowhere", "nobody", "x")) as engine:
        with pytest.raises(DatabaseAway, match="InvalidPasswordError 28P01") as away:
            await ping(engine)
    assert reason_of(away.value) == "DatabaseAway: InvalidPasswordError 28P01"


@pytest.mark.parametrize(
    ("statement", "state"), [("select 1 from nowhere", "42P01"), ("select nothing from requests", "42703")]
)
async def test_tables_that_are_not_as_this_version_needs_them_stop_the_service_instead_of_being_waited_for(
    engine: AsyncEngine, statement: str, state: str
) -> None:
    with pytest.raises(Misconfigured, match=state):
        async with transaction(engine) as connection:
            await connection.execute(text(statement))


async def _count(engine: AsyncEngine, table: object) -> int:
    async with transaction(engine) as connection:
        count: int = (await connection.execute(select(func.count()).select_from(table))).scalar_one()  # type: ignore[arg-type]
        return count
