"""*+ Ny midlertidig sak*: who finds it and when, and what becomes of what is typed (domain rules 1–3 and 7–10)."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Page, expect

from shared.domain.public_holidays import Region
from tests.browser.conftest import Browse
from tests.world import World, wait_until

NEW = "+ Ny midlertidig sak"
ALL_DAY = {day: {"opens": "00:00", "closes": "24:00"} for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")}


def fill(page: Page) -> None:
    """Fill in what is mandatory."""
    page.get_by_label("Årsak").select_option("water")
    page.get_by_label("Gateadresse").fill("Strandgata 1")
    page.get_by_label("Postnummer").fill("5004")
    page.get_by_label("Poststed").fill("Bergen")
    page.get_by_label("Navn").fill("Anne Berg")
    page.get_by_label("Telefon").fill("912 34 567")


def test_a_user_whose_office_may_always_create_finds_the_button(world: World, browse: Browse) -> None:
    expect(browse(world.plumber).get_by_role("link", name=NEW)).to_be_visible()


def test_the_button_is_on_every_page_and_goes_from_each_with_the_permission(world: World, browse: Browse) -> None:
    claim = world.create(tasks=[{"kind": "first_aid"}]).body
    id, task = claim["claim_id"], claim["task_ids"][0]
    page = browse(world.plumber)
    button = page.get_by_role("banner").get_by_role("link", name=NEW)
    for path in ("/", "/saker", "/finnes-ikke", f"/saker/{id}/oppgaver/{task}/rapport", f"/saker/{id}"):
        page.goto(path)
        expect(button).to_be_visible()
    world.permit(world.office, "never")
    expect(button).to_have_count(0)


@pytest.mark.parametrize("user", ["other_plumber", "handler"])
def test_a_user_whose_office_may_not_create_does_not_find_it(world: World, browse: Browse, user: str) -> None:
    page = browse(getattr(world, user))
    expect(page.get_by_role("link", name=NEW)).to_have_count(0)
    page.goto("/saker/ny")
    expect(page.get_by_text("Kontoret kan ikke opprette midlertidige saker nå.")).to_be_visible()


@pytest.mark.promise("*+ Ny midlertidig sak* comes and goes with the office hours.", about="portal")
def test_the_button_goes_and_comes_when_the_insurer_changes_its_hours(world: World, browse: Browse) -> None:
    world.set_portal(office_hours=dict.fromkeys(ALL_DAY))
    page = browse(world.night_plumber)
    expect(page.get_by_role("link", name=NEW)).to_be_visible()
    zone, country = noon_without_holiday()
    world.set_portal(office_hours=ALL_DAY, time_zone=zone, country=country)
    expect(page.get_by_role("link", name=NEW)).to_have_count(0)
    world.set_portal(office_hours=dict.fromkeys(ALL_DAY))
    expect(page.get_by_role("link", name=NEW)).to_be_visible()


def test_a_created_claim_is_there_for_the_insurer_without_reloading(world: World, browse: Browse) -> None:
    insurer = browse(world.handler, "/saker")
    expect(insurer.get_by_text("0 saker")).to_be_visible()
    partner = browse(world.plumber)
    partner.get_by_role("link", name=NEW).click()
    fill(partner)
    partner.get_by_label("Oppgave 1", exact=True).select_option("first_aid")
    partner.get_by_role("button", name="Ny oppgavelinje").click()
    partner.get_by_label("Oppgave 2", exact=True).select_option("inspection")
    expect(partner.get_by_label("Gateadresse")).to_have_value("Strandgata 1")
    partner.get_by_role("button", name="Legg til").click()
    expect(partner.get_by_text("Den midlertidige saken er opprettet.")).to_be_visible()
    expect(partner.get_by_role("heading", level=1)).to_contain_text("Midlertidig")
    expect(partner.get_by_role("heading", name="Førstehjelpsoppgave")).to_be_visible()
    expect(partner.get_by_role("heading", name="Besiktigelsesoppgave")).to_be_visible()
    expect(insurer.get_by_text("1 sak", exact=True)).to_be_visible()
    expect(insurer.get_by_role("cell", name="Anne Berg")).to_be_visible()
    expect(insurer.get_by_role("link", name="1 sak(er) trenger å være forbundet")).to_be_visible()


def test_mandatory_fields_are_marked_and_asked_for(world: World, browse: Browse) -> None:
    page = browse(world.plumber, "/saker/ny", java_script_enabled=False)
    for name in ("Skadedato", "Årsak", "Gateadresse", "Postnummer", "Poststed", "Navn", "Telefon"):
        expect(page.locator("label", has_text=name).first).to_contain_text("*")
        assert page.get_by_label(name).first.get_attribute("required") is not None
    for name in ("Beskrivelse", "E-post", "Polisenummer", "Egen referanse"):
        expect(page.locator("label", has_text=name).first).not_to_contain_text("*")


def test_what_is_wrong_is_told_at_its_field_and_nothing_is_lost(world: World, browse: Browse) -> None:
    page = browse(world.plumber, "/saker/ny")
    fill(page)
    page.get_by_label("Telefon").fill("12")
    page.get_by_label("Beskrivelse").fill("Vann i kjelleren")
    page.get_by_role("button", name="Legg til").click()
    expect(page.locator("#policyholder\\.phone-problem")).to_be_visible()
    expect(page.get_by_label("Beskrivelse")).to_have_value("Vann i kjelleren")
    page.get_by_label("Telefon").fill("91234567")
    page.get_by_role("button", name="Legg til").click()
    expect(page.get_by_text("Den midlertidige saken er opprettet.")).to_be_visible()


def test_a_refusal_comes_back_with_the_reason_and_what_was_typed(world: World, browse: Browse) -> None:
    page = browse(world.plumber, "/saker/ny")
    fill(page)
    world.permit(world.office, "never")
    page.get_by_role("button", name="Legg til").click()
    expect(page.get_by_text("Kontoret har ikke tillatelse til å opprette midlertidige saker")).to_be_visible()
    expect(page.get_by_role("alert")).to_contain_text("tillatelse: aldri.")
    expect(page.get_by_label("Gateadresse")).to_have_value("Strandgata 1")


def test_an_incident_date_after_today_is_refused_with_a_reason(world: World, browse: Browse) -> None:
    page = browse(world.plumber, "/saker/ny")
    fill(page)
    page.get_by_label("Skadedato").fill((datetime.now(UTC).date() + timedelta(days=3)).isoformat())
    page.get_by_role("button", name="Legg til").click()
    expect(page.get_by_role("heading", name="Skadedatoen er senere enn i dag. Rett datoen.")).to_be_visible()
    assert page.get_by_label("Skadedato").get_attribute("aria-invalid") == "true"


def test_the_incident_date_begins_as_the_insurer_s_today(world: World, browse: Browse) -> None:
    another_day = "Etc/GMT+12" if datetime.now(UTC).hour < 12 else "Pacific/Kiritimati"
    world.set_portal(time_zone=another_day)
    page = browse(world.plumber, "/saker/ny")
    today = page.get_by_label("Skadedato")
    wait_until(
        lambda: (
            page.reload() is not None and today.input_value() == datetime.now(ZoneInfo(another_day)).date().isoformat()
        ),
        what="the insurer's date",
        timeout_s=20,
    )


def test_the_claim_number_is_there_only_with_the_right(world: World, browse: Browse) -> None:
    page = browse(world.plumber, "/saker/ny")
    expect(page.get_by_label("Skadenummer")).to_have_count(0)
    world.set_portal(enhanced_function=True)
    world.permit(world.office, "always", may_define_claim_number=True, may_assign_to_others=True)
    number = page.get_by_label("Skadenummer")
    wait_until(lambda: page.reload() is not None and number.count() == 1, what="the portal to know of the right")
    number.fill("77-1")
    fill(page)
    page.get_by_label("Tildel saken til kontor").select_option(world.other_office)
    page.get_by_role("button", name="Legg til").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Midlertidig 77-1")
    other = browse(world.other_plumber, "/saker")
    expect(other.get_by_role("link", name="Midlertidig 77-1")).to_be_visible()


def test_without_the_right_only_own_offices_can_be_assigned(world: World, browse: Browse) -> None:
    page = browse(world.plumber, "/saker/ny")
    offices = page.get_by_label("Tildel saken til kontor").locator("option").all_text_contents()
    assert [text.strip() for text in offices] == ["Eget kontor", "Bergen", "Voss"]


def test_another_partner_does_not_find_the_claim(world: World, browse: Browse) -> None:
    claim = world.create().body["claim_id"]
    own = browse(world.plumber, f"/saker/{claim}")
    expect(own.get_by_role("heading", level=1)).to_contain_text("Midlertidig")
    other = browse(world.other_plumber)
    for path in (f"/saker/{claim}", f"/saker/{claim}/normal", f"/saker/{claim}/rett", f"/saker/{claim}/oppgaver/ny"):
        answer = other.goto(path)
        assert answer is not None
        assert answer.status == 404
        expect(other.get_by_text("Anne Berg")).to_have_count(0)


def noon_without_holiday() -> tuple[str, str]:
    """A zone where it is about noon, far from midnight, and a country without a public holiday there today."""
    ahead = 12 - datetime.now(UTC).hour
    zone = f"Etc/GMT{-ahead:+d}" if ahead else "Etc/GMT"
    today = datetime.now(ZoneInfo(zone)).date()
    return zone, next(c for c in ("NO", "US", "JP", "BR") if Region(c).holiday(today) is None)
