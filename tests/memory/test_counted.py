"""What metrics tell of requests: each is counted once, however often its message comes."""

from datetime import timedelta
from typing import Any

from prometheus_client import REGISTRY

from shared.contract.topics import CLAIM_EVENTS, EVENTS
from tests.builders.requests import FJORD, NORD, VEST, headers_of, new_request
from tests.memory.road import Road


def counted(name: str, **labels: Any) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0


def of_claims() -> dict[str, float]:
    return {
        "accepted": counted("claimbus_outcomes_total", code="accepted"),
        "refused": counted("claimbus_outcomes_total", code="never_permitted"),
        "refused to it": counted("claimbus_refusals_total", company=NORD, code="never_permitted"),
        "allowed by rule": counted("claimbus_decisions_total", insurer=FJORD, rule="always_permitted"),
        "refused by rule": counted("claimbus_decisions_total", insurer=FJORD, rule="never_permitted"),
        "created": counted("claimbus_claim_events_total", event="temporary-claim-created"),
        "timed": counted("claimbus_outcome_seconds_count"),
    }


async def test_requests_are_counted_by_what_was_decided_when_it_is_for_the_first_time(road: Road) -> None:
    before = of_claims()
    refused = new_request("create-temporary-claim", office="nord-tromso").body
    for _ in range(2):
        road.ask(VEST, "create-temporary-claim", id="one")
        road.ask(NORD, "create-temporary-claim", refused, id="two")
        await road.run()
    assert len(road.outcomes(VEST)) == len(road.outcomes(NORD)) == 2
    assert {name: number - before[name] for name, number in of_claims().items()} == {
        "accepted": 1,
        "refused": 1,
        "refused to it": 1,
        "allowed by rule": 1,
        "refused by rule": 1,
        "created": 1,
        "timed": 2,
    }


async def test_a_refusal_about_settings_is_counted_where_it_is_decided(road: Road) -> None:
    def refusals() -> tuple[float, float]:
        code = "invalid_request"
        by_company = counted("claimbus_refusals_total", company=FJORD, code=code)
        return by_company, counted("claimbus_outcomes_total", code=code)

    before = refusals()
    for _ in range(2):
        road.ask(FJORD, "set-portal-settings", {"time_zone": "Europe/Nowhere"}, id="settings")
        await road.run()
    assert len(road.outcomes(FJORD)) >= 2
    assert refusals() == (before[0] + 1, before[1] + 1)


async def test_the_trace_of_a_partner_is_the_exemplar_of_its_outcome(road: Road) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    headers = [
        *headers_of("claimbus.create-temporary-claim.v1", "traced"),
        ("traceparent", f"00-{trace}-b7ad6b7169203331-01".encode()),
    ]
    road.append(VEST, headers, new_request("create-temporary-claim").body)
    await road.run()
    assert len(road.outcomes(VEST)) == 1
    (seconds,) = (metric for metric in REGISTRY.collect() if metric.name == "claimbus_outcome_seconds")
    assert {"trace_id": trace} in [sample.exemplar.labels for sample in seconds.samples if sample.exemplar]


async def test_dead_letters_are_counted_by_why_they_were_put_aside(road: Road) -> None:
    def letters() -> tuple[float, float]:
        not_understood = counted("claimbus_dead_letters_total", topic=f"requests.{VEST}", reason="not_understood")
        return not_understood, counted("claimbus_dead_letters_total", topic=CLAIM_EVENTS.name, reason="no_topic")

    before = letters()
    del road.bus.topics[EVENTS.of(FJORD)]
    road.append(VEST, [], {})
    road.ask(VEST, "create-temporary-claim", id="one")
    road.bus.now += timedelta(seconds=1)
    await road.run()
    assert letters() == (before[0] + 1, before[1] + 1)
