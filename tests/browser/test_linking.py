"""*Tilknytning* and multimedia in a browser (domain rules 15–17)."""

import io
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from PIL import Image
from playwright.sync_api import FilePayload, Page, expect

from tests.browser.conftest import Browse
from tests.browser.test_claims_list import register
from tests.world import World, link, wait_until

pytestmark = pytest.mark.promise(
    "A temporary claim is made normal, linked, corrected or cancelled in a browser, and its history says so.",
    about="portal",
)


def picture(colour: str, kind: str = "PNG") -> bytes:
    """A picture of one colour."""
    file = io.BytesIO()
    Image.new("RGB", (64, 48), colour).save(file, kind)
    return file.getvalue()


def report(page: Page, claim: str, *files: FilePayload) -> None:
    """Report on the claim's task with files, as a person would."""
    page.goto(f"/saker/{claim}")
    page.get_by_role("link", name="Rapporter").click()
    page.get_by_label("Rapport", exact=True).fill("Her er bildene.")
    page.locator('input[type="file"][multiple]').set_input_files(list(files))
    expect(page.get_by_text("Lastet opp")).to_have_count(len(files))
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.get_by_text("Rapporten er sendt.")).to_be_visible()


def test_files_are_uploaded_several_at_once_and_seen_as_thumbnails(world: World, browse: Browse) -> None:
    claim = world.create(tasks=[{"kind": "first_aid"}]).body["claim_id"]
    insurer = browse(world.handler, f"/saker/{claim}")
    report(
        browse(world.plumber),
        claim,
        FilePayload(name="kjeller.png", mimeType="image/png", buffer=picture("blue")),
        FilePayload(name="stue.jpg", mimeType="image/jpeg", buffer=picture("red", "JPEG")),
        FilePayload(name="rapport.pdf", mimeType="application/pdf", buffer=b"%PDF-1.4\n%test\n"),
    )
    thumbnail = insurer.get_by_role("link", name="kjeller.png").locator("img")
    expect(thumbnail).to_be_visible()
    thumbnail.scroll_into_view_if_needed()
    loaded = "image => image.decode().then(() => image.naturalWidth)"
    assert thumbnail.evaluate(loaded) == 64
    expect(insurer.get_by_role("link", name="rapport.pdf")).to_be_visible()
    address = insurer.get_by_role("link", name="kjeller.png").get_attribute("href")
    assert address is not None
    assert insurer.request.get(address).body() == picture("blue")
    other = browse(world.other_plumber)
    assert other.request.get(address).status == 404
    assert other.request.get(f"{address}/miniatyr").status == 404


def test_a_file_that_is_not_what_it_says_is_told_so_and_the_rest_is_not_lost(world: World, browse: Browse) -> None:
    claim = world.create(tasks=[{"kind": "first_aid"}]).body["claim_id"]
    page = browse(world.plumber, f"/saker/{claim}")
    page.get_by_role("link", name="Rapporter").click()
    page.get_by_label("Rapport", exact=True).fill("Her er bildet.")
    wrong = FilePayload(name="bilde.png", mimeType="image/png", buffer=b"MZ this is no picture, whatever it says")
    page.locator('input[type="file"][multiple]').set_input_files(wrong)
    expect(page.get_by_text("Ble ikke lastet opp:")).to_be_visible()
    page.get_by_role("button", name="Send", exact=True).click()
    page.get_by_role("button", name="Send uten dem").click()
    expect(page.get_by_text("Rapporten er sendt.")).to_be_visible()
    expect(page.get_by_text("Her er bildet.")).to_be_visible()


def test_a_linked_claim_is_cancelled_and_its_content_is_in_the_other_with_history(world: World, browse: Browse) -> None:
    target = register(world, "F-2026-1")
    created = world.create(tasks=[{"kind": "first_aid"}])
    claim, number = created.body["claim_id"], created.body["claim_number"]
    file = FilePayload(name="kjeller.png", mimeType="image/png", buffer=picture("blue"))
    report(browse(world.plumber), claim, file)
    page = browse(world.handler, f"/saker/{claim}")
    page.get_by_role("link", name="Tilknytning").click()
    page.get_by_label("Skadenummer, navn, telefon eller adresse").fill("bjørn")
    page.get_by_role("button", name="Søk").click()
    page.get_by_role("link", name="F-2026-1").click()
    expect(page.locator("#copied")).to_contain_text("1 oppgave")
    expect(page.locator("#copied")).to_contain_text("1 fil")
    page.get_by_role("button", name="Tilknytt").click()
    banner = page.get_by_role("region", name="Saken er avbrutt")
    expect(banner).to_contain_text("Innholdet er tilknyttet F-2026-1")
    banner.get_by_role("link", name="F-2026-1").click()
    page.wait_for_url(f"**/saker/{target}")
    history = page.get_by_role("region", name="Historikk")
    expect(history).to_contain_text("Innhold importert fra avbrutt sak")
    expect(page.get_by_text("Her er bildene.")).to_be_visible()
    image = page.get_by_role("link", name="kjeller.png").locator("img")
    assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") == 64
    history.get_by_role("link", name=number).click()
    page.wait_for_url(f"**/saker/{claim}")
    partner = browse(world.plumber, f"/saker/{claim}")
    partner.get_by_role("region", name="Saken er avbrutt").get_by_role("link", name="F-2026-1").click()
    expect(partner.get_by_text("Her er bildene.")).to_be_visible()


def test_a_report_that_was_written_while_the_claim_was_linked_says_where_it_went(world: World, browse: Browse) -> None:
    target = register(world, "F-2026-4")
    claim = world.create(tasks=[{"kind": "first_aid"}]).body["claim_id"]
    page = browse(world.plumber, f"/saker/{claim}")
    page.get_by_role("link", name="Rapporter").click()
    page.get_by_label("Rapport", exact=True).fill("Vannet er stengt.")
    world.insurer.ask(link(claim, target))
    world.event(world.partner, "claim-linked", claim)
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.get_by_text("Rapporten er sendt.")).to_be_visible()
    status = page.get_by_role("status").filter(has_text="det du sendte, følger med dit")
    status.get_by_role("link", name="F-2026-4").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("F-2026-4")
    expect(page.get_by_text("Vannet er stengt.")).to_be_visible()


def test_who_may_not_see_the_other_claim_does_not_learn_its_number(world: World, browse: Browse) -> None:
    target = register(world, "F-2026-7")
    claim = world.create().body["claim_id"]
    page = browse(world.handler, f"/saker/{claim}/tilknytning/{target}")
    page.get_by_role("button", name="Tilknytt").click()
    expect(page.get_by_role("region", name="Saken er avbrutt")).to_contain_text("F-2026-7")
    partner = browse(world.plumber, f"/saker/{claim}")
    banner = partner.get_by_role("region", name="Saken er avbrutt")
    expect(banner).to_contain_text("en sak som du ikke har tilgang til")
    assert "F-2026-7" not in partner.content()
    assert partner.request.get(f"/saker/{target}").status == 404


def test_a_link_is_taken_back_and_the_claim_is_temporary_again(world: World, browse: Browse) -> None:
    target = register(world, "F-2026-2")
    claim = world.create(tasks=[{"kind": "first_aid"}]).body["claim_id"]
    page = browse(world.handler, f"/saker/{claim}/tilknytning/{target}")
    page.get_by_role("button", name="Tilknytt").click()
    page.get_by_role("link", name="Opphev tilknytningen").click()
    page.get_by_role("dialog").get_by_role("button", name="Opphev").click()
    expect(page.get_by_role("region", name="Saken er midlertidig")).to_be_visible()
    expect(page.get_by_role("region", name="Historikk")).to_contain_text("Tilknytningen opphevet")
    page.goto(f"/saker/{target}")
    expect(page.get_by_text("Ingen oppgaver.")).to_be_visible()


def test_a_link_is_offered_to_be_taken_back_only_for_as_many_days_as_the_insurer_has_set(
    world: World, browse: Browse
) -> None:
    world.set_portal(unlink_days=0)
    target, claim = register(world, "F-2026-3"), world.create().body["claim_id"]
    page = browse(world.handler, f"/saker/{claim}/tilknytning/{target}")
    page.get_by_role("button", name="Tilknytt").click()
    expect(page.get_by_role("region", name="Saken er avbrutt")).to_be_visible()
    offer = page.get_by_role("link", name="Opphev tilknytningen")
    wait_until(lambda: bool(page.reload()) and offer.count() == 0, what="the portal to know of the days")
    answer = page.goto(f"/saker/{claim}/opphev")
    assert answer is not None
    assert answer.status == 404
    world.set_portal(unlink_days=1)
    page.goto(f"/saker/{claim}")
    wait_until(lambda: bool(page.reload()) and offer.count() == 1, what="the portal to know of the days")


def test_a_budget_can_be_approved_on_a_linked_claim_too(world: World, browse: Browse) -> None:
    world.set_portal(inspection_needs_budget=True)
    target = register(world, "F-2026-4")
    claim = world.create(tasks=[{"kind": "inspection"}]).body["claim_id"]
    page = browse(world.handler, f"/saker/{claim}/tilknytning/{target}")
    page.get_by_role("button", name="Tilknytt").click()
    expect(page.get_by_role("region", name="Saken er avbrutt")).to_be_visible()
    page.get_by_role("link", name="Godkjenn budsjett").click()
    page.get_by_role("dialog").get_by_label("Beløp").fill("8000")
    page.get_by_role("dialog").get_by_role("button", name="Godkjenn").click()
    expect(page.get_by_text("Budsjett 8000 NOK")).to_be_visible()


def test_a_link_that_fails_leaves_the_claim_temporary_and_says_why(world: World, browse: Browse) -> None:
    target = register(world, "F-2026-3")
    claim = world.create(tasks=[{"kind": "first_aid"}]).body["claim_id"]
    file = FilePayload(name="kjeller.png", mimeType="image/png", buffer=picture("green"))
    report(browse(world.plumber), claim, file)
    _lose(world, picture("green"))
    page = browse(world.handler, f"/saker/{claim}/tilknytning/{target}")
    page.get_by_role("button", name="Tilknytt").click()
    banner = page.get_by_role("region", name="Saken er midlertidig")
    expect(banner).to_contain_text("Tilknytningen ble ikke fullført.")
    expect(banner.get_by_role("link", name="Tilknytning")).to_be_visible()
    expect(page.get_by_role("region", name="Historikk")).to_contain_text("Tilknytning mislyktes:")


@pytest.mark.parametrize("target", ["itself", "another insurer's"])
def test_only_a_claim_of_the_insurer_can_be_the_target(world: World, browse: Browse, target: str) -> None:
    claim = world.create().body["claim_id"]
    page = browse(world.handler)
    other = claim if target == "itself" else "00000000-0000-0000-0000-000000000000"
    answer = page.goto(f"/saker/{claim}/tilknytning/{other}")
    assert answer is not None
    if target == "itself":
        page.get_by_role("button", name="Tilknytt").click()
        expect(page.get_by_role("alert")).to_contain_text("Saken det skal tilknyttes til")
    else:
        assert answer.status == 404


def test_claims_that_look_alike_are_suggested_first_with_their_reasons(world: World, browse: Browse) -> None:
    world.register("F-2026-9")
    register(world, "F-2026-8", cause="fire")
    claim = world.create().body["claim_id"]
    world.event(world.insurer, "link-suggested", claim)
    page = browse(world.handler, f"/saker/{claim}/tilknytning")
    suggestions = page.get_by_role("region", name="Forslag")
    expect(suggestions).to_be_visible()
    suggestions.get_by_role("link", name="F-2026-9").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("F-2026-9?")


def test_a_task_of_a_normal_claim_offers_no_link(world: World, browse: Browse) -> None:
    claim = world.create().body["claim_id"]
    world.insurer.ask(world.conversion(claim, "N"))
    page = browse(world.handler)
    for path in ("normal", "tilknytning", "opphev"):
        answer = page.goto(f"/saker/{claim}/{path}")
        assert answer is not None
        assert answer.status == 404


def _lose(world: World, content: bytes) -> None:
    """Take a file away from the store, as a disk would."""
    folder = Path(unquote(urlsplit(world.connection.media or "").path))
    (found,) = (file for file in folder.rglob("*") if file.is_file() and file.read_bytes() == content)
    found.unlink()
