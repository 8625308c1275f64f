"""A database that goes back, as a fail-over or a restored backup makes it: it is found out, and nothing stays lost."""

import asyncio
from typing import Any

import pytest
from aiokafka import TopicPartition
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.claims.tables import recoveries
from shared.contract import ids
from shared.contract.topics import CLAIM_COMMANDS, CLAIM_EVENTS, REQUEST_OUTCOMES
from shared.messaging import loop
from shared.messaging.memory import Step
from tests.builders.requests import BODIES, FJORD, VEST, creation
from tests.integration.conftest import engine_of
from tests.memory.audited import audited
from tests.memory.road import READERS, Road

pytestmark = pytest.mark.promise(
    "A database that has lost its last commits, or is an older one, is found out and made whole.", about="running"
)

Kept = dict[str, list[Any]]


async def tables(road: Road, service: str, restore: Kept | None = None) -> Kept:
    """Read what a service keeps; first put back what it kept once."""
    async with engine_of(road.databases[service]) as engine, engine.begin() as connection:
        names = await _names(connection)
        for name in names if restore is not None else ():
            await connection.execute(text(f"delete from {name}"))
            for row in restore[name] if restore else ():
                await connection.execute(
                    text(f"insert into {name} select * from json_populate_record(null::{name}, cast(:row as json))"),
                    {"row": row},
                )
        return {
            name: sorted(await connection.scalars(text(f"select to_jsonb({name})::text from {name}"))) for name in names
        }


async def _names(connection: AsyncConnection) -> list[str]:
    found = await connection.scalars(
        text("select tablename from pg_tables where schemaname = 'public' and tablename <> 'alembic_version'")
    )
    return sorted(found)


async def much_happens(road: Road) -> None:
    """Claims of every kind, numbers that two want, links, and requests that are refused."""
    for id in ("first", "second", "third"):
        road.ask(VEST, "create-temporary-claim", creation(tasks=[{"kind": "first_aid"}]), id=id)
    road.ask(FJORD, "register-claim", id="target")
    for asks in ("first", "then"):  # for the same numbers; which of them gets one depends on what claims reads first
        for n in range(20):
            body = BODIES["register-claim"] | {"claim_number": f"SK-{n}"}
            road.ask(FJORD, "register-claim", body, id=f"{asks}-{n}")
        await road.run("permissions")
    await road.run()
    first, second, third = (str(ids.claim_id(VEST, id)) for id in ("first", "second", "third"))
    road.ask(FJORD, "link-claim", {"claim_id": first, "target_claim_id": str(ids.claim_id(FJORD, "target"))}, id="link")
    road.ask(
        FJORD, "convert-to-normal", {"claim_id": second, "claim_number": "SK-30", "handler": "kari-holm"}, id="convert"
    )
    road.ask(FJORD, "cancel-claim", {"claim_id": third, "reason": "Falsk alarm"}, id="cancel")
    road.ask(FJORD, "amend-claim", {"claim_id": third, "policy_number": "P-1"}, id="too-late")
    await road.run()
    await road.run(*READERS)


async def until_it_keeps(road: Road, service: str, wanted: Kept) -> None:
    """Wait until a database holds this in these tables."""
    async with asyncio.timeout(20):
        while not wanted.items() <= (await tables(road, service)).items():  # noqa: ASYNC110 - of other connections
            await asyncio.sleep(0.05)


async def run_until_it_keeps(road: Road, service: str, wanted: Kept) -> None:
    """Run an instance until its database holds this, and the group has passed all there is."""
    async with road.bus.instance(lambda bus: road.build(service, bus)) as instance:
        await until_it_keeps(road, service, wanted)
        await instance.until_idle()


def nothing_was_said_twice(road: Road) -> bool:
    """Whether what has come again on the topics is the same as it was."""
    return all(set(road.different(topic.name).values()) == {1} for topic in (CLAIM_EVENTS, REQUEST_OUTCOMES))


async def test_the_record_has_again_what_it_lost_as_it_was_published(road: Road) -> None:
    before = await tables(road, "claims")
    await much_happens(road)
    after = await tables(road, "claims")
    await tables(road, "claims", restore=before)
    await run_until_it_keeps(road, "claims", after)
    assert nothing_was_said_twice(road)
    await road.run(*READERS)
    assert (await audited(road)).kept == []


@pytest.mark.parametrize("step", ["half published", "published"])
async def test_what_was_published_and_not_committed_counts_as_it_was_after_a_fail_over(road: Road, step: Step) -> None:
    road.ask(VEST, "create-temporary-claim", id="before")
    await road.run()
    before = await tables(road, "claims")
    await _ask_for_numbers(road, "asks-first")
    with road.bus.crash(after=step):
        await road.bus.run_until_idle(lambda bus: road.build("claims", bus))  # and nobody goes on before the fail-over
    await tables(road, "claims", restore=before)
    await _the_server_is_another_one(road)
    await _ask_for_numbers(road, "asks-too-late")  # before the others, on some partition
    await road.run()
    assert nothing_was_said_twice(road)
    await road.run(*READERS)
    assert (await audited(road)).kept == []


async def test_a_server_that_was_only_restarted_costs_nothing(road: Road) -> None:
    await much_happens(road)
    before = await tables(road, "claims")
    await _the_server_is_another_one(road)
    road.ask(VEST, "create-temporary-claim", id="afterwards")
    await road.run()
    after = await tables(road, "claims")
    assert all(set(before[name]) <= set(after[name]) for name in before.keys() - {"positions"})
    assert "afterwards" in {outcome["request_id"] for outcome in road.outcomes(VEST)}
    assert nothing_was_said_twice(road)


async def _ask_for_numbers(road: Road, by: str) -> None:
    """Register claims with numbers that whoever asks second is refused; permissions takes them on."""
    for n in range(20):
        road.ask(FJORD, "register-claim", BODIES["register-claim"] | {"claim_number": f"SK-{n}"}, id=f"{by}-{n}")
    await road.run("permissions")


async def _the_server_is_another_one(road: Road) -> None:
    async with engine_of(road.databases["claims"]) as engine, engine.begin() as connection:
        await connection.execute(text("update positions set server_since = server_since - interval '1 hour'"))


@pytest.mark.parametrize("service", READERS)
async def test_a_read_model_reads_again_what_it_lost(road: Road, service: str) -> None:
    await much_happens(road)
    before = await tables(road, service)
    road.ask(VEST, "create-temporary-claim", id="more")
    await road.run()
    await road.run(service)
    after = await tables(road, service)
    assert after != before
    await tables(road, service, restore=before)
    own = {"suggestions": "suggestions"}.get(service)  # these are made anew, with the moment in them
    await run_until_it_keeps(road, service, {name: rows for name, rows in after.items() if name != own})


async def test_an_instance_that_runs_finds_out_though_nothing_comes(
    road: Road, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "_COMPARED_EVERY_S", 0)
    before = await tables(road, "claims")
    await much_happens(road)
    after = await tables(road, "claims")
    async with road.bus.instance(lambda bus: road.build("claims", bus)) as instance:
        await instance.until_idle()
        await tables(road, "claims", restore=before)
        await until_it_keeps(road, "claims", after)


async def test_much_that_is_lost_waits_for_an_operator(road: Road, monkeypatch: pytest.MonkeyPatch) -> None:
    before = await tables(road, "claims")
    await much_happens(road)
    after = await tables(road, "claims")
    await tables(road, "claims", restore=before)
    monkeypatch.setenv("CLAIMBUS_RECOVER_MOST", "0")
    async with road.bus.instance(lambda bus: road.build("claims", bus)) as instance:
        await instance.until(lambda: any("lacks" in note for notes in instance.service.notes for note in notes()))
        assert await instance.service.problems()
        assert await tables(road, "claims") == await tables(road, "claims", restore=before)
        async with engine_of(road.databases["claims"]) as engine, engine.begin() as connection:
            await connection.execute(recoveries.insert(), {"allowed_at": road.bus.now})
        await until_it_keeps(road, "claims", after)
        assert not any(note for notes in instance.service.notes for note in notes())


async def test_an_operator_can_go_on_without_what_is_deleted(road: Road) -> None:
    before = await tables(road, "claims")
    await much_happens(road)
    await tables(road, "claims", restore=before)
    for number, log in enumerate(road.bus.topics[CLAIM_COMMANDS.name]):
        road.bus.first[TopicPartition(CLAIM_COMMANDS.name, number)] = len(log)
    async with road.bus.instance(lambda bus: road.build("claims", bus)) as instance:
        notes = instance.service.notes
        await instance.until(lambda: any("no longer on the topic" in text for note in notes for text in note()))
        async with engine_of(road.databases["claims"]) as engine, engine.begin() as connection:
            await connection.execute(recoveries.insert(), {"allowed_at": road.bus.now})
        await until_it_keeps(road, "claims", {"recoveries": []})
        road.ask(VEST, "create-temporary-claim", id="afterwards")
        await road.run("permissions")
        await instance.until_idle()
        assert not any(text for note in notes for text in note())
    await road.run()
    assert "afterwards" in {outcome["request_id"] for outcome in road.outcomes(VEST)}


async def test_what_an_older_version_decided_is_not_lost(road: Road, monkeypatch: pytest.MonkeyPatch) -> None:
    before = await tables(road, "claims")
    await much_happens(road)
    after = await tables(road, "claims")
    await tables(road, "claims", restore={**after, "positions": before["positions"]})
    monkeypatch.setenv("CLAIMBUS_RECOVER_MOST", "0")
    await run_until_it_keeps(road, "claims", after)
    assert nothing_was_said_twice(road)
