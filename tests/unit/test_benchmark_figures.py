"""What several rounds say together, and whether it meets the goals."""

import pytest

from benchmarks.bars import bars
from benchmarks.client import Outcome
from benchmarks.document import DOCUMENT, replaced, section
from benchmarks.figures import Results, Row, Spread, percentile, spread
from benchmarks.goals import GOALS, Goal, Verdict
from benchmarks.names import ROAD
from benchmarks.results import ResultsFile, read_results
from benchmarks.tables import figures_table, median_and_spread, processes_table

_ALL_DONE = {"claims": 50, "accepted": 50, "created": 50, "refused": 0, "repeated": 3, "contradicted": 0}


def storm(case: str, claims_per_s: float, **cpu_ms: float) -> Row:
    return Row(
        measure="storm",
        case=case,
        figures={"claims": 20_000, "claims_per_s": claims_per_s},
        cpu_ms=cpu_ms,
        memory_mib={"kafka": 300, "claims": 100},
    )


@pytest.mark.parametrize(("percent", "expected"), [(50, 50), (95, 95), (99, 99), (100, 100), (1, 1), (0.5, 1)])
def test_a_percentile_is_a_value_that_was_measured(percent: float, expected: int) -> None:
    assert percentile(list(range(100, 0, -1)), percent) == expected


def test_the_99th_percentile_of_a_few_is_the_highest() -> None:
    assert percentile([3, 1, 2], 99) == 3
    assert percentile([7], 50) == 7


def test_nothing_has_no_percentile_and_no_spread() -> None:
    with pytest.raises(ValueError, match="nothing was measured"):
        percentile([], 50)
    with pytest.raises(ValueError, match="nothing was measured"):
        spread([])


def test_rounds_have_a_median_and_bounds() -> None:
    assert spread([1.0, 9.0, 4.0]) == Spread(4.0, 1.0, 9.0)
    assert median_and_spread(Spread(1234.5, 1001.0, 1400.0)) == "1,234 (1,001–1,400)"
    assert median_and_spread(Spread(0.8, 0.8, 0.8)) == "0.80"


def test_cpu_is_summed_in_each_round_before_the_median_is_taken() -> None:
    results = Results([storm(ROAD, 1000, kafka=0.1, claims=0.9), storm(ROAD, 900, kafka=0.7, claims=0.1)])
    assert results.median("storm", ROAD, "cpu_ms") == pytest.approx(0.9)
    assert results.by_process("storm", ROAD, "cpu_ms") == pytest.approx({"kafka": 0.4, "claims": 0.5})


def test_tables_have_each_case_once_in_the_order_of_the_run() -> None:
    results = Results([storm("floor", 4000, kafka=0.1), storm(ROAD, 900, kafka=0.2), storm("floor", 4400, kafka=0.1)])
    figures = figures_table(results, "storm", "")
    assert [row[0] for row in figures.rows] == ["floor", ROAD]
    assert figures.rows[0][figures.columns.index("claims/s")] == "4,200 (4,000–4,400)"
    processes = processes_table(results, "storm", "cpu_ms", "")
    assert processes is not None
    assert processes.rows == [["kafka", "0.10", "0.20"], ["together", "0.10", "0.20"]]


def goal(what: str) -> Goal:
    return next(each for each in GOALS if each.what == what)


@pytest.mark.parametrize(("cpu_ms", "verdict"), [(0.79, Verdict.MET), (0.80, Verdict.MET), (0.81, Verdict.MISSED)])
def test_a_goal_is_met_up_to_its_bound(cpu_ms: float, verdict: Verdict) -> None:
    assert goal("outcome road alone: CPU per claim").verdict(Results([storm(ROAD, 1, claims=cpu_ms)])) is verdict


@pytest.mark.parametrize(("speed", "verdict"), [(1799, Verdict.MISSED), (1800, Verdict.MET), (4000, Verdict.MET)])
def test_a_ratio_is_that_of_the_medians_of_one_run(speed: float, verdict: Verdict) -> None:
    rows = [storm("floor", each) for each in (100, 4000, 9000)] + [storm(ROAD, speed)]
    assert goal("its claims/s, of the floor's").verdict(Results(rows)) is verdict


def test_what_was_not_measured_is_neither_met_nor_missed() -> None:
    assert {each.verdict(Results([])) for each in GOALS} == {Verdict.NOT_MEASURED}
    assert goal("its claims/s, of the floor's").verdict(Results([storm(ROAD, 1)])) is Verdict.NOT_MEASURED


def test_stored_claims_are_judged_by_how_much_slower_they_make_a_storm() -> None:
    def row(case: str, speed: float) -> Row:
        return Row(measure="stored", case=case, figures={"claims_per_s": speed})

    wanted = goal("5,000,000 stored claims: slower by")
    assert wanted.measured(Results([row("0 stored", 1000), row("5,000,000 stored", 920)])) == pytest.approx(8)
    assert wanted.verdict(Results([row("0 stored", 1000), row("5,000,000 stored", 880)])) is Verdict.MISSED


def test_memory_is_that_of_the_services_without_the_servers() -> None:
    assert goal("memory of all services after a storm").measured(Results([storm("all seven services", 1)])) == 100


@pytest.mark.parametrize(
    "missing", [{"accepted": 49}, {"created": 49}, {"refused": 1}, {"contradicted": 1}, {"claims": 51}]
)
def test_a_load_is_complete_when_every_claim_was_accepted_once_and_has_come(missing: dict[str, int]) -> None:
    how = {"seconds": 1.0, "sender_late_ms": 0.0, "latency_ms": {}}
    assert Outcome.model_validate(_ALL_DONE | how).is_complete
    assert not Outcome.model_validate(_ALL_DONE | how | missing).is_complete


def test_the_documentation_shows_what_is_published() -> None:
    text = DOCUMENT.read_text()
    assert replaced(text, section(read_results())) == text


def test_what_came_to_its_end_is_published_and_all_else_stays_as_it_was() -> None:
    earlier, now = ResultsFile(cores=8, memory_gib=64), ResultsFile(cores=2, memory_gib=24)
    earlier.add([Row(measure="start", case="warm"), Row(measure="storm", case="floor")], rounds=3)
    now.add([Row(measure="storm", case=ROAD)], rounds=2)
    now.add([Row(measure="start", case="cold")], rounds=2, complete=False)
    published = now.published_over(earlier)
    assert published.cores == 2
    assert {name: (taken.rows[0].case, taken.rounds) for name, taken in published.measures.items()} == {
        "start": ("warm", 3),
        "storm": (ROAD, 2),
    }


def test_a_plot_says_what_its_bars_are_whatever_they_are_called() -> None:
    drawn = bars("CPU", {"<all> & more": {"kafka": 0.25, "claims": 0.5}}, unit="ms")
    assert "&lt;all&gt; &amp; more" in drawn
    assert "0.75 ms" in drawn
    assert "claims: 0.50 ms" in drawn
