"""Logging in: not too often, only to where we are, and only from forms of the own session."""

import re
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from pydantic import SecretStr

from services.portal.directory_follower import DirectoryFollower
from services.portal.live import Live
from services.portal.media_store import MediaTables
from services.portal.pages.routes import addresses, routes
from services.portal.request_sender import RequestSender
from services.portal.settings import WebSettings
from services.portal.store import Store
from services.portal.thumbnails import Thumbnails
from services.portal.uploads import Uploads, UploadSettings
from services.portal.visit import Portal
from services.portal.web import web_app
from shared.contract.directory_events import CompanyRegistered, UserRegistered
from shared.messaging.publisher import Publisher
from shared.runtime.settings import DatabaseSettings, ServiceSettings
from shared.storage.database import engine_for
from shared.storage.media_store import MediaStore
from tests.builders.directory import REGISTERED, directory_event


def application(folder: Path, *, directory_was_read: bool = True, **settings: object) -> httpx2.ASGITransport:
    """The pages over a directory with one user, with no database and no Kafka behind them."""
    web = WebSettings.model_validate(
        {"secret": SecretStr("test"), "log_in_from_directory": True, "log_ins_per_minute": 10, **settings}
    )
    service = ServiceSettings()
    database = DatabaseSettings(database_url=SecretStr("postgresql://nobody@127.0.0.1:1/nothing"))
    engine = engine_for(database)
    follower, store, live = DirectoryFollower(lambda: service), Store(engine), Live(database)
    company = {"id": "fjord", "name": "Fjord", "kind": "insurer"}
    user = {"id": "kari", "company": "fjord", "name": "Kari Holm", "authorisation_level": 6}
    events = (
        directory_event(CompanyRegistered, "operator", "1", registered=company),
        directory_event(UserRegistered, "operator", "2", registered=user),
    )
    for event in events:
        follower.directory.apply(event, REGISTERED)
    follower.was_read = directory_was_read
    files, tables = MediaStore.at(folder.as_uri()), MediaTables(engine)
    uploads = Uploads(tables, files, ["test"], UploadSettings())
    sender = RequestSender(Publisher(service), store, live, follower, web.outcome_wait_s)
    portal = Portal(web, store, live, follower, sender, uploads, tables, files, Thumbnails(files))
    return httpx2.ASGITransport(web_app(portal, routes(portal)))


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    """A browser before anybody has logged in."""
    async with httpx2.AsyncClient(transport=application(tmp_path), base_url="http://127.0.0.1") as browser:
        yield browser


@pytest.fixture
async def early_browser(browser: httpx2.AsyncClient, tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    """A browser with a session, at a portal that has not read the directory yet."""
    await log_in(browser)
    transport = application(tmp_path, directory_was_read=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1", cookies=browser.cookies) as early:
        yield early


async def log_in(browser: httpx2.AsyncClient, back: str = "/") -> httpx2.Response:
    """Log in as the user."""
    page = await browser.get("/logg-inn", params={"til": back})
    token = re.search(r'name="csrf" value="([^"]+)"', page.text)
    assert token is not None
    return await browser.post("/logg-inn", params={"til": back}, data={"csrf": token[1], "user": "kari"})


async def test_after_some_attempts_in_a_minute_nobody_at_the_address_can_try_again(browser: httpx2.AsyncClient) -> None:
    statuses = [(await log_in(browser)).status_code for _ in range(12)]
    assert statuses == [303] * 10 + [429] * 2


@pytest.mark.parametrize(
    ("address", "goes"),
    [
        ("/saker?arsak=fire", "/saker?arsak=fire"),
        ("https://example.org/", "/"),
        ("//example.org", "/"),
        ("/\\example.org", "/"),
        ("javascript:alert(1)", "/"),
    ],
)
async def test_a_log_in_goes_on_to_pages_of_ours_only(browser: httpx2.AsyncClient, address: str, goes: str) -> None:
    assert (await log_in(browser, address)).headers["location"] == goes


async def test_a_page_that_needs_a_user_sends_to_the_log_in_and_back(browser: httpx2.AsyncClient) -> None:
    answer = await browser.get("/saker?arsak=fire")
    assert answer.headers["location"] == "/logg-inn?til=%2Fsaker%3Farsak%3Dfire"


async def test_a_log_in_without_the_session_s_token_is_not_taken(browser: httpx2.AsyncClient) -> None:
    await browser.get("/logg-inn")
    assert (await browser.post("/logg-inn", data={"user": "kari"})).status_code == 403


async def test_a_form_from_another_site_is_not_taken(browser: httpx2.AsyncClient) -> None:
    await log_in(browser)
    answer = await browser.post("/logg-ut", data={}, headers={"sec-fetch-site": "cross-site"})
    assert answer.status_code == 403


async def test_a_form_that_does_not_say_how_long_it_is_or_is_too_long_is_not_read(browser: httpx2.AsyncClient) -> None:
    await log_in(browser)

    async def endless() -> AsyncIterator[bytes]:
        yield b"x=" * 10

    assert (await browser.post("/logg-ut", content=endless())).status_code == 411
    assert (await browser.post("/logg-ut", content=b"x" * 3_000_000)).status_code == 413


async def test_the_cookie_is_for_no_script_and_over_https_for_https_alone(tmp_path: Path) -> None:
    for url, secure in (("http://127.0.0.1", False), ("https://portal.example.org", True)):
        async with httpx2.AsyncClient(transport=application(tmp_path, url=url), base_url=url) as browser:
            cookie = (await browser.get("/logg-inn")).headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=lax" in cookie
        assert ("secure" in cookie) is secure


@pytest.mark.parametrize(
    "settings", [{"url": "http://portal.example.org"}, {"url": "portal.example.org"}, {"host": "0.0.0.0"}]
)
def test_outside_this_machine_the_portal_starts_only_over_https(settings: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="CLAIMBUS_PORTAL_URL must begin with https://"):
        WebSettings.model_validate(settings)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"url": "http://localhost:8000"},
        {"url": "http://[::1]:8000"},
        {"url": "https://portal.example.org", "host": "0.0.0.0"},
        {"url": "HTTPS://portal.example.org"},
    ],
)
def test_over_https_or_on_this_machine_it_starts(settings: dict[str, str]) -> None:
    assert WebSettings.model_validate(settings).secure is settings.get("url", "").lower().startswith("https")


async def test_no_page_runs_what_is_in_it(browser: httpx2.AsyncClient) -> None:
    answer = await browser.get("/logg-inn")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<script(?![^>]*src=)|\sstyle=|\son[a-z]+=", answer.text)


async def test_the_list_of_users_is_there_only_where_it_is_turned_on(tmp_path: Path) -> None:
    transport = application(tmp_path, log_in_from_directory=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as browser:
        page = await browser.get("/logg-inn")
        assert "Kari Holm" not in page.text
        assert (await browser.post("/logg-inn", data={"user": "kari"})).status_code == 405


async def test_every_address_is_answered_by_one_page() -> None:
    web = WebSettings(log_in_from_directory=True)
    answered = [(address.path, method) for address in addresses(web) for method in address.methods]
    assert [each for each, times in Counter(answered).items() if times > 1] == []


async def test_without_a_secret_the_portal_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="CLAIMBUS_PORTAL_SECRET"):
        application(tmp_path, secret=SecretStr(""))


async def test_a_page_says_so_when_the_database_does_not_answer(browser: httpx2.AsyncClient) -> None:
    await log_in(browser)
    answer = await browser.get("/saker")
    assert answer.status_code == 503
    assert "Ingenting er tapt" in answer.text


async def test_before_the_directory_was_read_pages_say_that_the_bus_does_not_answer(
    early_browser: httpx2.AsyncClient,
) -> None:
    for path in ("/", "/saker?arsak=fire", "/logg-inn"):
        answer = await early_browser.get(path)
        assert answer.status_code == 503
        assert "Meldingsbussen svarer ikke" in answer.text


async def test_before_the_directory_was_read_what_was_typed_comes_back(
    browser: httpx2.AsyncClient, early_browser: httpx2.AsyncClient
) -> None:
    form = (await browser.get("/finnes-ikke")).text
    token = re.search(r'name="csrf" value="([^"]+)"', form)
    assert token is not None
    answer = await early_browser.post("/saker/ny", data={"csrf": token[1], "policyholder.name": "Anne Berg"})
    assert answer.status_code == 503
    assert "Anne Berg" in answer.text


async def test_a_field_that_was_emptied_is_sent_again_as_empty(
    browser: httpx2.AsyncClient, early_browser: httpx2.AsyncClient
) -> None:
    token = re.search(r'name="csrf" value="([^"]+)"', (await browser.get("/finnes-ikke")).text)
    assert token is not None
    answer = await early_browser.post("/saker/ny", data={"csrf": token[1], "days.0.date": "", "reason": "Hærverk"})
    assert '<input type="hidden" name="days.0.date" value="">' in answer.text
    assert "<dt>Begrunnelse</dt>" in answer.text


async def test_before_the_directory_was_read_only_forms_of_the_own_session_come_back(
    early_browser: httpx2.AsyncClient,
) -> None:
    answer = await early_browser.post("/saker/ny", data={"csrf": "guessed", "policyholder.name": "Anne Berg"})
    assert answer.status_code == 403
    assert "Anne Berg" not in answer.text


async def test_a_log_in_page_that_was_open_in_two_tabs_goes_on_in_both(browser: httpx2.AsyncClient) -> None:
    token = re.search(r'name="csrf" value="([^"]+)"', (await browser.get("/logg-inn")).text)
    assert token is not None
    answers = [
        await browser.post("/logg-inn", params={"til": "/skjema/1"}, data={"csrf": token[1], "user": user})
        for user in ("kari", "kari", "somebody else")
    ]
    assert [answer.status_code for answer in answers] == [303, 303, 403]
    assert [answer.headers["location"] for answer in answers[:2]] == ["/skjema/1", "/skjema/1"]


async def test_who_is_logged_out_already_can_log_out(browser: httpx2.AsyncClient) -> None:
    await log_in(browser)
    page = (await browser.get("/finnes-ikke")).text
    token = re.search(r'name="csrf" value="([^"]+)"', page)
    assert token is not None
    browser.cookies.clear()
    assert (await browser.post("/logg-ut", data={"csrf": token[1]})).headers["location"] == "/logg-inn"


async def test_who_cannot_be_logged_out_everywhere_is_told_so_and_can_try_again(browser: httpx2.AsyncClient) -> None:
    await log_in(browser)
    token = re.search(r'name="csrf" value="([^"]+)"', (await browser.get("/finnes-ikke")).text)
    assert token is not None
    answer = await browser.post("/logg-ut", data={"csrf": token[1]})
    assert (answer.status_code, "set-cookie" in answer.headers) == (503, False)
    assert "Send på nytt" in answer.text


async def test_a_script_whose_session_has_ended_is_told_in_its_own_words(browser: httpx2.AsyncClient) -> None:
    answer = await browser.post("/opplasting", content=b"{}", headers={"x-csrf-token": "old"})
    assert answer.status_code == 401
    assert answer.json()["message"] == "Du er logget ut. Logg inn i en annen fane, og prøv igjen."
    answer = await browser.get("/del/ny-sak", headers={"hx-request": "true"})
    assert (answer.status_code, answer.headers["hx-trigger"]) == (401, "session-ended")


async def test_a_form_that_cannot_be_kept_either_comes_back_and_still_says_whose_it_is(
    browser: httpx2.AsyncClient,
) -> None:
    await log_in(browser)
    token = re.search(r'name="csrf" value="([^"]+)"', (await browser.get("/finnes-ikke")).text)
    assert token is not None
    browser.cookies.clear()
    answer = await browser.post("/saker/ny", data={"csrf": token[1], "policyholder.name": "Anne Berg"})
    assert answer.status_code == 503  # there is no database in this test
    assert "Anne Berg" in answer.text
    assert f'name="csrf" value="{token[1]}"' in answer.text
