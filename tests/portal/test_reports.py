"""Reports that were published once are found by a portal that has a new database."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from playwright.sync_api import expect
from pydantic import SecretStr
from sqlalchemy import delete

from operations.connection import Connection
from operations.stack import Stack
from services.portal.tables import reports
from shared.runtime.database import engine_for, transaction
from shared.runtime.settings import DatabaseSettings
from tests.portal.conftest import Browse
from tests.portal.test_administration import publish_report
from tests.world import World, wait_until


def test_a_portal_without_any_report_that_is_started_again_shows_what_was_published(
    stack: Stack, world: World, browse: Browse
) -> None:
    publish_report(world)
    page = browse(world.handler, "/admin/rapporter")
    link = page.get_by_role("link", name="Uke 47, 2026")
    wait_until(lambda: bool(page.reload()) and link.count() == 1, what="the report")
    (portal,) = stack.of("portal")
    portal.stop()
    with ThreadPoolExecutor(1) as thread:  # Playwright has an event loop running in this one
        thread.submit(asyncio.run, forget_reports(world.connection)).result()
    portal.start()
    stack.wait_until_ready()
    page.reload()
    expect(link).to_have_count(1)


async def forget_reports(connection: Connection) -> None:
    """Empty the portal's table of reports; its consumer group has read them all the same."""
    engine = engine_for(DatabaseSettings(database_url=SecretStr(connection.databases["portal"])))
    async with transaction(engine) as database:
        await database.execute(delete(reports))
    await engine.dispose()
