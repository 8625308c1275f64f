"""The pages for everyone: what axe finds, all screens, keyboard only, without JavaScript, and how large they are."""

import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import FilePayload, Page, Response, expect

from operations.bus import NewRequest
from operations.stack import Stack
from tests.portal.conftest import Browse
from tests.portal.test_administration import publish_report
from tests.portal.test_claims_list import register
from tests.portal.test_linking import picture, report
from tests.world import World

AXE = Path(__file__).with_name("axe.js").read_text()
OF_COLOURS = ["color-contrast", "link-in-text-block"]
"""The rules of axe that colours can break."""
LARGEST_PAGE_BYTES = 150_000
ANNE = {"name": "Anne Berg", "phone": "+4791234567"}
SIZES = [(320, 640), (768, 1024), (1280, 900), (3840, 2160)]

AT_REST = """() => Promise.all(
    document.getAnimations()
        .filter(animation => animation.effect.getComputedTiming().iterations !== Infinity)
        .map(animation => animation.finished.catch(() => null))
).then(() => null)"""
"""Waits until nothing fades in any more: what is half transparent has too little contrast."""


@pytest.fixture
def addresses(world: World, other_world: World) -> dict[str, list[str]]:
    """Every page, by who sees it, with something on it; other tests look at what is there only for a moment."""
    world.set_portal(inspection_needs_budget=True, enhanced_function=True)
    other_world.permit(world.office, "always")  # so the partner chooses among insurers
    period = publish_report(world)
    target = register(world, "F-1")
    claim = world.create(tasks=[{"kind": "first_aid"}, {"kind": "inspection"}]).body
    cancelled = world.create().body["claim_id"]
    world.insurer.ask(NewRequest("cancel-claim", {"claim_id": cancelled, "reason": "Falsk alarm"}))
    id, (first_aid, inspection) = claim["claim_id"], claim["task_ids"]
    world.insurer.ask(NewRequest("amend-claim", {"claim_id": id, "policyholder": ANNE | {"name": "Anne Bergum"}}))
    linked = world.create().body["claim_id"]
    world.insurer.ask(NewRequest("link-claim", {"claim_id": linked, "target_claim_id": target}))
    world.event(world.insurer, "claim-linked", linked)
    return {
        world.handler: [
            "/",
            "/saker",
            "/saker?midlertidig=1",
            "/saker?tekst=finnes-ikke",
            f"/saker/{id}",
            f"/saker/{target}",
            f"/saker/{cancelled}",
            f"/saker/{linked}",
            f"/saker/{linked}/opphev",
            f"/saker/{id}/normal",
            f"/saker/{id}/rett",
            f"/saker/{id}/avbryt",
            f"/saker/{id}/oppgaver/ny",
            f"/saker/{id}/oppgaver/{inspection}/budsjett",
            f"/saker/{id}/tilknytning",
            f"/saker/{id}/tilknytning/{target}",
            "/admin/kontorer",
            f"/admin/kontorer/{world.office}",
            "/admin/selskap",
            "/admin/rapporter",
            f"/admin/rapporter/{period}",
            "/finnes-ikke",
        ],
        world.plumber: [
            "/",
            "/saker",
            "/saker/ny",
            f"/saker/ny?forsikringsselskap={world.insurer_id}",
            f"/saker/{id}",
            f"/saker/{id}/oppgaver/{first_aid}/rapport",
        ],
    }


@dataclass
class Loaded:
    """What a page loads, and its size in bytes as it is sent."""

    url: str
    size: int


def pages(addresses: dict[str, list[str]], browse: Browse, **options: Any) -> Iterator[tuple[str, Page, list[Loaded]]]:
    """Visit them all; tell what each loads."""
    for user, paths in addresses.items():
        page = browse(user, **options)
        loaded: list[Loaded] = []
        page.on("response", partial(_weigh, loaded))
        for path in paths:
            loaded.clear()
            page.goto(path)
            yield path, page, list(loaded)


def test_every_page_passes_axe_in_both_colours_fits_its_screen_and_is_small(
    addresses: dict[str, list[str]], browse: Browse
) -> None:
    found: dict[str, list[str]] = {}
    wide, elsewhere = [], []
    sizes = {}
    for path, page, loaded in pages(addresses, browse, color_scheme="light"):
        sizes[path] = sum(answer.size for answer in loaded)
        elsewhere += [answer.url for answer in loaded if not answer.url.startswith("http://127.0.0.1")]
        wide += [(path, width) for width in too_wide(page)]
        found[path] = violations(page)
        page.emulate_media(color_scheme="dark")
        found[f"{path} in the dark"] = violations(page, OF_COLOURS)
        page.emulate_media(color_scheme="light")
    page = browse(None, "/logg-inn")
    found["/logg-inn"] = violations(page)
    page.emulate_media(color_scheme="dark")
    found["/logg-inn in the dark"] = violations(page, OF_COLOURS)
    assert {path: violations for path, violations in found.items() if violations} == {}
    assert wide == []
    assert elsewhere == []
    assert {path: size for path, size in sizes.items() if size > LARGEST_PAGE_BYTES} == {}
    assert all(size > 10_000 for size in sizes.values())


def test_axe_would_find_something(browse: Browse) -> None:
    page = browse(None, "/logg-inn")
    page.locator("html").evaluate("html => html.removeAttribute('lang')")
    assert violations(page) != []


def test_a_form_with_errors_and_an_open_dialog_pass_axe_too(world: World, browse: Browse) -> None:
    page = browse(world.plumber, "/saker/ny")
    page.locator("form#skjema").evaluate("form => { form.noValidate = true; }")
    page.get_by_role("button", name="Legg til").click()
    expect(page.get_by_role("alert")).to_be_visible()
    assert violations(page) == []
    claim = world.create().body["claim_id"]
    page = browse(world.handler, f"/saker/{claim}")
    page.get_by_role("link", name="Normal").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert violations(page) == []


def test_a_claim_with_files_and_a_link_under_way_and_one_that_failed_pass_axe_too(
    stack: Stack, world: World, browse: Browse
) -> None:
    target = register(world, "F-1")
    claim = world.create(tasks=[{"kind": "first_aid"}]).body["claim_id"]
    file = FilePayload(name="kjeller.png", mimeType="image/png", buffer=picture("blue"))
    report(browse(world.plumber), claim, file)
    page = browse(world.handler, f"/saker/{claim}")
    expect(page.get_by_role("link", name="kjeller.png").locator("img")).to_be_visible()
    assert violations(page) == []
    (linking,) = stack.of("linking")
    linking.stop()
    try:
        page.goto(f"/saker/{claim}/tilknytning/{target}")
        page.get_by_role("button", name="Tilknytt").click()
        expect(page.get_by_role("progressbar", name="Tilknytning pågår")).to_be_visible()
        assert violations(page) == []
        world.insurer.ask(NewRequest("cancel-claim", {"claim_id": target, "reason": "Feil"}))
    finally:
        linking.start()
    expect(page.get_by_text("Tilknytningen ble ikke fullført.")).to_be_visible(timeout=30_000)
    assert violations(page) == []


def test_everything_can_be_read_without_javascript(addresses: dict[str, list[str]], browse: Browse) -> None:
    for path, page, _ in pages(addresses, browse, java_script_enabled=False):
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        if path.startswith("/saker/") and path.count("/") == 2 and "?" not in path and path != "/saker/ny":
            expect(page.get_by_role("region", name="Historikk")).to_be_visible()


def test_a_claim_is_handled_with_the_keyboard_alone(world: World, browse: Browse) -> None:
    world.create()
    page = browse(world.handler)
    _tab_to(page, "sak(er) trenger å være forbundet")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Saksliste")).to_be_visible()
    _tab_to(page, "Midlertidig 2")
    page.keyboard.press("Enter")
    expect(page.get_by_role("region", name="Saken er midlertidig")).to_be_visible()
    _tab_to(page, "Normal")
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Normal")
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("link", name="Normal")).to_be_focused()
    page.keyboard.press("Enter")
    number = dialog.get_by_label("Skadenummer")
    expect(number).to_be_visible()
    while not number.evaluate("field => field === document.activeElement"):
        page.keyboard.press("Tab")
    page.keyboard.type("K-1")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("K-1")


def test_a_user_logs_in_from_the_list_gets_where_they_wanted_and_logs_out(world: World, browse: Browse) -> None:
    page = browse(None, "/saker?status=normal")
    expect(page.get_by_role("heading", name="Logg inn")).to_be_visible()
    page.locator(f'button[value="{world.handler}"]').click()
    expect(page.get_by_role("heading", name="Saksliste")).to_be_visible()
    assert page.url.endswith("/saker?status=normal")
    page.get_by_role("button", name="Logg ut").click()
    expect(page.get_by_role("heading", name="Logg inn")).to_be_visible()
    page.goto("/saker")
    expect(page.get_by_role("heading", name="Logg inn")).to_be_visible()


def test_the_first_stop_of_the_keyboard_skips_to_the_content(world: World, browse: Browse) -> None:
    page = browse(world.handler, "/saker")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Hopp til innholdet")).to_be_focused()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "innhold"


def test_the_pages_are_in_english_for_those_who_choose_it(world: World, browse: Browse) -> None:
    page = browse(world.handler)
    page.get_by_role("button", name="English").click()
    expect(page.get_by_role("heading", name="Dashboard")).to_be_visible()
    assert page.locator("html").get_attribute("lang") == "en"
    page.get_by_role("button", name="Norsk bokmål").click()
    expect(page.get_by_role("heading", name="Instrumentbord")).to_be_visible()


def violations(page: Page, rules: Sequence[str] | None = None) -> list[str]:
    """What axe finds against WCAG 2.2 AA and good practice, or against some rules of it."""
    page.evaluate(AT_REST)
    page.evaluate(AXE)
    result = page.evaluate(
        "rules => axe.run(document, {resultTypes: ['violations'], ...(rules ? {runOnly: rules} : {})})", rules
    )
    return [f"{v['id']}: {node['html'][:200]}" for v in result["violations"] for node in v["nodes"]]


def too_wide(page: Page) -> list[int]:
    """On screens of which widths one would have to scroll sideways."""
    usual = page.viewport_size
    wide = []
    for width, height in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        if page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
            wide.append(width)
    assert usual is not None
    page.set_viewport_size(usual)
    return wide


def _weigh(loaded: list[Loaded], answer: Response) -> None:
    if "/direkte" not in answer.url:
        size = int(answer.headers.get("content-length") or len(gzip.compress(answer.body())))
        loaded.append(Loaded(answer.url, size))


def _tab_to(page: Page, text: str) -> None:
    """Press Tab until what has the text has the focus."""
    for _ in range(100):
        page.keyboard.press("Tab")
        if text in (page.evaluate("document.activeElement.textContent") or ""):
            return
    raise AssertionError(f"the keyboard does not get to {text}")
