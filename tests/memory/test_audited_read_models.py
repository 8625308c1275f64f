"""What the audit finds in the tables of services that read along, after a link that was taken back and made again."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

from services.reporting.closing import made
from services.reporting.kept_reports import MadeReport
from services.reporting.rules import Period
from services.reporting.store import Store
from shared.contract import ids
from shared.runtime.settings import DatabaseSettings
from shared.storage.database import engine_for
from tests.builders.content import INCIDENT, POLICYHOLDER
from tests.builders.requests import FJORD, VEST, VEST_VOSS, creation
from tests.memory.audited import audited
from tests.memory.road import READERS, Road

pytestmark = pytest.mark.promise(
    "`claimbus audit` finds what breaks an invariant, on the topics and in the tables.", about="running"
)

SOURCE, TARGET = ids.claim_id(VEST, "source"), ids.claim_id(FJORD, "target")
NORMAL = {"claim_number": "SK-1", "handler": "kari-holm", "incident": INCIDENT, "policyholder": POLICYHOLDER}
LINK = {"claim_id": str(SOURCE), "target_claim_id": str(TARGET)}
TASK = ids.created_task_id(SOURCE, 1)


async def ask(road: Road, company: str, name: str, body: dict[str, Any], id: str) -> None:
    """Ask for something that is granted, and see it through."""
    road.ask(company, name, body, id=id)
    await road.run()
    assert [o.get("code") for o in road.outcomes(company) if o["request_id"] == id] == [None]


async def linked_and_back(road: Road) -> None:
    """Report on a claim before it is linked, and on both claims while it is; take the link back; refuse another."""
    await ask(road, VEST, "create-temporary-claim", creation(tasks=[{"kind": "first_aid"}]), "source")
    await ask(road, FJORD, "register-claim", NORMAL, "target")
    report = {"claim_id": str(SOURCE), "task_id": str(TASK), "text": "Tørket."}
    await ask(road, VEST, "report-task", report, "first-report")
    await ask(road, FJORD, "link-claim", LINK, "link")
    await ask(road, VEST, "report-task", report, "late-report")
    copy = str(ids.copy_id(ids.link_id(FJORD, "link"), TASK))
    await ask(road, VEST, "report-task", {"claim_id": str(TARGET), "task_id": copy, "text": "Malt."}, "report-there")
    await road.run(*READERS)  # what comes now changes what they have
    await ask(road, FJORD, "unlink-claim", {"claim_id": str(SOURCE)}, "unlink")
    amendment = {"claim_id": str(SOURCE), "incident": INCIDENT | {"cause": "fire"}}
    await ask(road, FJORD, "amend-claim", amendment, "amendment")
    await road.run(*READERS)
    road.ask(VEST, "create-temporary-claim", creation(office=VEST_VOSS), id="refused")
    await road.run()
    await road.run(*READERS)


@asynccontextmanager
async def database(road: Road, service: str) -> AsyncIterator[AsyncEngine]:
    """Connect to a service's database."""
    engine = engine_for(DatabaseSettings(database_url=SecretStr(road.databases[service])))
    try:
        yield engine
    finally:
        await engine.dispose()


async def make_report(road: Road) -> None:
    """Close a period of the insurer as reporting does."""
    begins, ends = road.bus.now - timedelta(days=1), road.bus.now + timedelta(milliseconds=1)
    async with database(road, "reporting") as engine, Store(engine).transaction() as transaction:
        period = Period("2026-W48", begins, ends, "Europe/Oslo", short=True)
        message = await made(transaction, FJORD, period, None, {}, ends)
        await transaction.reports.keep(MadeReport(period, message))


async def test_nothing_is_found_in_what_services_made_of_links(road: Road) -> None:
    await linked_and_back(road)
    await make_report(road)
    assert (await audited(road)).kept == []
    await ask(road, FJORD, "link-claim", LINK, "link-again")
    assert (await audited(road)).kept == [], "and nothing is expected of those that have not read it yet"
    await road.run(*READERS)
    assert (await audited(road)).kept == []


DAMAGE: dict[str, dict[str, str]] = {
    "portal": {
        "page": "update claims set view = replace(view, 'Strandgata', 'Storgata')",
        "history": "update history set event = replace(event, 'Strandgata', 'Storgata')",
        "lists": "update listing set office = '' where company = 'vest-skadeservice'",
        "offices": "delete from office_listing",
        "open tasks": "delete from open_tasks",
        "files": f"insert into media values (gen_random_uuid(), '{SOURCE}', '{TASK}', gen_random_uuid(), 'a', 'b')",
        "readers of files": "update media_claims set audience = array['nord-ror']",
        "waiting-as-listed": "update waiting set claims = claims + 1",
    },
    "suggestions": {
        "particulars": "update claims set state = 'normal'",
        "blocks": "delete from blocks where claim_id in (select claim_id from blocks limit 1)",
    },
    "reporting": {
        "counts": "update claims set ended_as = 'linked', ended_at = created_at",
        "tasks": "update tasks set reported_at = null",
        "amended causes": "delete from amended_causes",
        "undone links": "update undone_links set undone_at = undone_at + interval '1 second'",
        "refusals-counted": "delete from refusals",
        "reports-as-counted": "update reports set message = replace(message, '\"waiting\":1', '\"waiting\":2')",
    },
}
"""What is spoilt in each database, by what is then another."""


async def test_what_is_spoilt_in_a_read_model_is_found(road: Road) -> None:
    await linked_and_back(road)
    await make_report(road)
    for service, damage in DAMAGE.items():
        async with database(road, service) as engine, engine.begin() as connection:
            for statement in damage.values():
                assert (await connection.exec_driver_sql(statement)).rowcount > 0
    found = (await audited(road)).kept
    told = {(v.sentence.split()[0], v.sentence.split(" has other ")[-1].split(" than ")[0]) for v in found}
    for service, damage in DAMAGE.items():
        for part in damage:
            assert (service, part) in told or part in {violation.invariant for violation in found}, part
