"""*Selskapets admin* in a browser (domain rules 1, 2, 7 and 18)."""

from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest
from confluent_kafka import Producer
from playwright.sync_api import expect

from services.portal.pages.administration import calendar
from shared.contract.envelope import outgoing
from shared.contract.fields import Cause, Hours
from shared.contract.reports import Created, PeriodReport, ReportReady
from shared.contract.topics import REPORTS
from shared.domain.portal_settings import PortalSettings
from tests.browser.conftest import Browse
from tests.browser.test_creating import NEW
from tests.world import World, wait_until


@pytest.mark.promise("The insurer's settings take effect at once; only level 6 finds the reports.", about="portal")
def test_the_insurer_lets_an_office_create_and_its_user_gets_the_button_at_once(world: World, browse: Browse) -> None:
    partner = browse(world.other_plumber)
    expect(partner.get_by_role("link", name=NEW)).to_have_count(0)
    page = browse(world.handler)
    page.get_by_role("link", name="Selskapets admin").click()
    row = page.locator(f"#office-{world.other_office}")
    row.click()
    dialog = page.get_by_role("dialog", name="Other, Tromsø")
    permission = dialog.get_by_label("Har tillatelse til å opprette midlertidige saker")
    expect(permission).to_have_value("never")
    assert permission.locator("option").all_text_contents() == ["Aldri", "Utenfor normal arbeidstid", "Alltid"]
    permission.select_option("always")
    dialog.get_by_role("button", name="Lagre").click()
    expect(page.get_by_text("Lagret.")).to_be_visible()
    expect(page.get_by_role("row").filter(has=page.locator(f"#office-{world.other_office}"))).to_contain_text("Alltid")
    expect(partner.get_by_role("link", name=NEW)).to_be_visible()


@pytest.mark.usefixtures("stack")  # where nobody else changes the directory meanwhile
def test_a_change_of_the_directory_is_told_once(world: World, browse: Browse) -> None:
    page = browse(world.handler, "/admin/kontorer")
    page.evaluate("""() => {
        window.told = {directory: 0, changed: 0};
        const stream = new EventSource(document.body.getAttribute("sse-connect"));
        stream.onmessage = ({ data }) => { if (data in told) told[data] += 1; };
    }""")

    def shown_count(name: str) -> int:
        return int(page.evaluate("name => told[name]", name))

    def change_a_claim() -> None:
        before = shown_count("changed")
        world.create()
        page.wait_for_function("before => told.changed > before", arg=before)

    world.permit(world.office, "never")
    row = page.get_by_role("row").filter(has=page.locator(f"#office-{world.office}"))
    expect(row).to_contain_text("Aldri")
    world.permit(world.office, "always")
    expect(row).to_contain_text("Alltid")
    change_a_claim()
    before = shown_count("directory")
    assert before > 0
    for _ in range(3):
        change_a_claim()
    assert shown_count("directory") == before


def test_rights_can_be_given_only_while_the_enhanced_function_is_on(world: World, browse: Browse) -> None:
    page = browse(world.handler, f"/admin/kontorer/{world.office}")
    right = page.get_by_label("Kan bestemme skadenummer")
    expect(right).to_have_count(0)
    page.goto("/admin/selskap")
    page.get_by_label("Forbedret funksjon").check()
    page.get_by_role("button", name="Lagre funksjoner").click()
    expect(page.get_by_text("Lagret.")).to_be_visible()
    page.goto(f"/admin/kontorer/{world.office}")
    right.check()
    page.get_by_role("button", name="Lagre", exact=True).click()
    row = page.get_by_role("row").filter(has=page.locator(f"#office-{world.office}"))
    expect(row).to_contain_text("bestemme skadenummer")
    partner = browse(world.plumber, "/saker/ny")
    expect(partner.get_by_label("Skadenummer")).to_be_visible()
    world.set_portal(enhanced_function=False)
    page.goto("/admin/kontorer")
    wait_until(lambda: bool(page.reload()) and "hvilende" in row.inner_text(), what="the portal to know of the setting")
    partner.reload()
    expect(partner.get_by_label("Skadenummer")).to_have_count(0)


def test_office_hours_are_set_day_by_day(world: World, browse: Browse) -> None:
    page = browse(world.handler, "/admin/selskap")
    expect(page.get_by_label("Mandag, åpner")).to_have_value("08:00")
    page.get_by_label("Mandag, åpner").fill("9")
    page.get_by_label("Fredag, stenger").fill("15.30")
    page.get_by_label("Onsdag, åpner").fill("")
    page.get_by_label("Onsdag, stenger").fill("")
    page.get_by_role("button", name="Lagre", exact=True).click()
    expect(page.get_by_text("Lagret.")).to_be_visible()
    expect(page.get_by_label("Mandag, åpner")).to_have_value("09:00")
    expect(page.get_by_label("Fredag, stenger")).to_have_value("15:30")
    expect(page.get_by_label("Onsdag, åpner")).to_have_value("")
    expect(page.get_by_role("listitem").filter(has_text="09:00–16:00")).not_to_have_count(0)


def test_hours_that_close_before_they_open_are_told_and_kept_in_the_form(world: World, browse: Browse) -> None:
    page = browse(world.handler, "/admin/selskap")
    page.get_by_label("Mandag, åpner").fill("18:00")
    page.get_by_role("button", name="Lagre", exact=True).click()
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_label("Mandag, åpner")).to_have_value("18:00")
    expect(page.get_by_label("Tirsdag, åpner")).to_have_value("08:00")


def test_an_unticked_box_stays_unticked_when_the_form_comes_back(world: World, browse: Browse) -> None:
    world.set_portal(enhanced_function=True, inspection_needs_budget=True)
    page = browse(world.handler, "/admin/selskap")
    wait_until(
        lambda: page.reload() is not None and page.get_by_label("Forbedret funksjon").is_checked(),
        what="the portal to know of the settings",
    )
    page.get_by_label("Forbedret funksjon").uncheck()
    page.get_by_label("Dager en tilknytning kan oppheves").fill("mange")
    page.get_by_role("button", name="Lagre funksjoner").click()
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_label("Forbedret funksjon")).not_to_be_checked()
    expect(page.get_by_label("Besiktigelser krever godkjent budsjett")).to_be_checked()
    expect(page.get_by_label("Tidssone")).to_have_value("Europe/Oslo")


@pytest.mark.parametrize("button", ["Lagre", "Lagre dager", "Lagre funksjoner"])
def test_another_language_can_be_chosen_while_a_form_is_wrong(world: World, browse: Browse, button: str) -> None:
    page = browse(world.handler, "/admin/selskap")
    page.get_by_label("Mandag, åpner").fill("18:00")
    page.get_by_label("Dato 1, åpner").fill("18:00")
    page.get_by_label("Dato 1", exact=True).fill("2026-12-24")
    page.get_by_label("Dager en tilknytning kan oppheves").fill("mange")
    page.get_by_role("button", name=button, exact=True).click()
    expect(page.get_by_role("alert")).to_be_visible()
    page.get_by_role("button", name="English").click()
    expect(page.get_by_role("heading", name="Office hours")).to_be_visible()


def test_closed_days_and_special_hours_show_in_the_calendar(world: World, browse: Browse) -> None:
    page = browse(world.handler, "/admin/selskap")
    monday = datetime.now(UTC).date() + timedelta(days=7 - datetime.now(UTC).weekday())
    tuesday = monday + timedelta(days=1)
    page.get_by_label("Dato 1", exact=True).fill(monday.isoformat())
    page.get_by_role("button", name="Legg til").click()
    page.get_by_label("Dato 2", exact=True).fill(tuesday.isoformat())
    page.get_by_label("Dato 2, åpner").fill("10:15")
    page.get_by_label("Dato 2, stenger").fill("11:45")
    page.get_by_role("button", name="Lagre dager").click()
    expect(page.get_by_text("Lagret.")).to_be_visible()
    expect(page.get_by_role("listitem").filter(has_text="Stengt dag")).to_have_count(1)
    expect(page.get_by_role("listitem").filter(has_text="10:15–11:45")).to_have_count(1)
    page.get_by_label("Dato 1", exact=True).fill("")
    page.get_by_role("button", name="Lagre dager").click()
    expect(page.get_by_role("listitem").filter(has_text="Stengt dag")).to_have_count(0)
    expect(page.get_by_label("Dato 1", exact=True)).to_have_value(tuesday.isoformat())


def test_holidays_are_those_of_the_country_and_others_can_be_chosen(world: World, browse: Browse) -> None:
    world.set_portal(country="SE", time_zone="Europe/Stockholm")
    page = browse(world.handler, "/admin/selskap")
    eves = page.get_by_role("row").filter(has_text="Dager som i praksis er fridager")
    wait_until(lambda: page.reload() is not None and eves.count() == 3, what="the portal to know of the country")
    assert all("stengt" in eve for eve in eves.all_inner_texts())
    usual = page.get_by_label("Som vanlig i landet")
    expect(usual).to_be_checked()
    expect(page.locator("[id='holidays.usual-help']")).to_contain_text("Midsommarafton")
    usual.uncheck()
    page.get_by_role("button", name="Lagre helligdager").click()
    expect(page.get_by_role("alert")).to_contain_text("Velg minst én slags helligdager.")
    page.get_by_label("Offentlige helligdager").check()
    page.get_by_label("Bankenes fridager").check()
    page.get_by_role("button", name="Lagre helligdager").click()
    expect(page.get_by_text("Lagret.")).to_be_visible()
    expect(eves).to_have_count(0)
    expect(usual).not_to_be_checked()
    half = page.get_by_role("row").filter(has_text="Skärtorsdagen (från kl. 14.00)")
    expect(half).to_contain_text("08:00–14:00")
    usual.check()
    page.get_by_role("button", name="Lagre helligdager").click()
    expect(eves).to_have_count(3)


def test_the_calendar_names_holidays_and_knows_the_day_s_own_hours() -> None:
    christmas = datetime(2026, 12, 24, tzinfo=UTC).date()
    settings = PortalSettings(special_hours={christmas: Hours(opens="08:00", closes="12:00")})
    days = {each.day.isoformat(): each for each in calendar(settings, datetime(2026, 12, 21, tzinfo=UTC).date())}
    assert days["2026-12-24"].hours == "08:00–12:00"
    assert days["2026-12-25"].because == "Første juledag"
    assert days["2026-12-26"].because == "Andre juledag"
    assert days["2026-12-27"].because == "Stengt"
    assert days["2026-12-28"].hours == "08:00–16:00"
    iceland = {each.day: each for each in calendar(PortalSettings(country="IS"), christmas)}
    assert (iceland[christmas].hours, iceland[christmas].because) == ("08:00–13:00", "Aðfangadagur (frá kl. 13.00)")


def test_a_partner_has_no_administration(world: World, browse: Browse) -> None:
    page = browse(world.plumber)
    expect(page.get_by_role("link", name="Selskapets admin")).to_have_count(0)
    for path in ("/admin", "/admin/kontorer", "/admin/selskap", f"/admin/kontorer/{world.office}", "/admin/rapporter"):
        answer = page.goto(path)
        assert answer is not None
        assert answer.status == 404


@pytest.mark.promise("The insurer's settings take effect at once; only level 6 finds the reports.", about="portal")
def test_the_report_is_there_for_level_6_and_for_nobody_else(world: World, browse: Browse) -> None:
    week = publish_report(world)
    page = browse(world.handler, "/admin")
    page.get_by_role("link", name="Rapporter").click()
    link = page.get_by_role("link", name="Uke 47, 2026")
    wait_until(lambda: bool(page.reload()) and link.count() == 1, what="the report")
    link.click()
    expect(page.get_by_role("heading", name="Midlertidige saker")).not_to_have_count(0)
    expect(page.get_by_text("7", exact=True)).not_to_have_count(0)
    address = f"/admin/rapporter/{week}"
    spreadsheet = page.request.get(f"{address}/regneark")
    assert spreadsheet.body().startswith(b"PK")
    assert page.request.get(f"{address}/csv").body().startswith(b"\xef\xbb\xbfinsurer;period;")
    for words, headers in (("?for=maskin", {}), ("", {"accept": "text/csv"})):
        assert page.request.get(f"{address}/csv{words}", headers=headers).text().startswith("insurer,period,")
    for user in (world.adjuster, world.plumber):
        other = browse(user)
        expect(other.get_by_role("link", name="Rapporter")).to_have_count(0)
        for path in ("/admin/rapporter", address, f"{address}/regneark", f"{address}/csv"):
            assert other.request.get(path).status == 404


WEEK_47 = datetime(2026, 11, 15, 23, tzinfo=UTC)


def publish_report(
    world: World, period: str = "2026-W47", begins: datetime = WEEK_47, *, short: Literal[True] | None = None
) -> str:
    """Publish a report as the service reporting does; waiting for a week to end would take a while."""
    ends = WEEK_47 + timedelta(days=7) if begins >= WEEK_47 else WEEK_47
    report = PeriodReport(
        insurer=world.insurer_id,
        period=period,
        from_=begins,
        to=ends,
        short=short,
        preliminary=False,
        closed_at=ends,
        created=Created(total=7, outside_office_hours=7, by_office={world.office: 7}, by_cause={Cause.WATER: 7}),
    )
    ready = ReportReady(
        insurer=world.insurer_id, period=report.period, time_zone="Europe/Oslo", read_up_to={}, report=report
    )
    message = outgoing(REPORTS.name, world.insurer_id, ready, id="1", source="reporting", cause="1")
    producer = Producer(world.connection.client())
    producer.produce(message.topic, message.value, message.key, headers=list(message.headers))
    assert producer.flush(30) == 0
    return report.period
