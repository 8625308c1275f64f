"""What is typed into a form's fields arrives as it was typed, also through a browser."""

from playwright.sync_api import Page, expect

from tests.browser.conftest import Browse
from tests.browser.test_claims_list import numbers
from tests.world import World


def correct(page: Page, claim: str, label: str, text: str) -> None:
    """Correct one field of a claim."""
    page.goto(f"/saker/{claim}/rett")
    page.get_by_label(label, exact=True).fill(text)
    page.locator("form.form").evaluate("form => form.requestSubmit()")
    expect(page.get_by_text("Rettelsen er lagret.")).to_be_visible()


def test_a_phone_number_and_an_e_mail_address_are_taken_as_people_write_them(world: World, browse: Browse) -> None:
    who = {"name": "Øyvind Berg", "phone": "+4791234567", "email": "øyvind@bærum.no"}
    created = world.create(policyholder=who).body
    page = browse(world.handler)
    correct(page, created["claim_id"], "Telefon *", "\u202a+44 (0)20\u20117946 0958\u202c")
    amended = world.event(world.insurer, "claim-amended", created["claim_id"]).body["after"]["policyholder"]
    assert amended == who | {"phone": "+442079460958"}
    expect(page.get_by_role("link", name="+44 20 7946 0958")).to_have_attribute("href", "tel:+442079460958")
    expect(page.get_by_text("øyvind@bærum.no", exact=True)).to_be_visible()
    for text in ("020 7946 0958", "tel:+44-20-7946-0958", "0044 (0)20 7946 0958"):
        page.goto(f"/saker?tekst={text.replace('+', '%2B')}")
        assert numbers(page) == [created["claim_number"]], text
    correct(page, created["claim_id"], "E-post", "a\u030ase@a\u030asen.no")
    expect(page.get_by_role("definition").filter(has_text="åse@åsen.no")).to_be_visible()
