"""Many tabs of one browser, over HTTP/1.1: all are loaded, and all are told, by one stream."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect
from starlette.types import ASGIApp, Receive, Scope, Send

from operations.embedded import free_port
from services.portal.read_model import CausedEvent, save
from services.portal.serving import WebServer
from services.portal.settings import WebSettings
from shared.storage.migrations import migrate
from tests.browser.chromium import find
from tests.builders.events import created
from tests.builders.requests import FJORD, NORDLYS
from tests.integration.conftest import Databases, engine_of
from tests.integration.portal_site import INSURER_S, PARTNER_S, Site, site_on
from tests.locks import networks_stay

TABS = 20
LIST = "/saker"


class Streams:
    """Counts the streams that are open; what is not a stream is passed on."""

    def __init__(self, app: ASGIApp) -> None:
        self.open = 0
        self._app = app
        self._changed = asyncio.Condition()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != "/direkte":
            return await self._app(scope, receive, send)
        await self._count(1)
        try:
            await self._app(scope, receive, send)
        finally:
            await self._count(-1)

    async def wait_until(self, holds: Callable[[int], bool]) -> None:
        """Wait until as many are open as is wanted."""
        async with asyncio.timeout(30), self._changed:
            await self._changed.wait_for(lambda: holds(self.open))

    async def _count(self, more: int) -> None:
        self.open += more
        async with self._changed:
            self._changed.notify_all()


@dataclass
class Served:
    """The portal behind a real web server, and what is asked of it."""

    site: Site
    streams: Streams
    settings: WebSettings
    server: WebServer

    async def change(self, insurer: str = FJORD) -> str:
        """Create a claim; return its number."""
        id = uuid4()
        event = created(id, number=f"Midlertidig {id.hex[:8]}", insurer=insurer)
        async with self.site.portal.store.transaction() as connection:
            await save(connection, [CausedEvent(event, "request")])
        return event.claim_number

    async def log_in(self, context: BrowserContext, user: str) -> None:
        """Log in as a user, in all tabs of a browser."""
        name, _, value = self.site.cookies[user].partition("=")
        await context.add_cookies([{"name": name, "value": value, "url": self.settings.address}])

    async def notifies(self, pages: list[Page], insurer: str = FJORD) -> None:
        """Change something, and wait until every page shows it."""
        number = await self.change(insurer)
        await asyncio.gather(
            *(expect(page.get_by_role("link", name=number)).to_be_visible(timeout=20_000) for page in pages)
        )

    async def restart(self) -> None:
        """Stop the web server, which ends all streams, and start it again."""
        live = self.site.portal.live
        await live.stop()
        await self.server.stop()
        await self.streams.wait_until(lambda count: count == 0)
        self.server = WebServer(self.streams, self.settings)
        await self.server.start()


@pytest.fixture(scope="module")
async def served(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    """The portal, with people logged in."""
    url = databases.new()
    async with engine_of(url) as engine:
        await migrate(engine, "services.portal")
    async with site_on(url, tmp_path_factory.mktemp("portal"), live_for_all=True) as site:
        streams, settings = Streams(site.app), WebSettings(port=free_port())
        served = Served(site, streams, settings, WebServer(streams, settings))
        await site.portal.live.start()
        await served.server.start()
        yield served
        await site.portal.live.stop()
        await served.server.stop()


@pytest.fixture(scope="module")
async def browser(run_folder: Path) -> AsyncIterator[Browser]:
    chromium = await asyncio.to_thread(find)
    args = ["--no-sandbox"] if os.getuid() == 0 else []
    with networks_stay(run_folder):
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=chromium, args=args)
            yield browser
            await browser.close()


@pytest.fixture
async def context(browser: Browser, served: Served) -> AsyncIterator[BrowserContext]:
    """A browser with nothing in it; no stream is left of it."""
    context = await browser.new_context(base_url=served.settings.address)
    context.set_default_timeout(15_000)
    yield context
    await context.close()
    await served.streams.wait_until(lambda count: count == 0)


async def tabs(context: BrowserContext, count: int, path: str = LIST) -> list[Page]:
    """Open tabs."""
    pages = [await context.new_page() for _ in range(count)]
    await asyncio.gather(*(page.goto(path) for page in pages))
    return pages


async def test_twenty_tabs_are_told_by_one_stream_also_when_those_that_had_it_are_closed(
    served: Served, context: BrowserContext
) -> None:
    await served.log_in(context, INSURER_S)
    pages = await tabs(context, TABS)
    await served.notifies(pages)
    assert served.streams.open == 1
    while len(pages) > 2:
        half = len(pages) // 2
        await asyncio.gather(*(page.close() for page in pages[:half]))
        pages = pages[half:]
        await served.notifies(pages)
        await served.streams.wait_until(lambda count: count == 1)
    await served.restart()
    number = await served.change()  # before anybody listens to the database, or the stream is there again
    await served.site.portal.live.start()
    await asyncio.gather(
        *(expect(page.get_by_role("link", name=number)).to_be_visible(timeout=20_000) for page in pages)
    )
    await served.notifies(pages)
    assert served.streams.open == 1


async def test_a_frozen_tab_that_has_the_stream_does_not_keep_the_others_from_news(
    served: Served, context: BrowserContext
) -> None:
    await served.log_in(context, INSURER_S)
    (first,) = await tabs(context, 1)
    await served.streams.wait_until(lambda count: count == 1)
    others = await tabs(context, 2)
    await served.notifies([first, *others])
    session = await context.new_cdp_session(first)
    await session.send("Debugger.enable")
    await session.send("Debugger.pause")  # no script runs there any more, while its connections stay
    await served.notifies(others)
    assert served.streams.open == 2
    await session.send("Debugger.disable")
    await served.notifies([first, *others])
    await served.streams.wait_until(lambda count: count == 1)


async def test_after_another_log_in_the_tabs_of_the_one_before_are_told_nothing(
    served: Served, context: BrowserContext
) -> None:
    await served.log_in(context, INSURER_S)
    (before,) = await tabs(context, 1)
    await served.notifies([before])
    await served.log_in(context, PARTNER_S)
    (now,) = await tabs(context, 1)
    await served.notifies([now], NORDLYS)
    await served.streams.wait_until(lambda count: count == 1)
    requested: list[str] = []
    before.on("request", lambda request: requested.append(request.url))
    number = await served.change(FJORD)
    await expect(now.get_by_role("link", name=number)).to_be_visible(timeout=20_000)
    await served.notifies([now], NORDLYS)
    await before.evaluate("1")  # what it had been told before that, it has done
    assert requested == []
    await served.log_in(context, INSURER_S)
    await served.notifies([*(await tabs(context, 1)), before])


@pytest.mark.parametrize("missing", ["navigator.locks", "window.BroadcastChannel"])
async def test_a_browser_that_cannot_share_follows_by_itself(
    served: Served, context: BrowserContext, missing: str
) -> None:
    of, _, name = missing.rpartition(".")
    await context.add_init_script(f"Object.defineProperty({of}, {name!r}, {{ value: undefined }})")
    await served.log_in(context, INSURER_S)
    pages = await tabs(context, 2)
    await served.notifies(pages)
    assert served.streams.open == 2
