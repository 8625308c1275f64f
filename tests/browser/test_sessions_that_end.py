"""The session ends while somebody writes: what was written is there again after the log-in, and for nobody else."""

import pytest
from playwright.sync_api import FilePayload, Page, expect

from operations.bus import NewRequest
from tests.browser.conftest import Browse, log_in
from tests.browser.test_linking import picture
from tests.world import World

pytestmark = pytest.mark.promise("What was typed survives the end of a session, for its user alone.", about="portal")

TWO_LINES = "Vann i kjelleren.\n\nParketten er våt."
FILLED_IN = """form => Array.from(form.elements)
    .filter(field => field.name && !["hidden", "submit", "file"].includes(field.type))
    .map(field => [field.name, field.type === "checkbox" ? field.checked : field.value])"""
FILL_IN = """form => {
    form.noValidate = true;
    for (const [n, field] of Array.from(form.elements).entries()) {
        if (field.type === "checkbox") field.checked = !field.checked;
        else if (field.tagName === "SELECT") field.selectedIndex = field.options.length - 1;
        else if (field.tagName === "TEXTAREA") field.value = "Første linje\\n\\nandre linje " + n;
        else if (field.type === "date") field.value = "2026-11-0" + (1 + n % 9);
        else if (field.matches("input:not([type=hidden], [type=file])"))
            field.value = (field.maxLength > 0 ? "" : "skrevet ") + n;
    }
}"""


def test_what_was_typed_when_the_session_ended_is_there_again_after_the_log_in(
    forms: dict[str, list[str]], browse: Browse
) -> None:
    for user, paths in forms.items():
        page = browse(user, java_script_enabled=False)
        for path in paths:
            page.goto(path)
            for action in page.locator("main form").evaluate_all("forms => forms.map(form => form.action)"):
                page.goto(path)
                form = page.locator("main form").nth(_number_of(page, action))
                form.evaluate(FILL_IN)
                written_there = form.evaluate(FILLED_IN)
                page.context.clear_cookies()
                form.locator("button:not([type]):not([name]):not([aria-hidden])").last.click()
                expect(page.get_by_role("heading", name="Logg inn")).to_be_visible()
                page.locator(f'button[value="{user}"]').click()
                expect(page.get_by_text("Du var logget ut. Det du skrev, er her fortsatt")).to_be_visible()
                again = page.locator("main form").nth(_number_of(page, action))
                assert again.evaluate(FILLED_IN) == written_there, action


def _number_of(page: Page, action: str) -> int:
    actions = page.locator("main form").evaluate_all("forms => forms.map(form => form.action)")
    assert action in actions, page.content()
    return int(actions.index(action))


def test_another_line_for_a_task_and_the_files_of_a_report_survive_a_log_in_too(world: World, browse: Browse) -> None:
    created = world.create(tasks=[{"kind": "first_aid"}]).body
    page = browse(world.plumber, "/saker/ny")
    page.get_by_label("Beskrivelse").fill(TWO_LINES)
    page.context.clear_cookies()
    page.get_by_role("button", name="Ny oppgavelinje").click()
    expect(page.get_by_role("heading", name="Logg inn")).to_be_visible()
    page.locator(f'button[value="{world.plumber}"]').click()
    expect(page.get_by_label("Beskrivelse")).to_have_value(TWO_LINES)
    page.goto(f"/saker/{created['claim_id']}/oppgaver/{created['task_ids'][0]}/rapport")
    page.get_by_label("Rapport", exact=True).fill(TWO_LINES)
    file = FilePayload(name="kjeller.png", mimeType="image/png", buffer=picture("blue"))
    page.locator('input[type="file"][multiple]').set_input_files(file)
    expect(page.get_by_text("Lastet opp")).to_be_visible()
    page.context.clear_cookies()
    late = FilePayload(name="stue.png", mimeType="image/png", buffer=picture("red"))
    page.locator('input[type="file"][multiple]').set_input_files(late)
    expect(page.get_by_text("Du er logget ut. Logg inn i en ny fane, og prøv igjen her.")).to_be_visible()
    page.get_by_role("button", name="Send", exact=True).click()
    page.get_by_role("button", name="Send uten dem").click()
    page.locator(f'button[value="{world.plumber}"]').click()
    expect(page.get_by_label("Rapport", exact=True)).to_have_value(TWO_LINES)
    expect(page.get_by_role("listitem").filter(has_text="kjeller.png")).to_contain_text("Lastet opp")
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.get_by_text("Rapporten er sendt.")).to_be_visible()
    expect(page.get_by_role("link", name="kjeller.png")).to_be_visible()


def test_who_logs_out_and_in_again_in_another_tab_goes_on_writing(world: World, browse: Browse) -> None:
    claim = world.create().body["claim_id"]
    page = browse(world.handler, f"/saker/{claim}/avbryt")
    page.get_by_label("Begrunnelse").fill(TWO_LINES)
    tab = page.context.new_page()
    tab.goto("/")
    tab.get_by_role("button", name="Logg ut").click()
    expect(tab.get_by_role("heading", name="Logg inn")).to_be_visible()
    log_in(page.context, world.handler)
    page.get_by_role("button", name="Avbryt saken").click()
    expect(page.get_by_role("region", name="Saken er avbrutt")).to_contain_text("Parketten er våt.")


def test_nobody_else_gets_what_a_user_had_typed(world: World, browse: Browse) -> None:
    claim = world.create().body["claim_id"]
    page = browse(world.handler, f"/saker/{claim}/avbryt")
    page.get_by_label("Begrunnelse").fill("Hemmelig")
    page.context.clear_cookies()
    page.get_by_role("button", name="Avbryt saken").click()
    expect(page.get_by_role("heading", name="Logg inn")).to_be_visible()
    assert "Hemmelig" not in page.content()
    page.locator(f'button[value="{world.adjuster}"]').click()
    expect(page.get_by_role("heading", name="Fant ikke siden")).to_be_visible()
    assert "Hemmelig" not in page.content()
    page.go_back()
    writing = browse(world.handler, f"/saker/{claim}/avbryt")
    token = writing.locator("#form [name=csrf]").input_value()
    other = browse(world.adjuster)
    answer = other.request.post(f"/saker/{claim}/avbryt", form={"csrf": token, "reason": "Hemmelig"})
    assert answer.status == 403
    for guessed in ("guessed", ""):
        page.context.clear_cookies()
        form: dict[str, str | float | bool] = {"csrf": guessed, "reason": "Hemmelig"}
        answer = page.request.post(f"/saker/{claim}/avbryt", form=form, max_redirects=0)
        assert answer.headers["location"] == "/logg-inn"


def test_what_is_half_written_stays_on_the_page_when_the_session_ends_and_the_claim_changes(
    world: World, browse: Browse
) -> None:
    claim = world.create().body["claim_id"]
    page, reader = browse(world.handler, f"/saker/{claim}"), browse(world.adjuster, f"/saker/{claim}")
    page.get_by_role("link", name="Avbryt saken").click()
    page.get_by_label("Begrunnelse").fill(TWO_LINES)
    for each in (page, reader):
        each.context.clear_cookies()
    with page.expect_response(lambda answer: answer.status == 401):
        world.partner.ask(NewRequest("assign-task", {"claim_id": claim, "kind": "first_aid"}))
    expect(reader.get_by_role("heading", name="Logg inn")).to_be_visible()  # nothing was being written there
    expect(page.get_by_label("Begrunnelse")).to_have_value(TWO_LINES)
