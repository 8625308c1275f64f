"""What the manual says, step by step in a browser, as somebody follows it who has only its sentences."""

import re

from playwright.sync_api import Locator, Page, expect

from operations.bus import NewRequest
from operations.stack import Stack
from tests.browser.conftest import Browse
from tests.browser.test_claims_list import numbers, register
from tests.browser.test_creating import NEW, fill
from tests.world import World, link

PERMISSION = "Har tillatelse til å opprette midlertidige saker"


def test_the_insurer_lets_an_office_create(world: World, browse: Browse) -> None:
    page = browse(world.handler)
    # Selskapets admin → Kontorer → the office: a pop-up whose first category is Innstillinger.
    page.get_by_role("link", name="Selskapets admin").click()
    page.get_by_role("link", name="Kontorer").click()
    page.locator(f"#office-{world.other_office}").click()
    pop_up = page.get_by_role("dialog")
    expect(pop_up.get_by_label(PERMISSION)).to_be_visible()
    assert pop_up.get_by_role("group").all_text_contents()[0].strip().startswith("Innstillinger")
    permission = pop_up.get_by_role("group", name="Innstillinger").get_by_label(PERMISSION)
    # Har tillatelse til å opprette midlertidige saker: Aldri / Utenfor normal arbeidstid / Alltid, Lagre.
    assert permission.locator("option").all_text_contents() == ["Aldri", "Utenfor normal arbeidstid", "Alltid"]
    permission.select_option(label="Alltid")
    pop_up.get_by_role("button", name="Lagre", exact=True).click()
    expect(page.get_by_text("Lagret.")).to_be_visible()
    # Selskapets admin → Selskap → Kontortid, Lagre.
    page.get_by_role("link", name="Selskap", exact=True).click()
    hours = page.get_by_role("region", name="Kontortid")
    hours.get_by_label("Mandag, åpner").fill("09:00")
    hours.get_by_role("button", name="Lagre", exact=True).click()
    expect(page.get_by_text("Lagret.")).to_be_visible()
    expect(hours.get_by_label("Mandag, åpner")).to_have_value("09:00")
    # The office's user has + Ny midlertidig sak.
    expect(browse(world.other_plumber).get_by_role("link", name=NEW)).to_be_visible()


def test_a_partner_creates_a_claim_and_the_insurer_makes_it_a_normal_one(world: World, browse: Browse) -> None:
    world.set_portal(enhanced_function=True)
    world.permit(world.office, "always", may_assign_to_others=True, may_define_claim_number=True)
    partner = browse(world.plumber)
    partner.get_by_role("link", name=NEW).click()
    # Mandatory fields are marked with *: insurer, office, incident date, cause, address, policyholder's name and phone.
    for name in ("Forsikringsselskap", "Kontor"):
        expect(partner.locator("dt", has_text=name)).to_contain_text("*")
    for name in ("Skadedato", "Årsak", "Gateadresse", "Postnummer", "Poststed", "Navn", "Telefon"):
        expect(partner.locator("label", has_text=re.compile(rf"^\s*{name}"))).to_contain_text("*")
    optional = ("Skadenummer", "Polisenummer", "Beskrivelse", "E-post", "Egen referanse", "Tildel saken til kontor")
    for name in optional:
        expect(partner.locator("label", has_text=name)).not_to_contain_text("*")
    fill(partner)
    partner.get_by_label("Oppgave 1", exact=True).select_option("first_aid")
    # «Når du er klar, trykker du på Legg til for å legge til saken»: it is the form's last button.
    buttons = partner.locator("main form").get_by_role("button").all_text_contents()
    assert buttons[-1].strip() == "Legg til"
    assert [text.strip() for text in buttons].count("Legg til") == 1
    partner.get_by_role("button", name="Legg til").click()
    expect(partner.get_by_role("heading", level=1)).to_contain_text("Midlertidig")
    # The insurer's dashboard and list say X sak(er) trenger å være forbundet; pressing it adds the filter.
    insurer = browse(world.handler)
    expect(insurer.get_by_role("link", name="1 sak(er) trenger å være forbundet")).to_be_visible()
    register(world, "F-1")
    insurer.goto("/saker?arsak=water")
    insurer.get_by_role("link", name="1 sak(er) trenger å være forbundet").click()
    expect(insurer.get_by_label("Midlertidig sak")).to_be_checked()
    expect(insurer.get_by_label("Årsak")).to_have_value("water")
    (number,) = numbers(insurer)
    insurer.get_by_role("link", name=number).click()
    # A yellow banner with Normal and Tilknytning; Normal asks for a claim number and a claims handler, Lagre.
    banner = insurer.get_by_role("region", name="Saken er midlertidig")
    expect(banner.get_by_role("link", name="Tilknytning")).to_be_visible()
    banner.get_by_role("link", name="Normal").click()
    pop_up = insurer.get_by_role("dialog", name="Normal")
    pop_up.get_by_label("Skadenummer").fill("2026-1")
    pop_up.get_by_label("Saksbehandler").select_option(world.adjuster)
    pop_up.get_by_role("button", name="Lagre").click()
    expect(insurer.get_by_role("heading", level=1)).to_have_text("2026-1")
    expect(insurer.get_by_role("region", name="Historikk")).to_contain_text("Gjort til normal sak 2026-1")


def test_the_banner_tells_every_action_point_to_whose_it_is(stack: Stack, world: World, browse: Browse) -> None:
    world.set_portal(inspection_needs_budget=True)
    target = register(world, "F-1")
    claim = world.create(tasks=[{"kind": "first_aid"}, {"kind": "inspection"}]).body["claim_id"]
    insurer = banner(browse(world.handler, f"/saker/{claim}"))
    partner = banner(browse(world.plumber, f"/saker/{claim}"))
    budget = "Besiktigelsesoppgave, Partner, Bergen: budsjettet skal godkjennes"
    expect(insurer.get_by_role("link")).to_have_text(["Normal", "Tilknytning", budget])
    expect(partner.get_by_role("listitem")).to_have_text(
        [
            "Førstehjelpsoppgave, Partner, Bergen: rapport skal sendes",
            "Besiktigelsesoppgave, Partner, Bergen: Insurer skal godkjenne budsjettet først",
        ]
    )
    expect(partner).to_contain_text("Insurer behandler den videre.")
    # A link that is under way, then one that failed.
    (linking,) = stack.of("linking")
    linking.stop()
    try:
        world.insurer.ask(link(claim, target))
        expect(insurer.get_by_role("progressbar")).to_be_visible()
        expect(insurer.get_by_role("link")).to_have_text(["F-1", budget])
        world.insurer.ask(NewRequest("cancel-claim", {"claim_id": target, "reason": "Feil"}))
    finally:
        linking.start()
    expect(insurer).to_contain_text("Tilknytningen ble ikke fullført.")
    expect(partner).to_contain_text("Tilknytningen ble ikke fullført.")
    # What was waited for goes when it is done.
    insurer.get_by_role("link", name=budget).click()
    pop_up = insurer.page.get_by_role("dialog", name="Godkjenn budsjett")
    pop_up.get_by_label("Beløp").fill("12 500")
    pop_up.get_by_role("button", name="Godkjenn").click()
    expect(insurer.get_by_role("link")).to_have_text(["Normal", "Tilknytning"])
    expect(partner.get_by_role("listitem").last).to_have_text(
        "Besiktigelsesoppgave, Partner, Bergen: rapport skal sendes"
    )


def test_the_banner_tells_the_insurer_that_a_claim_looks_alike(world: World, browse: Browse) -> None:
    world.register("F-2")
    claim = world.create().body["claim_id"]
    world.event(world.insurer, "link-suggested", claim)
    expect(banner(browse(world.handler, f"/saker/{claim}"))).to_contain_text("1 sak ligner på den.")
    expect(banner(browse(world.plumber, f"/saker/{claim}"))).not_to_contain_text("ligner")


def banner(page: Page) -> Locator:
    """The yellow banner of a temporary claim."""
    return page.get_by_role("region", name="Saken er midlertidig")
