"""What the metrics tell of links whose files are being copied."""

from prometheus_client import REGISTRY

from services.linking.ages import AGES_S, Ages

NOW_S = 1_800_000_000.0


def counted() -> dict[str, float | None]:
    return {age: REGISTRY.get_sample_value("claimbus_links_under_way", {"age": age}) for age in AGES_S}


def test_parts_are_counted_by_age_for_as_long_as_their_files_are_copied() -> None:
    ages = Ages(lambda: NOW_S)
    with ages.copying(round(1000 * (NOW_S - age_s)) for age_s in (0, 60, 61, 4000)):
        assert counted() == {"minute": 2, "quarter": 1, "hour": 0, "longer": 1}
        with ages.copying([round(1000 * NOW_S)]):
            assert counted()["minute"] == 3
    assert set(counted().values()) == {0}


def test_a_part_that_the_brokers_clock_puts_into_the_future_is_a_young_one() -> None:
    with Ages(lambda: NOW_S).copying([round(1000 * (NOW_S + 5))]):
        assert counted()["minute"] == 1
