"""What people see while Kafka or the database is away, and that nothing they typed is lost."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import pytest
from confluent_kafka import KafkaError, Producer
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Page, expect
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from operations.stack import Stack
from shared.contract.topics import OPERATOR, REQUESTS
from shared.runtime.settings import DatabaseSettings
from shared.storage.database import engine_for, transaction
from tests.browser.conftest import Browse
from tests.browser.test_for_everyone import violations
from tests.world import World, as_json, claimbus_as_a_user, wait_until

T = TypeVar("T")

OF_A_CLAIM = {
    "claims": "id",
    "history": "claim_id",
    "listing": "claim_id",
    "office_listing": "claim_id",
    "open_tasks": "claim_id",
}
"""The tables that have rows of a claim, and the column that says of which."""
NOWHERE = str(UUID(int=0))
"""A claim that there is not."""


@contextlib.contextmanager
def away(stack: Stack, name: str) -> Iterator[None]:
    """Take a server away for a while."""
    server = getattr(stack, name)
    server.stop()
    try:
        yield
    finally:
        server.start()
        stack.wait_until_ready()


def with_a_form(world: World, browse: Browse) -> tuple[str, Page]:
    """Fill in a form; return the claim that it is about."""
    claim = world.create().body["claim_id"]
    page = browse(world.handler, f"/saker/{claim}/avbryt")
    page.get_by_label("Begrunnelse").fill("Falsk alarm fra naboen")
    return claim, page


def send_in_vain(page: Page) -> None:
    """Send the form while it cannot be sent: what was typed comes back."""
    page.get_by_role("button", name="Avbryt saken").click()
    expect(page.get_by_role("heading", name="Ikke sendt ennå")).to_be_visible()
    expect(page.get_by_role("definition").filter(has_text="Falsk alarm fra naboen")).to_be_visible()
    expect(page.get_by_text("Begrunnelse", exact=True)).to_be_visible()
    assert violations(page) == []


def send_again(page: Page, claim: str) -> None:
    """Send what came back, when all is up again: it is done once."""
    page.get_by_role("button", name="Send på nytt").click()
    expect(page.get_by_role("region", name="Saken er avbrutt")).to_contain_text("Falsk alarm fra naboen")
    page.goto(f"/saker/{claim}")
    expect(page.get_by_text("Saken avbrutt: Falsk alarm fra naboen")).to_have_count(1)


@pytest.mark.promise("Pages say when Kafka or PostgreSQL is away, and what was typed is not lost.", about="portal")
def test_while_kafka_is_away_pages_can_be_read_and_what_was_typed_is_kept_also_by_a_portal_that_starts(
    stack: Stack, world: World, browse: Browse
) -> None:
    claim, page = with_a_form(world, browse)
    other_claim, sent_to_the_next = with_a_form(world, browse)
    reader = page.context.new_page()
    (portal,) = stack.of("portal")
    with away(stack, "kafka"):
        send_in_vain(page)
        reader.goto(f"/saker/{claim}")
        expect(reader.get_by_role("region", name="Historikk")).to_be_visible()
        wait_until(
            lambda: reader.reload() is not None and reader.get_by_text("Meldingsbussen svarer ikke.").count() == 1,
            what="the warning",
        )
        assert violations(reader) == []
        portal.stop()
        portal.start()
        wait_until(lambda: _is_served(reader, "/saker"), what="the portal to answer")
        expect(reader.get_by_role("heading", name="Svarer ikke akkurat nå")).to_be_visible()
        expect(reader.get_by_text("Meldingsbussen svarer ikke")).to_be_visible()
        send_in_vain(sent_to_the_next)
    send_again(page, claim)
    send_again(sent_to_the_next, other_claim)


@pytest.mark.promise("Pages say when Kafka or PostgreSQL is away, and what was typed is not lost.", about="portal")
def test_while_the_database_is_away_pages_say_so_and_what_was_typed_is_kept(
    stack: Stack, world: World, browse: Browse
) -> None:
    claim, page = with_a_form(world, browse)
    reader = page.context.new_page()
    with away(stack, "postgres"):
        send_in_vain(page)
        answer = reader.goto("/saker")
        assert answer is not None
        assert answer.status == 503
        expect(reader.get_by_role("heading", name="Svarer ikke akkurat nå")).to_be_visible()
        assert violations(reader) == []
    send_again(page, claim)


def test_a_request_without_an_outcome_yet_is_answered_with_nothing(world: World, browse: Browse) -> None:
    answer = browse(world.handler).request.get("/del/foresporsel/portal:on-its-way")
    assert answer.status == 204
    assert not {"content-type", "content-length"} & answer.headers.keys()


def test_the_portal_shows_the_same_after_a_rebuild(stack: Stack, world: World, browse: Browse, tmp_path: Path) -> None:
    claim = world.create(tasks=[{"kind": "first_aid"}]).body["claim_id"]
    page = browse(world.handler, f"/saker/{claim}")
    before, rows = page.locator("#claim").inner_text(), in_portal_database(world, rows_of(world, claim))
    assert rows.keys() == {"claims", "history", "listing", "office_listing", "open_tasks", "waiting"}
    in_portal_database(world, spoil(world, claim))
    assert in_portal_database(world, rows_of(world, NOWHERE)).keys() == {"listing", "waiting"}
    file = tmp_path / "connection.json"
    world.connection.model_copy(update={"companies_file": None}).save(file)
    assert as_json(claimbus_as_a_user("rebuild", "portal", "--json", connection_file=file))["claims"] >= 1
    assert in_portal_database(world, rows_of(world, claim)) == rows
    assert in_portal_database(world, rows_of(world, NOWHERE)).keys() == {"waiting"}
    page.goto(f"/saker/{claim}")
    assert page.locator("#claim").inner_text() == before
    page.goto("/saker")
    expect(page.get_by_text("1 sak", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="1 sak(er) trenger å være forbundet")).to_be_visible()


Query = Callable[[AsyncConnection], Awaitable[T]]


def rows_of(world: World, claim: str) -> Query[dict[str, list[Any]]]:
    """Find what the portal's tables have of a claim, and how many claims wait for its insurer."""

    async def found(database: AsyncConnection) -> dict[str, list[Any]]:
        tables = {}
        for table, column in (*OF_A_CLAIM.items(), ("waiting", "insurer")):
            query = f"select to_jsonb(t) from {table} t where {column}::text = :id order by 1"
            id = world.insurer_id if table == "waiting" else claim
            tables[table] = list(await database.scalars(text(query), {"id": id}))
        return {table: rows for table, rows in tables.items() if rows}

    return found


def spoil(world: World, claim: str) -> Query[None]:
    """Make everything of a claim wrong, and leave in the list what is of no claim."""

    async def spoilt(database: AsyncConnection) -> None:
        for statement in (
            "update claims set view = replace(view, 'Anne Berg', 'Nobody') where id::text = :claim",
            "update history set request_id = 'nobody''s' where claim_id::text = :claim",
            "update listing set claim_id = cast(:nowhere as uuid) where claim_id::text = :claim",
            "delete from office_listing where claim_id::text = :claim",
            "delete from open_tasks where claim_id::text = :claim",
            "update waiting set claims = claims + 7 where insurer = :insurer",
        ):
            parameters = {"claim": claim, "nowhere": NOWHERE, "insurer": world.insurer_id}
            done = await database.execute(
                text(statement), {n: v for n, v in parameters.items() if f":{n}" in statement}
            )
            assert done.rowcount, statement

    return spoilt


def in_portal_database(world: World, do: Query[T]) -> T:
    """Do something in a transaction of the portal's database, in another thread: Playwright has a loop in this one."""

    async def done() -> T:
        engine = engine_for(DatabaseSettings(database_url=SecretStr(world.connection.databases["portal"])))
        try:
            async with transaction(engine) as database:
                return await do(database)
        finally:
            await engine.dispose()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, done()).result()


def _is_served(page: Page, path: str) -> bool:
    """Whether something answers there, whatever it says."""
    try:
        return page.goto(path) is not None
    except PlaywrightError:
        return False


def test_the_portal_can_write_for_companies_and_not_for_the_operator(stack: Stack, world: World) -> None:
    mine = {"sasl.username": "portal", "sasl.password": stack.passwords["portal"]}
    producer = Producer(world.connection.client() | mine)
    problems: dict[str | None, KafkaError | None] = {}
    for company in (world.partner_id, OPERATOR):
        producer.produce(
            REQUESTS.of(company), b"{}", on_delivery=lambda error, message: problems.update({message.topic(): error})
        )
    assert producer.flush(30) == 0
    assert problems[REQUESTS.of(world.partner_id)] is None
    refused = problems[REQUESTS.of(OPERATOR)]
    assert refused is not None
    assert refused.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED
