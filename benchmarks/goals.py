"""The goals for two cores, and whether a run has met them. No I/O.

Seconds and CPU depend on the machine and the day: what counts most are the ratios, all within one run.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from benchmarks.figures import Results
from benchmarks.measures import companies, latency, start, stored, storm
from benchmarks.names import ALL_SEVEN, ROAD
from benchmarks.peers.registry import FLOOR, SPRING_BATCH
from operations.services import REGISTRY

_OF_HANS = 20_000
"""Claims of the storm that the seconds are about."""
_FEW, _MANY_COMPANIES = companies.case_of(3), companies.case_of(3_000)
_NONE, _MANY_CLAIMS = stored.case_of(0), stored.case_of(5_000_000)

Figure = Callable[[Results], float | None]


class Verdict(StrEnum):
    """What became of a goal."""

    MET = "met"
    MISSED = "missed"
    NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Goal:
    """A figure with its bound."""

    what: str
    figure: Figure
    bound: float
    unit: str = ""
    at_least: bool = False

    def measured(self, results: Results) -> float | None:
        """The figure, None where what it needs was not measured."""
        return self.figure(results)

    def verdict(self, results: Results) -> Verdict:
        """Whether it is met; the bound itself meets it."""
        value = self.measured(results)
        if value is None:
            return Verdict.NOT_MEASURED
        met = value >= self.bound if self.at_least else value <= self.bound
        return Verdict.MET if met else Verdict.MISSED


def _median(measure: str, case: str, name: str) -> Figure:
    return lambda results: results.median(measure, case, name)


def _ratio(of: Figure, to: Figure) -> Figure:
    def ratio(results: Results) -> float | None:
        value, base = of(results), to(results)
        return value / base if value is not None and base else None

    return ratio


def _memory(case: str) -> Figure:
    def memory(results: Results) -> float | None:
        by_process = results.by_process(storm.MEASURE, case, "memory_mib")
        return sum(mib for name, mib in by_process.items() if name in REGISTRY) or None

    return memory


def _percent_slower(slower: Figure, base: Figure) -> Figure:
    def percent(results: Results) -> float | None:
        ratio = _ratio(slower, base)(results)
        return None if ratio is None else 100 * (1 - ratio)

    return percent


def _of_hans(name: str) -> Figure:
    def figure(results: Results) -> float | None:
        is_as_large = results.median(storm.MEASURE, ALL_SEVEN, "claims") == _OF_HANS
        return results.median(storm.MEASURE, ALL_SEVEN, name) if is_as_large else None

    return figure


def _speed(case: str) -> Figure:
    return _median(storm.MEASURE, case, "claims_per_s")


def _cpu(case: str) -> Figure:
    return _median(storm.MEASURE, case, "cpu_ms")


GOALS = (
    Goal("outcome road alone: CPU per claim", _cpu(ROAD), 0.80, "ms"),
    Goal("its claims/s, of the floor's", _ratio(_speed(ROAD), _speed(FLOOR)), 0.45, at_least=True),
    Goal("its claims/s, of Spring's batch listener's", _ratio(_speed(ROAD), _speed(SPRING_BATCH)), 1.3, at_least=True),
    Goal("its CPU, of Spring's batch listener's", _ratio(_cpu(ROAD), _cpu(SPRING_BATCH)), 0.8),
    Goal("its memory, of Spring's batch listener's", _ratio(_memory(ROAD), _memory(SPRING_BATCH)), 0.34),
    Goal("all seven: CPU per claim", _cpu(ALL_SEVEN), 1.25, "ms"),
    Goal("all seven: 20,000 claims to the last outcome", _of_hans("seconds"), 11, "s"),
    Goal("all seven: until all have caught up", _of_hans("caught_up_s"), 15, "s"),
    Goal("p99, append to outcome, at 100/s", _median(latency.MEASURE, latency.case_of(100), "p99_ms"), 80, "ms"),
    Goal("p99 at half of the maximum", _median(latency.MEASURE, latency.HALF, "p99_ms"), 250, "ms"),
    Goal(
        "5,000,000 stored claims: slower by",
        _percent_slower(
            _median(stored.MEASURE, _MANY_CLAIMS, "claims_per_s"), _median(stored.MEASURE, _NONE, "claims_per_s")
        ),
        10,
        "%",
    ),
    Goal(
        "3,000 companies: idle CPU of everything",
        _median(companies.IDLE, _MANY_COMPANIES, "percent_of_a_core"),
        20,
        "% of a core",
    ),
    Goal(
        "3,000 companies: p99 at 100/s, of three companies'",
        _ratio(_median(companies.LATENCY, _MANY_COMPANIES, "p99_ms"), _median(companies.LATENCY, _FEW, "p99_ms")),
        1.2,
    ),
    Goal("memory of all services after a storm", _memory(ALL_SEVEN), 550, "MiB"),
    Goal("`claimbus up`, warm", _median(start.MEASURE, start.WARM, "ready_s"), 7, "s"),
)
