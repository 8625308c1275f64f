"""A copy of the cookie of somebody who has logged out opens nothing, at any of the portal's instances."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr
from sqlalchemy import select

from services.portal import live
from services.portal.live import Live
from services.portal.pages.routes import routes
from services.portal.store import Store
from services.portal.sweeping import Sweeper
from services.portal.tables import ended_sessions
from services.portal.uploads import UploadSettings
from services.portal.web import web_app
from shared.runtime.settings import DatabaseSettings
from shared.storage.migrations import migrate
from tests.integration.conftest import Databases, engine_of
from tests.integration.portal_site import HANDLER, INSURER_S, PARTNER_S, Site, site_on

pytestmark = pytest.mark.promise(
    "The cookie of a session that somebody has logged out of opens nothing, at any instance.", about="portal"
)

PAGES = ("/", "/saker", "/saker/ny", "/admin", "/direkte", "/del/ny-sak")


@dataclass
class Instances:
    """Instances of one portal on one database."""

    first: Site
    others: dict[str, Site]

    async def stop(self) -> None:
        for site in self.others.values():
            await site.portal.live.stop()

    def another(self, name: str, url: str) -> Site:
        """One more, which does not listen to the others yet."""
        portal = replace(self.first.portal, live=Live(DatabaseSettings(database_url=SecretStr(url))))
        self.others[name] = replace(self.first, app=web_app(portal, routes(portal)), portal=portal)
        return self.others[name]


@pytest.fixture(scope="module")
async def url(databases: Databases) -> str:
    url = databases.new()
    async with engine_of(url) as engine:
        await migrate(engine, "services.portal")
    return url


@pytest.fixture(scope="module")
async def instances(url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Instances]:
    async with site_on(url, tmp_path_factory.mktemp("portal")) as site:
        instances = Instances(site, {})
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(live, "_READ_AGAIN_S", 3600.0)  # what is not told is not read a moment later
            await instances.another("beside", url).portal.live.start()
            yield instances
        await instances.stop()


async def is_shut_out(site: Site, user: str) -> bool:
    """Whether a user's cookie, or a copy of it, opens no page."""
    answers = [await site.page(user, address) for address in PAGES]
    return all(a.status == 303 and a.headers["location"].startswith("/logg-inn") for a in answers)


async def log_out(site: Site, user: str) -> None:
    """Log out, and keep the cookie."""
    answer = await site.send(user, "/logg-ut", [("csrf", site.tokens[user])])
    assert (answer.status, answer.headers["location"]) == (303, "/logg-inn")


async def until_shut_out(site: Site, user: str) -> None:
    async with asyncio.timeout(30):
        while True:
            if await is_shut_out(site, user):
                return
            await asyncio.sleep(0.05)


async def test_who_has_logged_out_is_out_at_once_and_at_the_other_instances_too(instances: Instances) -> None:
    first, beside = instances.first, instances.others["beside"]
    assert (await beside.page(INSURER_S, "/saker")).status == 200
    await log_out(first, INSURER_S)
    assert await is_shut_out(first, INSURER_S)
    form = await first.send(INSURER_S, "/admin/selskap/kontortid", [("csrf", first.tokens[INSURER_S])])
    assert (form.status, form.headers["location"][:9]) == (303, "/logg-inn")
    await until_shut_out(beside, INSURER_S)
    assert (await beside.page(HANDLER, "/saker")).status == 200


async def test_an_instance_that_starts_later_knows_who_has_logged_out_before(instances: Instances, url: str) -> None:
    await log_out(instances.first, PARTNER_S)
    later = instances.another("later", url)
    await later.portal.live.start()
    await until_shut_out(later, PARTNER_S)


async def test_a_new_log_in_is_another_session(instances: Instances) -> None:
    first = instances.first
    old = first.cookies[HANDLER]
    await log_out(first, HANDLER)
    await first.log_in(HANDLER)
    assert (await first.page(HANDLER, "/saker")).status == 200
    first.cookies["a copy"] = old
    assert await is_shut_out(first, "a copy")


async def test_an_ended_session_is_remembered_for_as_long_as_its_cookie_counts(instances: Instances) -> None:
    portal = instances.first.portal
    await portal.store.end_session("an id")
    session = timedelta(hours=portal.settings.session_hours)
    sweeper = Sweeper(portal.tables, portal.files, UploadSettings(), portal.store, session)
    for passed, remembered in ((session, True), (session + timedelta(hours=2), False)):
        await sweeper.sweep(datetime.now(UTC) + passed)
        assert (await _is_remembered(portal.store, "an id")) is remembered


async def _is_remembered(store: Store, id: str) -> bool:
    async with store.transaction() as connection:
        return await connection.scalar(select(ended_sessions.c.id).where(ended_sessions.c.id == id)) is not None
