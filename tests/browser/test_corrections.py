"""Correcting and setting: only what was changed is sent, and what others changed meanwhile is shown and asked about."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl
from uuid import uuid4

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from playwright.sync_api import Browser, Route, expect
from pydantic import ValidationError

from services.portal.claim_view import ClaimView, apply
from services.portal.editing import SHOWN, Unchanged, pack
from services.portal.forms import typed
from services.portal.pages.handling import correction, written
from services.portal.rendering import _environment
from shared.contract.requests import CreateTemporaryClaim
from tests.browser.conftest import Browse
from tests.browser.test_for_everyone import violations
from tests.builders.events import created
from tests.world import World, wait_until

pytestmark = pytest.mark.promise(
    "A form sends only what its user changed, and asks where somebody else changed something.", about="portal"
)

NASTY = [
    "\n",
    "\r",
    "\r\n",
    "\t",
    "\x0b",
    "\x0c",
    "\x1c",
    "\x7f",
    "\x85",
    "\xa0",
    "\u2028",
    "\u202e",
    "\ufeff",
    "\ufffd",
]
NASTY += [
    "a\u030a",
    "å",
    "🌊",
    "👩‍👩‍👧",
    '"',
    "'",
    "<b>",
    "&amp;",
    "&#13;",
    "</textarea>",
    "{{ 1 }}",
    "%0A",
    "+",
    "\\n",
    "  ",
]
TEXTS = st.lists(st.sampled_from(NASTY) | st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


def a_claim(text: str) -> ClaimView:
    """A claim that has the text in each of its fields that take one."""
    view = apply(None, created(uuid4()))
    request = CreateTemporaryClaim.model_validate(
        {
            "insurer": "fjord",
            "office": "bergen",
            "incident": {
                "date": view.incident.date,
                "cause": view.incident.cause,
                "address": {"street": text, "postal_code": text, "city": text},
                "description": text,
            },
            "policyholder": {"name": text, "phone": "+4791234567", "email": "navn@eksempel.no"},
            "policy_number": text,
            "partner_reference": text,
        }
    )
    parts = ("incident", "policyholder", "policy_number", "partner_reference")
    return view.model_copy(update={part: getattr(request, part) for part in parts})


@pytest.fixture(scope="module")
def sent(browser: Browser) -> Iterator[Any]:
    """Show the form of a claim in a real browser, do something there, and return what it sends."""
    context = browser.new_context()
    page = context.new_page()
    page_of: dict[str, str] = {}
    bodies: list[bytes] = []

    def answer(route: Route) -> None:
        if route.request.method == "POST":
            bodies.append(route.request.post_data_buffer or b"")
        route.fulfill(content_type="text/html; charset=utf-8", body=page_of["html"])

    page.route("http://portal.test/**", answer)
    template = _environment("nb").from_string(
        """<!doctype html><form method="post">{% import "forms.html" as forms with context %}
        {{ forms.shown(values) }}{{ forms.claim_fields(values, {}) }}<button>Lagre</button></form>"""
    )

    def send(claim: ClaimView, do: Any = None) -> dict[str, str]:
        before = written(claim)

        class Viewer:
            is_insurer = True

        options = {"translated_options": lambda choices: list(choices.items()), "viewer": Viewer}
        page_of["html"] = template.render(values=before | {SHOWN: pack(before)}, **options)
        page.goto("http://portal.test/rett")
        if do is not None:
            do(page)
        page.locator("form").evaluate("form => { form.noValidate = true; }")
        page.get_by_role("button", name="Lagre").click()
        return typed(parse_qsl(bodies.pop().decode(), keep_blank_values=True))

    yield send
    context.close()


@settings(max_examples=20, deadline=None)
@example(parts=[part for each in NASTY for part in (each, "å")])
@given(parts=TEXTS)
def test_any_text_that_a_field_can_hold_survives_a_browser_byte_for_byte(sent: Any, parts: list[str]) -> None:
    try:
        claim = a_claim("".join(parts))
    except ValidationError:
        assume(False)
    untouched = sent(claim)
    with pytest.raises(Unchanged):
        correction(claim, untouched)
    with pytest.raises(Unchanged):  # also without what the form carried, so that nothing hides behind it
        correction(claim, {name: text for name, text in untouched.items() if name != SHOWN})
    request = correction(claim, untouched | {"policyholder.phone": "41 23 45 67"})
    assert request.model_fields_set == {"claim_id", "policyholder"}
    assert request.policyholder == claim.policyholder.model_copy(update={"phone": "+4741234567"})
    request = correction(claim, untouched | {"incident.address.city": "Voss"})
    assert request.model_fields_set == {"claim_id", "incident"}
    address = claim.incident.address.model_copy(update={"city": "Voss"})
    assert request.incident == claim.incident.model_copy(update={"address": address})


def test_an_untouched_form_sends_nothing_and_says_so(world: World, browse: Browse) -> None:
    body = world.creation().body
    assert isinstance(body, dict)
    incident = body["incident"] | {"description": "Vann i kjelleren.\n\nParketten er våt."}
    claim = world.create(incident=incident).body["claim_id"]
    for options in ({}, {"java_script_enabled": False}):
        page = browse(world.plumber, f"/saker/{claim}/rett", **options)
        page.get_by_role("button", name="Lagre").click()
        expect(page.get_by_text("Ingenting er endret.")).to_be_visible()
        expect(page.get_by_role("region", name="Historikk")).to_be_visible()
    page.goto(f"/saker/{claim}/rett")
    page.get_by_label("Telefon").fill("41 23 45 67")
    page.get_by_role("button", name="Lagre").click()
    expect(page.get_by_text("Rettelsen er lagret.")).to_be_visible()
    expect(page.get_by_text("Opplysninger rettet")).to_have_count(1)
    amended = world.event(world.insurer, "claim-amended", claim).body
    assert amended["after"].keys() == {"policyholder"}
    page = browse(world.handler, f"/admin/kontorer/{world.office}")
    page.get_by_role("button", name="Lagre").click()
    expect(page.get_by_text("Ingenting er endret.")).to_be_visible()
    for button in ("Lagre", "Lagre dager", "Lagre funksjoner"):
        page.goto("/admin/selskap")
        page.get_by_role("button", name=button, exact=True).click()
        expect(page.get_by_text("Ingenting er endret.")).to_be_visible()


@pytest.mark.parametrize("java_script", [True, False])
def test_a_correction_that_came_in_between_is_shown_and_asked_about(
    world: World, browse: Browse, java_script: bool
) -> None:
    claim = world.create().body["claim_id"]
    page = browse(world.plumber, f"/saker/{claim}/rett", java_script_enabled=java_script)
    page.get_by_label("Telefon").fill("41 23 45 67")
    insurer = browse(world.handler, f"/saker/{claim}/rett")
    insurer.get_by_label("Navn").fill("Anne Bergum")
    insurer.get_by_role("button", name="Lagre").click()
    expect(insurer.get_by_text("Rettelsen er lagret.")).to_be_visible()
    page.get_by_role("button", name="Lagre").click()
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("Noen andre har endret dette mens du skrev")
    expect(alert).to_contain_text("Navn: fra «Anne Berg» til «Anne Bergum»")
    expect(alert).to_contain_text("Kari Holm, Insurer")
    expect(page.get_by_label("Navn")).to_have_value("Anne Bergum")
    expect(page.get_by_label("Telefon")).to_have_value("41 23 45 67")
    if java_script:
        assert violations(page) == []
    expect(insurer.get_by_text("Opplysninger rettet")).to_have_count(1)
    page.get_by_role("button", name="Lagre").click()
    expect(page.get_by_text("Rettelsen er lagret.")).to_be_visible()
    expect(page.get_by_text("Anne Bergum", exact=True)).to_be_visible()
    expect(page.get_by_text("+47 41 23 45 67", exact=True)).to_be_visible()
    history = page.get_by_role("region", name="Historikk")
    expect(history.get_by_text("Navn: fra")).to_have_count(1)  # the insurer's alone


def test_a_setting_that_another_user_changed_in_between_is_shown_and_asked_about(world: World, browse: Browse) -> None:
    page = browse(world.handler, "/admin/selskap")
    page.get_by_label("Mandag, åpner").fill("9")
    row = browse(world.adjuster, f"/admin/kontorer/{world.office}")
    day = {"closed_days": ["2027-05-07"], "office_hours": {"tue": None}, "unlink_days": 7}
    world.set_portal(**day, special_hours={"2027-12-24": {"opens": "08:00", "closes": "12:00"}})
    world.permit(world.office, "never")
    other = browse(world.adjuster, "/admin/selskap")
    wait_until(
        lambda: bool(other.reload()) and other.get_by_label("Tirsdag, åpner").input_value() == "",
        what="the portal to know of the settings",
    )
    page.get_by_role("button", name="Lagre", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("Tirsdag, åpner: «08:00» er tatt bort")
    expect(page.get_by_label("Tirsdag, åpner")).to_have_value("")
    page.get_by_role("button", name="Lagre", exact=True).click()
    expect(page.get_by_text("Lagret.")).to_be_visible()
    expect(page.get_by_label("Mandag, åpner")).to_have_value("09:00")
    expect(page.get_by_label("Tirsdag, åpner")).to_have_value("")
    row.get_by_label("Har tillatelse til å opprette midlertidige saker").select_option("outside_office_hours")
    row.get_by_role("button", name="Lagre").click()
    expect(row.get_by_role("alert")).to_contain_text(
        "fra «Alltid» til «Aldri». Du har skrevet «Utenfor normal arbeidstid»."
    )
    row.get_by_role("button", name="Lagre").click()
    expect(row.get_by_text("Lagret.")).to_be_visible()


def test_days_that_another_user_added_in_between_stay(world: World, browse: Browse) -> None:
    page = browse(world.handler, "/admin/selskap")
    page.get_by_label("Dato 1", exact=True).fill("2027-05-07")
    world.set_portal(special_hours={"2027-12-24": {"opens": "08:00", "closes": "12:00"}})
    other = browse(world.adjuster, "/admin/selskap")
    wait_until(
        lambda: bool(other.reload()) and other.get_by_label("Dato 1", exact=True).input_value() == "2027-12-24",
        what="the portal to know of the day",
    )
    page.get_by_role("button", name="Lagre dager").click()
    expect(page.get_by_role("alert")).to_contain_text("24.12.2027: «08:00–12:00» er føyd til")
    page.get_by_role("button", name="Lagre dager").click()
    expect(page.get_by_text("Lagret.")).to_be_visible()
    days = [page.get_by_label(f"Dato {n}", exact=True).input_value() for n in (1, 2, 3)]
    assert days == ["2027-05-07", "2027-12-24", ""]
