"""Saksliste and Instrumentbord: what is found, by which address (domain rules 10 and 12)."""

from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from operations.bus import NewRequest
from services.portal.listing import MOST_COUNTED, PAGE
from tests.browser.conftest import Browse
from tests.builders.requests import incident_of_yesterday
from tests.world import World

pytestmark = pytest.mark.promise(
    "People find what concerns their company and no more; the list finds what it is asked for.", about="portal"
)


def numbers(page: Page) -> list[str]:
    """The claim numbers that the list shows, in its order."""
    return page.locator("#claims-list tbody tr td:first-child").all_text_contents()


def follow(page: Page, link: str) -> list[str]:
    """Go to another page, and return what the list shows there."""
    with page.expect_navigation():
        page.get_by_role("link", name=link).click()
    return numbers(page)


def register(world: World, number: str, **incident: str) -> str:
    """Have the insurer register a normal claim of somebody else."""
    policyholder = {"name": "Bjørn Dal", "phone": "+4798765432"}
    return world.register(number, incident=incident_of_yesterday(**incident), policyholder=policyholder)


def test_pressing_what_waits_adds_the_filter_for_temporary_claims_to_those_chosen(world: World, browse: Browse) -> None:
    register(world, "F-1")
    fire = incident_of_yesterday(cause="fire")
    burnt = world.create(incident=fire).body["claim_number"]
    wet = world.create().body["claim_number"]
    page = browse(world.handler)
    page.get_by_role("link", name="2 sak(er) trenger å være forbundet").click()
    expect(page.get_by_text("2 saker", exact=True)).to_be_visible()
    assert set(numbers(page)) == {burnt, wet}
    page.goto("/saker?arsak=fire")
    page.get_by_role("link", name="2 sak(er) trenger å være forbundet").click()
    expect(page.get_by_text("1 sak", exact=True)).to_be_visible()
    assert numbers(page) == [burnt]
    expect(page.get_by_label("Midlertidig sak")).to_be_checked()
    expect(page.get_by_label("Årsak")).to_have_value("fire")


def test_the_filter_for_temporary_claims_is_under_advanced_settings(world: World, browse: Browse) -> None:
    register(world, "F-1")
    world.create()
    page = browse(world.handler, "/saker")
    expect(page.get_by_text("2 saker", exact=True)).to_be_visible()
    expect(page.get_by_label("Midlertidig sak")).to_be_hidden()
    page.get_by_text("Avanserte innstillinger").click()
    page.get_by_label("Midlertidig sak").check()
    page.get_by_role("button", name="Vis").click()
    expect(page.get_by_text("1 sak", exact=True)).to_be_visible()
    assert page.url.endswith("?midlertidig=1&dato=registrert&rekkefolge=nyeste")


def test_temporary_is_a_status_and_the_form_says_what_is_in_force(world: World, browse: Browse) -> None:
    register(world, "F-1")
    temporary = world.create().body["claim_number"]
    page = browse(world.handler, "/saker?status=normal")
    page.get_by_text("Avanserte innstillinger").click()
    page.get_by_label("Midlertidig sak").check()
    page.get_by_role("button", name="Vis").click()
    page.wait_for_url("**/saker?midlertidig=1&**")
    assert numbers(page) == [temporary]
    assert "status" not in page.url
    assert page.get_by_label("Status").locator("option").all_text_contents() == ["Midlertidig"]
    page.get_by_label("Midlertidig sak").uncheck()
    page.get_by_role("button", name="Vis").click()
    expect(page.get_by_text("2 saker", exact=True)).to_be_visible()
    expect(page.get_by_label("Status").locator("option:checked")).to_have_text("Alle")


def test_of_many_tasks_the_dashboard_says_that_there_are_more(world: World, browse: Browse) -> None:
    tasks = [{"kind": "first_aid"}] * 20
    world.partner.ask(*(world.creation(tasks=tasks) for _ in range(MOST_COUNTED // len(tasks))))
    page = browse(world.plumber)
    expect(page.get_by_role("heading", name="Oppgaver å rapportere på (1 000)")).to_be_visible()
    world.create(tasks=[{"kind": "first_aid"}])
    expect(page.get_by_role("heading", name="Oppgaver å rapportere på (mer enn 1 000)")).to_be_visible()


def test_claims_are_found_by_name_number_phone_and_address(world: World, browse: Browse) -> None:
    register(world, "F-100")
    world.create()
    page = browse(world.handler)
    for text, found in [("bjør", 1), ("F-100", 1), ("987 65 432", 1), ("strandgata", 2), ("berg anne", 1), ("xyz", 0)]:
        page.goto(f"/saker?tekst={text}")
        expect(page.get_by_text(f"{found} sak" if found == 1 else f"{found} saker", exact=True)).to_be_visible()


def test_every_filter_shows_just_what_it_names(world: World, browse: Browse) -> None:
    today = datetime.now(UTC).date()
    old = (today - timedelta(days=40)).isoformat()
    register(world, "F-1", cause="fire", date=old)
    register(world, "F-2")
    temporary = world.create().body["claim_number"]
    page = browse(world.handler)
    for query, expected in [
        ("status=normal", {"F-1", "F-2"}),
        ("status=avbrutt", set()),
        ("arsak=fire", {"F-1"}),
        (f"kontor={world.office}", {temporary}),
        (f"kontor={world.office}&arsak=fire", set()),
        (f"dato=skadedato&til={today - timedelta(days=30)}", {"F-1"}),
        (f"dato=skadedato&fra={today - timedelta(days=30)}&status=normal", {"F-2"}),
        (f"dato=registrert&fra={today + timedelta(days=2)}", set()),
        ("tekst=strandgata&arsak=fire", {"F-1"}),
    ]:
        page.goto(f"/saker?{query}")
        assert set(numbers(page)) == expected, query


def test_a_claim_is_found_by_each_office_that_has_a_task_of_it(world: World, browse: Browse) -> None:
    claim = world.create().body
    task = {"claim_id": claim["claim_id"], "kind": "first_aid", "office": world.second_office}
    (assigned,) = world.insurer.ask(NewRequest("assign-task", task))
    assert assigned.accepted, assigned.body
    for user in (world.handler, world.plumber):
        page = browse(user, f"/saker?kontor={world.second_office}")
        assert numbers(page) == [claim["claim_number"]]
        page.goto(f"/saker?kontor={world.office}&tekst=strandgata")
        assert numbers(page) == [claim["claim_number"]]


def test_pages_follow_on_each_other_without_gaps_in_both_orders(world: World, browse: Browse) -> None:
    world.partner.ask(*(world.creation() for _ in range(PAGE + 7)))
    page = browse(world.plumber, "/saker", java_script_enabled=False)
    expect(page.get_by_text(f"{PAGE + 7} saker", exact=True)).to_be_visible()
    newest_first = numbers(page)
    assert len(newest_first) == PAGE
    newest_first += follow(page, "Neste side")
    assert len(set(newest_first)) == PAGE + 7
    expect(page.get_by_role("link", name="Neste side")).to_have_count(0)
    assert follow(page, "Til begynnelsen") == newest_first[:PAGE]
    oldest_first = follow(page, "Registrert")
    assert oldest_first + follow(page, "Neste side") == newest_first[::-1]


def test_an_address_shows_the_same_list_again(world: World, browse: Browse) -> None:
    register(world, "F-1")
    world.create()
    first = browse(world.handler, "/saker?status=normal")
    assert numbers(first) == ["F-1"]
    again = browse(world.adjuster, first.url)
    assert numbers(again) == ["F-1"]
    expect(again.get_by_label("Status")).to_have_value("normal")


def test_a_list_of_another_company_is_empty(world: World, browse: Browse) -> None:
    world.create()
    for path in ("/saker", "/saker?tekst=strandgata", "/saker?midlertidig=1", f"/saker?kontor={world.office}"):
        expect(browse(world.other_plumber, path).get_by_text("0 saker", exact=True)).to_be_visible()
