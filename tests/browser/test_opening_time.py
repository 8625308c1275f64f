"""*+ Ny midlertidig sak* when an office opens: a file of its own, so that others work while it waits for the minute."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Browse
from tests.browser.test_creating import ALL_DAY, NEW, noon_without_holiday
from tests.world import World


@pytest.mark.promise("*+ Ny midlertidig sak* comes and goes with the office hours.", about="portal")
def test_the_button_goes_when_the_clock_passes_opening_time(world: World, browse: Browse) -> None:
    zone, country = noon_without_holiday()
    opens = datetime.now(ZoneInfo(zone)) + timedelta(seconds=70)
    hours = {"opens": f"{opens:%H:%M}", "closes": "24:00"}
    world.set_portal(office_hours=dict.fromkeys(ALL_DAY, hours), time_zone=zone, country=country)
    page = browse(world.night_plumber)
    expect(page.get_by_role("link", name=NEW)).to_be_visible()
    expect(page.get_by_role("link", name=NEW)).to_have_count(0, timeout=80_000)
    assert datetime.now(ZoneInfo(zone)) >= opens.replace(second=0, microsecond=0)
