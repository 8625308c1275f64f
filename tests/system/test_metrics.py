"""Metrics on the whole system: what the alarms and the dashboard ask for moves when something happens."""

import urllib.request
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor

from prometheus_client.parser import text_string_to_metric_families

from operations.connection import Connection
from operations.demo.files import photo
from operations.storm import run_storm
from operations.uploads import upload
from tests.builders.content import FIRST_AID
from tests.observability import names_asked_for
from tests.world import World, link, report

_STILL = {
    "claimbus_consumers_renewed_total": "a reader does not get on",
    "claimbus_database_behind_total": "a database has lost commits",
    "claimbus_dead_letters_total": "a message is not understood",
    "claimbus_deleted_unread_total": "the brokers delete what was not read",
    "claimbus_links_given_up_total": "a file of a link is gone",
    "claimbus_links_under_way": "files take their time",
    "claimbus_not_ready": "an instance is not ready",
    "claimbus_producers_renewed_total": "a publish fails",
    "claimbus_reports_due": "a period is over",
    "claimbus_retries_total": "Kafka or a database is away",
    "claimbus_retrying": "Kafka or a database is away",
    "claimbus_temporary_claims": "a minute is over",
}
"""What does not move in a storm that all goes well in, and what has to happen for it."""
_GAUGES = {"claimbus_in_hand", "claimbus_lag_messages", "claimbus_lag_seconds"}
"""What is zero before and after, and something meanwhile."""


def looked_at(connection: Connection) -> defaultdict[str, float]:
    """Each metric's value, over all services and labels; of a histogram how much was observed."""
    values: defaultdict[str, float] = defaultdict(float)
    for address in (address for addresses in connection.health.values() for address in addresses):
        with urllib.request.urlopen(f"{address}/metrics", timeout=30) as answer:
            for family in text_string_to_metric_families(answer.read().decode()):
                for sample in family.samples:
                    values[sample.name.removesuffix("_count") if family.type == "histogram" else sample.name] += (
                        sample.value
                    )
    return values


def test_all_that_the_dashboard_shows_moves_in_a_storm(connection: Connection, world: World) -> None:
    file = upload(connection, world.partner_id, "tak.png", "image/png", photo(200))
    before = looked_at(connection)
    moved: set[str] = set()

    def look() -> None:
        now = looked_at(connection)
        moved.update(name for name, value in now.items() if value and (name in _GAUGES or value > before[name]))

    def happen() -> None:
        run_storm(connection, world.partner_id, world.office, world.insurer_id, claims=1000)
        claim = world.create(tasks=[FIRST_AID])
        assert world.partner.ask(report(claim, media=[file]))[0].accepted
        assert world.insurer.ask(link(claim, world.register("SK-1")))[0].accepted
        world.event(world.insurer, "claim-linked", claim.body["claim_id"])
        assert not world.other.ask(world.creation(office=world.other_office))[0].accepted

    with ThreadPoolExecutor(1) as executor:
        happening = executor.submit(happen)
        while not happening.done():
            look()
        happening.result()
    look()
    assert names_asked_for() - moved - _STILL.keys() == set()
