"""The pages for everyone: what axe finds, all screens, keyboard only, without JavaScript, and how large they are."""

import gzip
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from html.parser import HTMLParser
from itertools import product
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import FilePayload, Page, Response, expect
from starlette.routing import Route

from operations.bus import NewRequest
from operations.stack import Stack
from services.portal.pages import routes
from services.portal.settings import WebSettings
from tests.browser.conftest import Browse
from tests.browser.test_administration import publish_report
from tests.browser.test_claims_list import register
from tests.browser.test_linking import picture, report
from tests.builders.content import POLICYHOLDER
from tests.world import World, link

pytestmark = pytest.mark.promise(
    "axe finds nothing on any page; pages fit every screen from 320 px on, are handled with the keyboard "
    "alone, read without JavaScript, and load at most 150 kB.",
    about="portal",
)

AXE = Path(__file__).with_name("axe.js").read_text()
SCHEMES: dict[Literal["light", "dark"], list[str] | None] = {
    "light": None,
    "dark": ["color-contrast", "link-in-text-block"],
}
"""The rules of axe to hold a page against in each scheme: all of them, and those that colours can break."""
RUN_AXE = """([part, rules]) => axe.run(part, {
    resultTypes: ['violations'], ...(rules ? {runOnly: rules} : {})
}).then(found => found.violations)"""
"""All that axe passes, sent as well, would take as long to read here as it took to find."""
ROUTES = [Route(each.path, each.page, methods=each.methods) for each in routes.addresses(WebSettings())]
STREAMS = {"/direkte"}
"""What never ends, and is no page."""
NOTHING = "00000000-0000-0000-0000-000000000000"
TELLING = {"class", "role", "type", "lang", "style", "width", "height"}
"""The attributes whose value makes a difference to what an element is, and to how it looks."""
WITHOUT_END = {"area", "base", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"}
LARGEST_PAGE_BYTES = 150_000
SIZES = [(320, 640), (768, 1024), (1280, 900), (3840, 2160)]

AT_REST = """() => Promise.all(
    document.getAnimations()
        .filter(animation => animation.effect.getComputedTiming().iterations !== Infinity)
        .map(animation => animation.finished.catch(() => null))
).then(() => null)"""
"""Waits until nothing fades in any more: what is half transparent has too little contrast."""


@dataclass(frozen=True)
class Site:
    """Every page with something on it, and everybody who can look."""

    people: dict[str, str | None]
    """Users, by what kind of user they are."""
    addresses: list[str]


@pytest.fixture
def site(world: World, other_world: World) -> Site:
    """What the table of routes has, with a claim of every kind; other tests look at what is there only for a moment."""
    world.set_portal(inspection_needs_budget=True, enhanced_function=True)
    other_world.permit(world.office, "always")  # so the partner chooses among insurers
    period = publish_report(world)
    target = register(world, "F-1")
    tasks = [{"kind": "first_aid"}, {"kind": "inspection"}]
    claim = world.create(assigned_office=world.office, tasks=tasks).body
    cancelled = world.create().body["claim_id"]
    world.insurer.ask(NewRequest("cancel-claim", {"claim_id": cancelled, "reason": "Falsk alarm"}))
    id = claim["claim_id"]
    world.insurer.ask(
        NewRequest("amend-claim", {"claim_id": id, "policyholder": POLICYHOLDER | {"name": "Anne Bergum"}})
    )
    request = NewRequest("assign-task", {"claim_id": id, "kind": "first_aid", "office": world.other_office})
    (assignment,) = world.insurer.ask(request)
    linked = world.create().body["claim_id"]
    world.insurer.ask(link(linked, target))
    world.event(world.insurer, "claim-linked", linked)
    people = {
        "an insurer's user of level 6": world.handler,
        "an insurer's user of level 5": world.adjuster,
        "a partner's user": world.plumber,
        "another partner's user, who has a task": world.other_plumber,
        "another insurer's user": other_world.handler,
        "nobody": None,
    }
    values = {
        "claim": [id, target, cancelled, linked],
        "task": [*claim["task_ids"], *assignment.body["task_ids"]],
        "target": [target],
        "office": [world.office],
        "period": [period],
        "media": [NOTHING],
        "request_id": ["none"],
        "id": ["none"],  # a form that was kept is the form's own page
    }
    more = [
        "/saker?midlertidig=1",
        "/saker?tekst=finnes-ikke",
        f"/saker/ny?forsikringsselskap={world.insurer_id}",
        f"/saker/{id}/tilknytning?tekst=finnes-ikke",
        "/finnes-ikke",
    ]
    return Site(people, [*addresses(values), *more])


def addresses(values: dict[str, list[str]]) -> list[str]:
    """Fill each route that can be looked at with each value; one with a parameter that has none here fails."""
    found = []
    for route in ROUTES:
        if "GET" in (route.methods or ()) and route.path not in STREAMS:
            for chosen in product(*(values[name] for name in route.param_convertors)):
                filled = dict(zip(route.param_convertors, chosen, strict=True))
                found.append(str(route.url_path_for(route.name, **filled)))
    return list(dict.fromkeys(found))


@dataclass
class Loaded:
    """What a page loads, and its size in bytes as it is sent."""

    url: str
    size: int


Element = tuple[tuple[str, ...], ...]
"""An element and those around it, from the outermost: each its name and its attributes, and whether it has text."""


class Elements(HTMLParser):
    """Counts the different elements of a page, whatever is written in them."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[Element] = Counter()
        self._around: list[tuple[str, ...]] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = (f"{name}={value if name in TELLING else bool(value)}" for name, value in attributes)
        element = (tag, *given)
        self.found[*self._around, element] += 1
        if tag not in WITHOUT_END:
            self._around.append(element)

    def handle_endtag(self, tag: str) -> None:
        while self._around and self._around.pop()[0] != tag:
            pass

    def handle_data(self, text: str) -> None:
        if text.strip():
            self.found[*self._around, ("text",)] += 1


def elements_of(html: str) -> frozenset[tuple[Element, bool]]:
    """The elements that a page has, and of which it has several: pages with the same differ in words and lengths."""
    elements = Elements()
    elements.feed(html)
    return frozenset((element, count > 1) for element, count in elements.found.items())


def pages(site: Site, browse: Browse, **options: Any) -> Iterator[tuple[str, str, Page, list[Loaded]]]:
    """Visit all pages as everybody; return what each loads. Pages that are made of the same elements are one.

    Of each user there is one at least.
    """
    seen: set[frozenset[tuple[Element, bool]]] = set()
    for who, user in site.people.items():
        page = browse(user, "/static/icon.svg", **options)
        is_first = True
        for address in site.addresses:
            answer = page.request.get(address)
            is_page = "text/html" in answer.headers.get("content-type", "") and "<!doctype" in answer.text()
            elsewhere = not answer.url.endswith(address)  # sent on to a page that has its own address
            elements = elements_of(answer.text()) if is_page else frozenset()
            if not is_page or elsewhere or (elements in seen and not is_first):
                continue
            seen.add(elements)
            is_first = False
            loaded: list[Loaded] = []
            weigh = partial(_weigh, loaded)
            page.on("response", weigh)
            page.goto(address)
            page.remove_listener("response", weigh)
            yield who, address, page, loaded


def test_every_page_passes_axe_for_everybody_in_both_colours_fits_its_screen_and_is_small(
    site: Site, browse: Browse
) -> None:
    found: dict[tuple[str, ...], list[str]] = {}
    wide, elsewhere = [], []
    sizes = {}
    for who, address, page, loaded in pages(site, browse):
        sizes[who, address] = sum(answer.size for answer in loaded)
        elsewhere += [answer.url for answer in loaded if not answer.url.startswith("http://127.0.0.1")]
        if address not in {seen for _, seen, *_ in found}:
            wide += [(who, address, width) for width in too_wide(page)]
        add(found, findings(page), who, address)
        for dialog, name in dialogs(page):
            add(found, findings(page, dialog), who, address, name)
            page.keyboard.press("Escape")
            expect(page.get_by_role("dialog")).to_have_count(0)
    assert {place: violations for place, violations in found.items() if violations} == {}
    assert wide == []
    assert elsewhere == []
    assert {place: size for place, size in sizes.items() if size > LARGEST_PAGE_BYTES} == {}
    assert all(size > 10_000 for size in sizes.values())
    assert {who for who, *_ in found} == set(site.people)


def add(found: dict[tuple[str, ...], list[str]], new: dict[str, list[str]], *place: str) -> None:
    """Keep what was found at a place; nothing that was found before is written over."""
    for scheme, violations in new.items():
        assert (*place, scheme) not in found
        found[*place, scheme] = violations


def dialogs(page: Page) -> Iterator[tuple[str, str]]:
    """Open each dialog of a page, one of each kind."""
    links = page.locator("a[data-dialog]")
    kinds: dict[str, int] = {}
    for n in range(links.count()):
        path = links.nth(n).get_attribute("href") or ""
        kinds.setdefault(next(route.path for route in ROUTES if _is_of(route, path)), n)
    for kind, n in kinds.items():
        links.nth(n).click()
        expect(page.get_by_role("dialog")).to_be_visible()
        yield "dialog[open]", f"the dialog {kind}"


def _is_of(route: Route, address: str) -> bool:
    return route.path_regex.match(address.partition("?")[0]) is not None and "GET" in (route.methods or ())


def test_axe_would_find_something(browse: Browse) -> None:
    page = browse(None, "/logg-inn")
    page.locator("html").evaluate("html => html.removeAttribute('lang')")
    assert violations(page) != []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_colour_that_is_wrong_in_one_scheme_is_found_in_that_one_alone(browse: Browse, scheme: str) -> None:
    page = browse(None, "/static/icon.svg", color_scheme=scheme)  # with options, so that nobody else has these styles
    wrong = f"@media (prefers-color-scheme: {scheme}) {{ h1 {{ color: #777; background: #888; }} }}"
    page.route("**/portal.css*", lambda r: r.fulfill(response=(css := r.fetch()), body=css.text() + wrong))
    page.goto("/logg-inn")
    found = findings(page)
    assert found.pop(scheme)[0].startswith("color-contrast: <h1")
    assert list(found.values()) == [[]]


def test_a_form_with_errors_and_an_open_dialog_pass_axe_too(world: World, browse: Browse) -> None:
    page = browse(world.plumber, "/saker/ny")
    page.locator("form#form").evaluate("form => { form.noValidate = true; }")
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
    expect(page.get_by_text("Tilknytningen ble ikke fullført.")).to_be_visible()
    assert violations(page) == []


def test_everything_can_be_read_without_javascript(world: World, site: Site, browse: Browse) -> None:
    some = replace(site, people={"an insurer's user": world.handler, "a partner's user": world.plumber})
    for _, path, page, _ in pages(some, browse, java_script_enabled=False):
        heading = page.get_by_role("heading", level=1)
        expect(heading).to_be_visible()
        is_claim = path.startswith("/saker/") and path.count("/") == 2 and not path.startswith("/saker/ny")
        if is_claim and heading.text_content() != "Fant ikke siden":
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


def violations(page: Page) -> list[str]:
    """What axe finds on a page in both schemes."""
    return [f"{scheme}: {found}" for scheme, all_found in findings(page).items() for found in all_found]


def findings(page: Page, part: str = "html") -> dict[str, list[str]]:
    """What axe finds in a part of a page, by colour scheme.

    In the light one against WCAG 2.2 AA and good practice, in the dark one against what colours can break.
    """
    found: dict[str, list[str]] = {}
    for scheme, rules in SCHEMES.items():
        page.emulate_media(color_scheme=scheme)
        page.evaluate(AT_REST)
        if not page.evaluate("'axe' in window"):
            page.evaluate(AXE)
        broken = page.evaluate(RUN_AXE, [part, rules])
        found[scheme] = [f"{rule['id']}: {node['html'][:200]}" for rule in broken for node in rule["nodes"]]
    page.emulate_media(color_scheme="light")
    return found


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
