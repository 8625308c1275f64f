"""What people see of a request whose outcome is late."""

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import expect

from operations.stack import Stack
from tests.browser.conftest import Browse
from tests.browser.test_creating import fill
from tests.browser.test_for_everyone import violations
from tests.world import World


@pytest.fixture(scope="module", autouse=True)
def _impatient_portal(stack: Stack) -> Iterator[None]:
    """A portal that waits for no outcome: whatever is not there at once is late."""
    (portal,) = stack.of("portal")
    portal.stop()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("CLAIMBUS_PORTAL_OUTCOME_WAIT_S", "0")
        portal.start()
    yield
    portal.stop()
    portal.start()


@contextlib.contextmanager
def stopped(stack: Stack, service: str) -> Iterator[None]:
    """Stop the one instance of a service for a while; what follows waits for what it does when it is back."""
    (instance,) = stack.of(service)
    instance.stop()
    try:
        yield
    finally:
        instance.start()


def test_a_request_whose_outcome_is_late_is_on_its_way_and_told_when_it_comes(
    stack: Stack, world: World, browse: Browse
) -> None:
    page = browse(world.plumber, "/saker/ny")
    fill(page)
    with stopped(stack, "claims"):
        page.get_by_role("button", name="Legg til").click()
        expect(page.get_by_role("heading", name="Forespørselen er sendt")).to_be_visible()
        assert violations(page) == []
    expect(page.get_by_text("Forespørselen er utført.")).to_be_visible()
    page.get_by_role("button", name="Gå videre").click()
    expect(page.get_by_text("Den midlertidige saken er opprettet.")).to_be_visible()
    expect(page.get_by_role("region", name="Saken er midlertidig")).to_be_visible()
    page.goto("/saker")
    expect(page.get_by_text("1 sak", exact=True)).to_be_visible()


def test_a_late_refusal_brings_the_form_back_filled_in(stack: Stack, world: World, browse: Browse) -> None:
    page = browse(world.plumber, "/saker/ny")
    fill(page)
    page.get_by_label("Skadedato").fill((datetime.now(UTC).date() + timedelta(days=3)).isoformat())
    page.get_by_label("Beskrivelse").fill("Vann i kjelleren")
    with stopped(stack, "claims"):
        page.get_by_role("button", name="Legg til").click()
        expect(page.get_by_role("heading", name="Forespørselen er sendt")).to_be_visible()
    reason = "Skadedatoen er senere enn i dag. Rett datoen."
    expect(page.get_by_role("alert")).to_contain_text(reason)
    page.get_by_role("button", name="Tilbake til skjemaet").click()
    expect(page.get_by_role("heading", name=reason)).to_be_visible()
    expect(page.get_by_label("Beskrivelse")).to_have_value("Vann i kjelleren")
    page.get_by_label("Skadedato").fill(datetime.now(UTC).date().isoformat())
    page.get_by_role("button", name="Legg til").click()
    world.partner.wait_until(lambda messages: any(m.is_outcome and m.accepted for m in messages), what="the claim")


def test_a_correction_that_was_late_is_told_as_saved_when_its_form_is_sent_again(
    stack: Stack, world: World, browse: Browse
) -> None:
    claim = world.create().body["claim_id"]
    page = browse(world.plumber, f"/saker/{claim}/rett", java_script_enabled=False)
    page.get_by_label("Navn").fill("Anne Bergum")
    reader = browse(world.handler, f"/saker/{claim}")
    with stopped(stack, "claims"):
        page.get_by_role("button", name="Lagre").click()
        expect(page.get_by_role("heading", name="Forespørselen er sendt")).to_be_visible()
    expect(reader.get_by_text("Anne Bergum", exact=True)).to_be_visible()
    page.get_by_role("button", name="Se etter på nytt").click()
    expect(page.get_by_text("Rettelsen er lagret.")).to_be_visible()
    expect(page.get_by_text("Opplysninger rettet")).to_have_count(1)
