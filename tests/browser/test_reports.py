"""*Rapporter* in a browser: what is marked in the list, and what a portal with a new database finds."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from playwright.sync_api import expect
from pydantic import SecretStr
from sqlalchemy import delete

from operations.connection import Connection
from operations.stack import Stack
from services.portal.tables import reports
from shared.runtime.settings import DatabaseSettings
from shared.storage.database import engine_for, transaction
from tests.browser.conftest import Browse
from tests.browser.test_administration import WEEK_47, publish_report
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


def test_a_short_period_is_marked_in_the_list_and_no_other(world: World, browse: Browse) -> None:
    publish_report(world, "2026-W46", WEEK_47 - timedelta(days=2), short=True)
    publish_report(world)
    page = browse(world.handler, "/admin/rapporter")
    periods = page.get_by_role("listitem").filter(has=page.get_by_role("link", name=", 2026"))
    wait_until(lambda: bool(page.reload()) and periods.count() == 2, what="both reports")
    expect(periods.filter(has_text="Uke 46")).to_contain_text("Kort periode")
    expect(page.get_by_text("Kort periode")).to_have_count(1)


async def forget_reports(connection: Connection) -> None:
    """Empty the portal's table of reports; its consumer group has read them all the same."""
    engine = engine_for(DatabaseSettings(database_url=SecretStr(connection.databases["portal"])))
    async with transaction(engine) as database:
        await database.execute(delete(reports))
    await engine.dispose()
