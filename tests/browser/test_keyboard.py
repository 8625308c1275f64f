"""Dialogs and forms with the keyboard: where they begin, what Enter and Escape do, where the focus goes."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Browse
from tests.browser.test_claims_list import register
from tests.browser.test_creating import fill
from tests.world import World, link

FIRST_FIELD = """dialog => {
    const fields = dialog.querySelectorAll("input:not([type=hidden]), select, textarea, form button");
    const first = Array.from(fields).find(field => field.tagName !== "BUTTON") || fields[0];
    return first === document.activeElement;
}"""


def test_every_dialog_begins_at_its_first_field_and_gives_the_focus_back(
    forms: dict[str, list[str]], world: World, browse: Browse
) -> None:
    linked, target = world.create().body["claim_id"], register(world, "F-2")
    world.insurer.ask(link(linked, target))
    world.event(world.insurer, "claim-linked", linked)
    claim = forms[world.handler][0].removesuffix("/normal")
    page = browse(world.handler)
    names = set()
    for path in (claim, f"/saker/{linked}", "/admin/kontorer"):
        page.goto(path)
        own = page.locator(f"#office-{world.office}") if path == "/admin/kontorer" else page.locator("a[data-dialog]")
        for opener in own.all():
            opener.focus()
            page.keyboard.press("Enter")
            dialog = page.get_by_role("dialog")
            expect(dialog).to_be_visible()
            names.add(dialog.get_by_role("heading").first.inner_text())
            assert dialog.evaluate(FIRST_FIELD), (path, page.evaluate("document.activeElement.outerHTML"))
            page.keyboard.press("Escape")
            expect(dialog).to_have_count(0)
            expect(opener).to_be_focused()
    assert names >= {
        "Normal",
        "Avbryt saken",
        "Tildel oppgave",
        "Godkjenn budsjett",
        "Opphev tilknytningen",
        "Partner, Bergen",
    }


@pytest.mark.parametrize("java_script", [True, False])
def test_a_line_for_a_task_comes_and_goes_and_enter_adds_the_claim(
    world: World, browse: Browse, java_script: bool
) -> None:
    page = browse(world.plumber, "/saker/ny", java_script_enabled=java_script)
    fill(page)
    page.get_by_label("Oppgave 1", exact=True).select_option("first_aid")
    for number in (2, 3):
        page.get_by_role("button", name="Ny oppgavelinje").click()
        expect(page.get_by_label(f"Oppgave {number}", exact=True)).to_be_focused()
    page.get_by_label("Oppgave 2", exact=True).select_option("first_aid")
    page.get_by_label("Oppgave 3", exact=True).select_option("inspection")
    page.get_by_role("button", name="Fjern oppgave 2").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Oppgave 3", exact=True)).to_have_count(0)
    expect(page.get_by_label("Oppgave 2", exact=True)).to_be_focused()
    expect(page.get_by_label("Oppgave 2", exact=True)).to_have_value("inspection")
    page.get_by_role("button", name="Fjern oppgave 2").click()
    expect(page.get_by_role("button", name="Ny oppgavelinje")).to_be_focused()
    page.get_by_role("button", name="Fjern oppgave 1").click()
    expect(page.get_by_label("Oppgave 1", exact=True)).to_have_count(0)
    page.get_by_role("button", name="Ny oppgavelinje").click()
    page.get_by_label("Oppgave 1", exact=True).select_option("inspection")
    page.get_by_label("Gateadresse").press("Enter")
    expect(page.get_by_text("Den midlertidige saken er opprettet.")).to_be_visible()
    expect(page.get_by_role("heading", name="Besiktigelsesoppgave")).to_have_count(1)
    expect(page.get_by_role("heading", name="Førstehjelpsoppgave")).to_have_count(0)


def test_enter_in_any_field_of_a_form_does_what_its_main_button_does(
    forms: dict[str, list[str]], browse: Browse
) -> None:
    default = """forms => forms.map(form => [
        Array.from(form.elements).find(field => field.type === "submit").textContent.trim(),
        Array.from(form.querySelectorAll("button:not([name])")).at(-1).textContent.trim(),
    ])"""
    for user, paths in forms.items():
        page = browse(user)
        for path in paths:
            page.goto(path)
            for pressed, main in page.locator("main form").evaluate_all(default):
                assert pressed == main, path
