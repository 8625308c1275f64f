"""Logging in by OpenID Connect, at a real provider on this machine."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from oidc_provider_mock import run_server_in_thread

from tests.unit.test_portal_log_in import application

PORTAL = "http://127.0.0.1"


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    """A provider that lets in whoever says who they are."""
    with run_server_in_thread() as server:
        yield f"http://localhost:{server.server_port}"


def portal(folder: Path, issuer: str) -> httpx2.AsyncClient:
    """A browser at a portal that sends people to the provider."""
    client = {"oidc_client_id": "claimbus", "oidc_client_secret": "secret"}
    settings: dict[str, Any] = {"url": PORTAL, "oidc_issuer": issuer, **client}
    transport = application(folder, **settings, log_in_from_directory=False, oidc_user_claim="sub")
    return httpx2.AsyncClient(transport=transport, base_url=PORTAL)


async def come_back(browser: httpx2.AsyncClient, user: str, back: str = "/") -> httpx2.Response:
    """Go to the provider, say who one is there, and come back with what it gives."""
    leaving = await browser.get("/oidc", params={"til": back})
    assert leaving.status_code == 302, leaving.text
    async with httpx2.AsyncClient() as outside:
        answer = await outside.post(leaving.headers["location"], data={"sub": user})
    assert answer.status_code == 302, answer.text
    return await browser.get(answer.headers["location"])


async def test_somebody_of_the_directory_comes_in_and_to_the_page_that_was_asked_for(
    tmp_path: Path, issuer: str
) -> None:
    async with portal(tmp_path, issuer) as browser:
        answer = await come_back(browser, "kari", "/saker?arsak=fire")
        assert answer.status_code == 303
        assert answer.headers["location"] == "/saker?arsak=fire"
        assert (await browser.get("/saker")).status_code == 503  # logged in; there is no database in this test


async def test_somebody_who_is_not_in_the_directory_does_not_come_in(tmp_path: Path, issuer: str) -> None:
    async with portal(tmp_path, issuer) as browser:
        answer = await come_back(browser, "nobody")
        assert answer.status_code == 403
        assert (await browser.get("/saker")).status_code == 303


async def test_an_answer_that_was_not_asked_for_is_not_taken(tmp_path: Path, issuer: str) -> None:
    async with portal(tmp_path, issuer) as browser:
        answer = await browser.get("/oidc/tilbake", params={"code": "guessed", "state": "guessed"})
        assert answer.status_code == 403


async def test_a_provider_that_does_not_answer_is_told(tmp_path: Path) -> None:
    async with portal(tmp_path, "http://127.0.0.1:1") as browser:
        answer = await browser.get("/oidc")
        assert answer.status_code == 503


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"code": "x"},
        {"state": "["},
        {"code": "a\0b", "state": "a\0b"},
        {"error": "\0", "error_description": "\ufffd"},
        {"code": "9" * 5000, "state": "9" * 5000},
    ],
)
async def test_whatever_comes_back_from_a_provider_is_refused_and_no_fault(
    tmp_path: Path, issuer: str, answer: dict[str, str]
) -> None:
    async with portal(tmp_path, issuer) as browser:
        assert (await browser.get("/oidc/tilbake", params=answer)).status_code == 403
        leaving = await browser.get("/oidc", params={"til": "//["})
        state = httpx2.URL(leaving.headers["location"]).params["state"]
        assert (await browser.get("/oidc/tilbake", params={"code": "x", **answer, "state": state})).status_code == 403
