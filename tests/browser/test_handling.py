"""A claim's page: its banner, *Normal*, correcting, cancelling, tasks and reports (domain rules 11, 13 and 14)."""

import pytest
from playwright.sync_api import expect

from operations.bus import NewRequest
from tests.browser.conftest import Browse
from tests.world import World

pytestmark = pytest.mark.promise(
    "A temporary claim is made normal, linked, corrected or cancelled in a browser, and its history says so.",
    about="portal",
)


def test_a_temporary_claim_has_a_banner_with_its_choices(world: World, browse: Browse) -> None:
    claim = world.create().body["claim_id"]
    banner = browse(world.adjuster, f"/saker/{claim}").get_by_role("region", name="Saken er midlertidig")
    expect(banner.get_by_role("link", name="Normal")).to_be_visible()
    expect(banner.get_by_role("link", name="Tilknytning")).to_be_visible()
    for_partner = browse(world.plumber, f"/saker/{claim}").get_by_role("region", name="Saken er midlertidig")
    expect(for_partner).to_be_visible()
    expect(for_partner.get_by_role("link", name="Normal")).to_have_count(0)


def test_normal_asks_for_a_number_and_a_handler_and_makes_a_claim_like_any_other(world: World, browse: Browse) -> None:
    claim = world.create().body["claim_id"]
    partner = browse(world.plumber, f"/saker/{claim}")
    page = browse(world.handler, f"/saker/{claim}")
    page.get_by_role("link", name="Normal").click()
    dialog = page.get_by_role("dialog", name="Normal")
    dialog.get_by_label("Skadenummer").fill("2026-4711")
    dialog.get_by_label("Saksbehandler").select_option(world.adjuster)
    dialog.get_by_role("button", name="Lagre").click()
    expect(page.get_by_text("Saken er nå en normal sak.")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_text("2026-4711")
    expect(page.get_by_role("region", name="Saken er midlertidig")).to_have_count(0)
    history = page.get_by_role("region", name="Historikk")
    expect(history).to_contain_text("Gjort til normal sak 2026-4711, saksbehandler Per Lund")
    expect(history).to_contain_text("Kari Holm")
    expect(partner.get_by_role("heading", level=1)).to_have_text("2026-4711")
    page.goto("/")
    expect(page.get_by_text("Ingen midlertidige saker venter.")).to_be_visible()


def test_a_number_that_is_taken_is_refused_at_its_field(world: World, browse: Browse) -> None:
    first, second = (world.create().body["claim_id"] for _ in range(2))
    for claim in (first, second):
        page = browse(world.handler, f"/saker/{claim}/normal", java_script_enabled=False)
        page.get_by_label("Skadenummer").fill("2026-1")
        page.get_by_role("button", name="Lagre").click()
    expect(page.locator("#claim_number-problem")).to_be_visible()
    page.get_by_label("Skadenummer").fill("2026-2")
    page.get_by_role("button", name="Lagre").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("2026-2")


def test_the_creating_company_corrects_while_temporary_and_the_insurer_always(world: World, browse: Browse) -> None:
    claim = world.create().body["claim_id"]
    partner = browse(world.plumber, f"/saker/{claim}")
    partner.get_by_role("link", name="Rett opplysninger").click()
    partner.get_by_label("Navn").fill("Anne Bergum")
    partner.get_by_role("button", name="Lagre").click()
    expect(partner.get_by_text("Rettelsen er lagret.")).to_be_visible()
    expect(partner.get_by_text("Anne Bergum", exact=True)).to_be_visible()
    history = partner.get_by_role("region", name="Historikk")
    expect(history).to_contain_text("Opplysninger rettet")
    expect(history).to_contain_text("Navn: fra «Anne Berg» til «Anne Bergum»")
    body = {"claim_id": claim, "claim_number": "N-1", "handler": world.handler}
    world.insurer.ask(NewRequest("convert-to-normal", body))
    expect(partner.get_by_role("heading", level=1)).to_have_text("N-1")
    expect(partner.get_by_role("link", name="Rett opplysninger")).to_have_count(0)
    insurer = browse(world.adjuster, f"/saker/{claim}/rett")
    insurer.get_by_label("Poststed").fill("Voss")
    insurer.get_by_role("button", name="Lagre").click()
    expect(insurer.get_by_text("Strandgata 1, 5004 Voss", exact=True)).to_be_visible()
    correction = "Skadested: fra «Strandgata 1, 5004 Bergen» til «Strandgata 1, 5004 Voss»"
    expect(insurer.get_by_role("region", name="Historikk")).to_contain_text(correction)


def test_the_insurer_cancels_with_a_reason_and_the_partner_sees_it(world: World, browse: Browse) -> None:
    claim = world.create().body["claim_id"]
    partner = browse(world.plumber, f"/saker/{claim}")
    expect(partner.get_by_role("link", name="Avbryt saken")).to_have_count(0)
    page = browse(world.handler, f"/saker/{claim}/avbryt")
    page.get_by_label("Begrunnelse").fill("Falsk alarm")
    page.get_by_role("button", name="Avbryt saken").click()
    expect(page.get_by_role("region", name="Saken er avbrutt")).to_contain_text("Falsk alarm")
    expect(partner.get_by_role("region", name="Saken er avbrutt")).to_contain_text("Falsk alarm")


def test_an_inspection_is_reported_on_after_its_budget_is_approved(world: World, browse: Browse) -> None:
    world.set_portal(inspection_needs_budget=True)
    claim = world.create(tasks=[{"kind": "inspection"}]).body["claim_id"]
    partner = browse(world.plumber, f"/saker/{claim}")
    expect(partner.get_by_text("Venter på budsjett")).to_be_visible()
    expect(partner.get_by_role("link", name="Rapporter")).to_have_count(0)
    insurer = browse(world.handler)
    insurer.get_by_role("link", name="Besiktigelsesoppgave").click()
    insurer.get_by_label("Beløp").fill("12 500,50")
    insurer.get_by_role("button", name="Godkjenn").click()
    expect(insurer.get_by_text("Budsjett 12500.50 NOK")).to_be_visible()
    partner.get_by_role("link", name="Rapporter").click()
    partner.get_by_label("Rapport").fill("Gulvet må skiftes.")
    partner.get_by_label("Oppgaven er ferdig").check()
    partner.get_by_role("button", name="Send").click()
    expect(partner.get_by_text("Gulvet må skiftes.")).to_be_visible()
    expect(insurer.get_by_text("Gulvet må skiftes.")).to_be_visible()


def test_a_task_is_assigned_later_and_waits_on_the_dashboard_of_its_office(world: World, browse: Browse) -> None:
    claim = world.create().body["claim_id"]
    other = browse(world.other_plumber)
    expect(other.get_by_text("Oppgaver å rapportere på")).to_have_count(0)
    page = browse(world.handler, f"/saker/{claim}")
    page.get_by_role("link", name="Tildel oppgave").click()
    dialog = page.get_by_role("dialog", name="Tildel oppgave")
    dialog.get_by_label("Oppgave").select_option("first_aid")
    dialog.get_by_label("Kontor").select_option(world.other_office)
    dialog.get_by_role("button", name="Tildel").click()
    expect(page.get_by_text("Oppgaven er tildelt.")).to_be_visible()
    expect(other.get_by_role("heading", name="Oppgaver å rapportere på (1)")).to_be_visible()
    other.get_by_role("link", name="Førstehjelpsoppgave").click()
    other.get_by_role("button", name="Send").click()
    expect(other.locator("#text-problem")).to_be_visible()
    other.get_by_label("Rapport").fill("Vannet er stengt.")
    other.get_by_role("button", name="Send").click()
    expect(other.get_by_text("Rapporten er sendt.")).to_be_visible()


def test_the_same_form_sent_twice_has_one_effect(world: World, browse: Browse) -> None:
    claim = world.create().body["claim_id"]
    page = browse(world.handler, f"/saker/{claim}/oppgaver/ny")
    hidden = {name: page.locator(f"#form [name={name}]").input_value() for name in ("csrf", "request_id")}
    form: dict[str, str | float | bool] = {**hidden, "kind": "first_aid", "office": world.office}
    for _ in range(2):
        assert page.request.post(page.url, form=form).status == 200
    page.goto(f"/saker/{claim}")
    expect(page.get_by_role("heading", name="Førstehjelpsoppgave")).to_have_count(1)


def test_a_form_that_does_not_come_from_the_own_session_is_not_taken(world: World, browse: Browse) -> None:
    claim = world.create().body["claim_id"]
    page = browse(world.handler, f"/saker/{claim}/avbryt")
    for token in ("", "guessed"):
        assert page.request.post(page.url, form={"reason": "x", "csrf": token}).status == 403
    page.goto(f"/saker/{claim}")
    expect(page.get_by_role("region", name="Saken er midlertidig")).to_be_visible()
