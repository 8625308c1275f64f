"""A real browser over the real stack; each person has a browser of their own."""

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from operations.connection import Connection
from operations.directory_view import directory_from_bus
from operations.under_way import wait_until_read
from tests.browser.chromium import find
from tests.locks import networks_stay
from tests.world import World, Worlds, wait_until

Browse = Callable[..., Page]

_PATIENCE_MS = 30_000
_BLOCKED = "Content Security Policy"

expect.set_options(timeout=_PATIENCE_MS)


@pytest.fixture(scope="package")
def browser(run_folder: Path) -> Iterator[Browser]:
    """Chromium: the system's, or the one that Playwright has installed. Without either the tests fail."""
    chromium = find()
    with networks_stay(run_folder), sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium,
            args=["--no-sandbox"] if os.getuid() == 0 else [],
        )
        yield browser
        browser.close()


@pytest.fixture
def world(connection: Connection, worlds: Worlds) -> Iterator[World]:
    """New companies."""
    world = in_a_thread(worlds.next, connection)
    yield world
    world.close()


@pytest.fixture
def other_world(connection: Connection, worlds: Worlds) -> Iterator[World]:
    """Other companies."""
    world = in_a_thread(worlds.next, connection)
    yield world
    world.close()


def in_a_thread(make: Callable[[Connection], World], connection: Connection) -> World:
    """Make companies in another thread: Playwright has an event loop running in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(make, connection).result()


class Pages:
    """A browser with a page for each person. The next test gets them emptied: a new one is a second's work."""

    def __init__(self, browser: Browser) -> None:
        self.complaints: list[str] = []
        """What the scripts of the pages complained of."""
        self._browser = browser
        self._free: defaultdict[str, list[Page]] = defaultdict(list)
        self._in_use: list[tuple[str, Page]] = []
        self._with_options: list[Page] = []

    def take(self, address: str, **options: Any) -> Page:
        """Give a page on which nobody is logged in; one with options of a context is always new."""
        if options:
            self._with_options.append(self._new(address, **options))
            return self._with_options[-1]
        page = self._free[address].pop() if self._free[address] else self._new(address)
        self._in_use.append((address, page))
        return page

    def give_back(self) -> None:
        """Empty those that were taken."""
        for page in self._with_options:
            page.context.close()
        for address, page in self._in_use:
            for another in page.context.pages[1:]:
                another.close()
            page.goto("/static/icon.svg")  # nothing of the portal's own, and its process stays for what is next
            page.context.clear_cookies()  # behind it: a page of the portal that asks without them loads itself again
            page.emulate_media(color_scheme="null")
            self._free[address].append(page)
        self._with_options, self._in_use = [], []

    def _new(self, address: str, **options: Any) -> Page:
        context = self._browser.new_context(base_url=address, locale="nb-NO", **options)
        context.set_default_timeout(_PATIENCE_MS)
        page = context.new_page()
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda message: self.complaints.append(message.text) if _BLOCKED in message.text else None)
        return page


@pytest.fixture(scope="package")
def emptied_pages(browser: Browser) -> Pages:
    """Pages for all tests."""
    return Pages(browser)


@pytest.fixture
def forms(world: World) -> dict[str, list[str]]:
    """Every page with a form in which something is written or chosen, by who sees it."""
    world.set_portal(inspection_needs_budget=True, enhanced_function=True)
    target = world.register("F-1")
    claim = world.create(tasks=[{"kind": "first_aid"}, {"kind": "inspection"}]).body
    id, (first_aid, inspection) = claim["claim_id"], claim["task_ids"]
    return {
        world.handler: [
            f"/saker/{id}/normal",
            f"/saker/{id}/rett",
            f"/saker/{id}/avbryt",
            f"/saker/{id}/oppgaver/ny",
            f"/saker/{id}/oppgaver/{inspection}/budsjett",
            f"/saker/{id}/tilknytning/{target}",
            f"/admin/kontorer/{world.office}",
            "/admin/selskap",
        ],
        world.plumber: ["/saker/ny", f"/saker/{id}/rett", f"/saker/{id}/oppgaver/{first_aid}/rapport"],
    }


@pytest.fixture
def browse(emptied_pages: Pages, connection: Connection) -> Iterator[Browse]:
    """Open a browser as a user, on a page. Whatever the page's scripts complain of fails the test."""

    def opened(user: str | None, path: str = "/", **options: Any) -> Page:
        page = emptied_pages.take(str(connection.portal), **options)
        if user is not None:
            log_in(page.context, user)
            wait_until_read(connection, "portal")  # companies can hear of things before it does
            wait_until_directory_is_read(page.context, connection)
        page.goto(path)
        return page

    emptied_pages.complaints.clear()
    yield opened
    emptied_pages.give_back()
    assert emptied_pages.complaints == []


def log_in(context: BrowserContext, user: str) -> None:
    """Log in as the log-in page does, which lists the users of all tests and takes its time to be drawn."""

    def is_in() -> bool:
        token = re.search('name="csrf" value="([^"]+)"', context.request.get("/logg-inn").text())
        assert token is not None
        form = {"csrf": token[1], "user": user}
        return context.request.post("/logg-inn", form=form, max_redirects=0).status == 303

    wait_until(is_in, what=f"the portal to know {user}")


def wait_until_directory_is_read(context: BrowserContext, connection: Connection) -> None:
    """Wait until the portal has put in force what is in the directory now, which it reads in no group.

    Every page for somebody logged in tells how many changes of the directory it was made from.
    """
    there_are = directory_from_bus(connection).changes

    def is_read() -> bool:
        made_from = re.search("directory=([0-9]+)", context.request.get("/").text())
        assert made_from is not None
        return int(made_from[1]) >= there_are

    wait_until(is_read, what="the portal to read the directory")
