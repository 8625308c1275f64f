"""The portal's claims list on a real PostgreSQL: by which offices a claim is found, also after an upgrade."""

import json
import unicodedata
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.portal.listing import Filter
from services.portal.live import Live
from services.portal.read_model import CausedEvent, save
from services.portal.store import Store
from services.portal.waiting_claims import count_waiting
from shared.contract.events import (
    BudgetApproved,
    ClaimEvent,
    ClaimRegistered,
    ContentImported,
    ContentWithdrawn,
    ImportedTask,
    Task,
    TaskAssigned,
)
from shared.contract.fields import TaskKind
from shared.runtime.settings import DatabaseSettings
from shared.storage.migrations import migrate
from tests.builders.content import content
from tests.builders.events import about, converted, created, registered, task
from tests.builders.moments import TUESDAY_EVENING
from tests.builders.requests import FJORD, NORD, NORD_TROMSO, VEST, VEST_BERGEN, VEST_VOSS
from tests.integration.conftest import Databases, engine_of

pytestmark = pytest.mark.promise(
    "People find what concerns their company and no more; the list finds what it is asked for.", about="portal"
)

AT_VOSS = task(office=VEST_VOSS)
AT_TROMSO = task(kind=TaskKind.INSPECTION, office=NORD_TROMSO, company=NORD)
EVERYBODY = (FJORD, NORD, VEST)


class Lists:
    """The read model without its topics: events in, lists out."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self.store = Store(engine)

    async def save(self, *events: ClaimEvent) -> None:
        async with self.store.transaction() as connection:
            await save(connection, [CausedEvent(event, "request") for event in events])

    async def written(self) -> set[tuple[Any, ...]]:
        """The rows in which claims are found, each with the transaction that wrote it."""
        columns = "company, claim_id, cast(xmin as text)"
        parts = [f"select '{table}', {columns} from {table}" for table in ("listing", "office_listing")]
        async with self.store.transaction() as connection:
            return {tuple(row) for row in await connection.execute(text(" union all ".join(parts)))}

    async def found(self, company: str, office: str | None, typed_text: str = "") -> list[UUID]:
        """The claims in a company's list for an office, with a text or without."""
        page = await self.store.page(company, Filter(office=office, text=typed_text), "Europe/Oslo")
        assert page.count.number == len(page.rows)
        return [row.claim_id for row in page.rows]


@pytest.fixture
async def url(databases: Databases) -> str:
    """An empty database."""
    return await databases.empty("services.portal")


@pytest.fixture
async def lists(url: str) -> AsyncIterator[Lists]:
    """The lists of an empty database."""
    async with engine_of(url) as engine:
        yield Lists(engine)


def assigned(id: UUID, version: int, to: Task) -> TaskAssigned:
    """A task is given to an office, whose company may see the claim from now on."""
    claim = created(id)
    return TaskAssigned(
        **about(id, version, audience=EVERYBODY),
        task=to,
        claim_number=claim.claim_number,
        incident=claim.incident,
        policyholder=claim.policyholder,
    )


@pytest.mark.parametrize("typed_text", ["", "berg"])
async def test_a_claim_is_found_by_each_office_that_has_to_do_with_it(lists: Lists, typed_text: str) -> None:
    temporary, normal = uuid4(), uuid4()
    events = [created(temporary), assigned(temporary, 2, AT_VOSS), assigned(temporary, 3, AT_TROMSO)]
    await lists.save(*events, registered(normal, audience=[FJORD]), assigned(normal, 2, AT_TROMSO))
    assert await lists.found(FJORD, VEST_BERGEN, typed_text) == [temporary]
    assert await lists.found(FJORD, VEST_VOSS, typed_text) == [temporary]
    assert set(await lists.found(FJORD, NORD_TROMSO, typed_text)) == {temporary, normal}
    assert await lists.found(VEST, VEST_VOSS, typed_text) == [temporary]
    assert set(await lists.found(NORD, NORD_TROMSO, typed_text)) == {temporary, normal}


async def test_a_phone_number_is_found_however_it_is_typed(lists: Lists) -> None:
    norwegian = created(uuid4())
    swedish = created(uuid4(), written=content(name="Eva", phone="+46701234567"))
    other = registered(uuid4(), audience=[FJORD], number="912-34", written=content(name="Per", phone="+442079460958"))
    await lists.save(norwegian, swedish, other)
    for event, texts in (
        (
            norwegian,
            ["91234567", "912 34 567", "+47 912 34", "0047 91 23 45 67", "tel:+4791234567", "\u202a912–34–567"],
        ),
        (swedish, ["070-123 45 67", "+46 (0)70-123 45 67", "(0046) 70 123", "070123", "+46\u00a070\u2011123"]),
        (other, ["912-34", "+44 (0)20 7946 0958", "020 7946 0958"]),
    ):
        for typed_text in texts:
            found = await lists.found(FJORD, None, typed_text)
            assert event.claim_id in found, typed_text
            assert swedish.claim_id not in found or event is swedish, typed_text


async def test_a_partner_s_list_finds_nothing_by_another_partner_s_office(lists: Lists) -> None:
    id = uuid4()
    await lists.save(created(id), assigned(id, 2, AT_TROMSO))
    for company, other in ((VEST, NORD_TROMSO), (NORD, VEST_BERGEN), ("sør", VEST_BERGEN)):
        assert await lists.found(company, other) == []


async def test_what_an_office_finds_changes_with_the_claim(lists: Lists) -> None:
    id = uuid4()
    imported: dict[str, Any] = {"link_id": uuid4(), "source_claim_id": uuid4()}
    task = ImportedTask(**dict(AT_VOSS), source_task_id=uuid4())
    await lists.save(created(id), ContentImported(**about(id, 2, audience=EVERYBODY), **imported, part=1, tasks=[task]))
    assert await lists.found(FJORD, VEST_VOSS) == [id]
    withdrawn = ContentWithdrawn(
        **about(id, 3), **imported, seen_from_now_on_by=[FJORD, VEST], task_ids=[AT_VOSS.task_id]
    )
    await lists.save(withdrawn, converted(id, 4))
    assert await lists.found(FJORD, VEST_VOSS) == []
    (row,) = (await lists.store.page(VEST, Filter(office=VEST_BERGEN), "Europe/Oslo")).rows
    assert row.state == "normal"


async def test_a_task_that_a_claim_gives_up_is_no_longer_open(lists: Lists) -> None:
    id = uuid4()
    imported: dict[str, Any] = {"link_id": uuid4(), "source_claim_id": uuid4()}
    task = ImportedTask(**dict(AT_VOSS), source_task_id=uuid4())
    content = ContentImported(**about(id, 2, audience=[FJORD, VEST]), **imported, part=1, tasks=[task])
    await lists.save(registered(id, audience=[FJORD]), content)
    assert [task.task_id for task in (await lists.store.tasks_of(VEST)).first] == [AT_VOSS.task_id]
    withdrawn = ContentWithdrawn(**about(id, 3), **imported, seen_from_now_on_by=[FJORD], task_ids=[AT_VOSS.task_id])
    await lists.save(withdrawn)
    assert (await lists.store.tasks_of(VEST)).count.number == 0


async def test_an_event_that_changes_nothing_in_lists_leaves_their_rows_alone(lists: Lists) -> None:
    id = uuid4()
    await lists.save(created(id, tasks=[AT_VOSS]))
    listed = await lists.written()
    approved = BudgetApproved(**about(id, 2), task_id=AT_VOSS.task_id, amount="1000", currency="NOK")
    await lists.save(approved)
    assert await lists.written() == listed
    await lists.save(converted(id, 3))
    assert {table for table, *_ in await lists.written() - listed} == {"listing", "office_listing"}


async def test_every_claim_of_a_batch_is_notified_of_however_many_may_see_it(lists: Lists, url: str) -> None:
    companies = [f"{n:0>63}" for n in range(100)]
    events = [created(uuid4(), audience=companies) for _ in range(40)]
    live = Live(DatabaseSettings(database_url=SecretStr(url)))
    with live.watch(companies[-1]) as watch:
        await live.start()
        try:
            assert await watch.news(60)  # it listens from now on
            await lists.save(*events)
            while watch.claims != {str(event.claim_id) for event in events}:
                assert await watch.news(60)
        finally:
            await live.stop()


async def test_claims_that_were_there_before_an_upgrade_are_found_by_each_office_too(lists: Lists) -> None:
    temporary, normal = uuid4(), uuid4()
    await lists.save(created(temporary), assigned(temporary, 2, AT_VOSS), assigned(temporary, 3, AT_TROMSO))
    await lists.save(registered(normal, audience=[FJORD]), assigned(normal, 2, AT_TROMSO))
    everything = text("select company, claim_id, office, state, registered_at from office_listing order by 1, 2, 3")
    words = text("select company, claim_id, words::text from listing order by 1, 2")
    async with lists.engine.begin() as connection:
        before = [(await connection.execute(query)).all() for query in (everything, words)]
        await connection.execute(text("drop table office_listing, kept_forms, ended_sessions, positions, removals"))
        await connection.execute(text("drop index media_stored_as"))
        await connection.execute(text("update alembic_version set version_num = '0002'"))
        await connection.execute(
            text(
                "update listing set words = ts_delete(words, array(select word from unnest(tsvector_to_array(words)) "
                "word where word like '%/office=%'))"
            )
        )
        for day in ("registered_at", "incident_date"):
            await connection.execute(text(f"create index listing_by_office_{day} on listing (company, office)"))
    await migrate(lists.engine, "services.portal")
    async with lists.engine.begin() as connection:
        after = [(await connection.execute(query)).all() for query in (everything, words)]
    assert len(after[0]) == 8
    assert after == before


@pytest.mark.parametrize("stored", ["NFC", "NFD"])
@pytest.mark.parametrize("typed", ["NFC", "NFD"])
async def test_a_claim_is_found_in_whichever_form_a_text_is_stored_or_typed(
    lists: Lists, stored: Any, typed: Any
) -> None:
    id = uuid4()
    await lists.save(in_alesund(id, stored))
    for typed_text in ("Ålesund", "åle", "ÅSE ødegård", "Å-7", "åsvegen"):
        page = await lists.store.page(FJORD, Filter(text=unicodedata.normalize(typed, typed_text)), "Europe/Oslo")
        assert [row.claim_id for row in page.rows] == [id], typed_text
        assert page.rows[0].place == "Åsvegen 1, 6002 Ålesund"


async def test_claims_with_decomposed_texts_from_before_an_upgrade_are_found_too(lists: Lists) -> None:
    id = uuid4()
    await lists.save(in_alesund(id, "NFC"))
    async with lists.engine.begin() as connection:
        for column in ("policyholder", "place", "claim_number"):
            await connection.execute(text(f"update listing set {column} = normalize({column}, nfd)"))
        taken_apart = (
            f"update listing set words = array_to_tsvector(array['{FJORD}/a', '{FJORD}/lesund', '{FJORD}/6002'])"
        )
        await connection.execute(text(taken_apart))
        await connection.execute(text("drop table kept_forms, ended_sessions, positions, removals"))
        await connection.execute(text("drop index media_stored_as"))
        await connection.execute(text("update alembic_version set version_num = '0003'"))
    await migrate(lists.engine, "services.portal")
    for typed_text in ("Ålesund", "6002", "ødegård", "å-7"):
        (row,) = (await lists.store.page(FJORD, Filter(text=typed_text), "Europe/Oslo")).rows
        assert (row.claim_id, row.place, row.policyholder) == (id, "Åsvegen 1, 6002 Ålesund", "Åse Ødegård")


def in_alesund(id: UUID, form: Any) -> ClaimRegistered:
    """A claim whose texts are in one form of Unicode, as events from before were."""
    event = registered(id, audience=[FJORD]).model_dump(mode="json")
    event["claim_number"] = "Å-7"
    event["incident"]["address"] |= {"street": "Åsvegen 1", "postal_code": "6002", "city": "Ålesund"}
    event["policyholder"]["name"] = "Åse Ødegård"
    return ClaimRegistered.model_validate_json(unicodedata.normalize(form, json.dumps(event, ensure_ascii=False)))


async def test_temporary_claims_that_wait_are_counted_by_insurer_and_age(lists: Lists) -> None:
    now = TUESDAY_EVENING
    converted_one, other = uuid4(), "nordlys-forsikring"
    ages = [timedelta(hours=1), timedelta(hours=2), timedelta(days=2), timedelta(days=5), timedelta(days=40)]
    waiting = [created(uuid4()).model_copy(update={"at": now - age}) for age in ages]
    await lists.save(*waiting, created(converted_one), converted(converted_one, 2), registered(uuid4()))
    of_other = created(uuid4()).model_copy(update={"insurer": other, "audience": [other, VEST], "at": now})
    await lists.save(of_other)
    async with lists.store.transaction() as connection:
        counted = await count_waiting(connection, now)
    assert counted == {
        FJORD: {"day": 2, "three_days": 1, "week": 1, "longer": 1},
        other: {"day": 1, "three_days": 0, "week": 0, "longer": 0},
    }
