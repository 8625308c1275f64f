"""What was measured as tables of texts, for the console and for the documentation alike. No I/O."""

from dataclasses import dataclass

from benchmarks.figures import ByProcess, Results, Spread
from benchmarks.goals import GOALS

_TITLES = {
    "claims": "claims",
    "ready_s": "ready, s",
    "cpu_s": "CPU, s",
    "percent_of_a_core": "CPU, % of one core",
    "away_s": "away, s",
    "left": "messages left then",
    "seconds": "to the last outcome, s",
    "caught_up_s": "all caught up, s",
    "claims_per_s": "claims/s",
    "rate": "sent/s",
    "cpu_ms": "CPU ms per claim",
    "p50_ms": "p50, ms",
    "p95_ms": "p95, ms",
    "p99_ms": "p99, ms",
    "max_ms": "max, ms",
    "sender_late_ms": "sender late, ms",
    "other_cores": "other work, cores",
}
_OF_A_LOAD = ("seconds", "caught_up_s", "claims_per_s", "cpu_ms", "p50_ms", "p95_ms", "p99_ms", "other_cores")
"""Of what a load gives, that which is shown; a rate has no use for how long it took."""
_NOT_AT_A_RATE = ("seconds", "caught_up_s", "claims_per_s")

BY_PROCESS: dict[ByProcess, str] = {
    "cpu_ms": "CPU ms per claim, by process",
    "share_of_a_core": "CPU by process, % of one core",
    "memory_mib": "memory afterwards, MiB",
}


@dataclass(frozen=True)
class TextTable:
    """A table; the first column is a name, the others are numbers."""

    title: str
    columns: list[str]
    rows: list[list[str]]


def number(value: float) -> str:
    """Write a number with as many digits as tell something."""
    size = abs(value)
    if size >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}"


def median_and_spread(value: Spread | None) -> str:
    """Write a median, with the bounds where they differ."""
    if value is None:
        return ""
    middle, lowest, highest = (number(part) for part in value)
    return middle if lowest == highest else f"{middle} ({lowest}–{highest})"


def goals_table(results: Results) -> TextTable:
    """Each goal with what was measured, and whether that meets it."""
    rows = []
    for goal in GOALS:
        value, verdict = goal.measured(results), goal.verdict(results)
        bound = f"{'≥' if goal.at_least else '≤'} {number(goal.bound)} {goal.unit}".strip()
        rows.append([goal.what, bound, "" if value is None else f"{number(value)} {goal.unit}".strip(), verdict])
    return TextTable("goals", ["", "goal", "measured", ""], rows)


def figures_table(results: Results, measure: str, title: str) -> TextTable:
    """The figures of a measure: a row for each case, the medians with lowest and highest."""
    by_case = {case: results.figures(measure, case) for case in results.cases(measure)}
    found = dict.fromkeys(name for figures in by_case.values() for name in figures)
    names = [name for name in found if name in _OF_A_LOAD or name not in _TITLES] if "claims" in found else list(found)
    if "rate" in found:
        names = [name for name in names if name not in _NOT_AT_A_RATE]
    names.sort(key=lambda name: list(_TITLES).index(name) if name in _TITLES else -1)
    rows = [[case, *(median_and_spread(figures.get(name)) for name in names)] for case, figures in by_case.items()]
    return TextTable(title, ["", *(_TITLES.get(name, name.replace("_", " ")) for name in names)], rows)


def processes_table(results: Results, measure: str, what: ByProcess, title: str) -> TextTable | None:
    """The medians by process, a column for each case; None where there is none."""
    by_case = {case: results.by_process(measure, case, what) for case in results.cases(measure)}
    names = dict.fromkeys(name for processes in by_case.values() for name in processes)
    if not names:
        return None
    rows = [[name, *(number(each[name]) if name in each else "" for each in by_case.values())] for name in names]
    rows.append(["together", *(number(sum(each.values())) for each in by_case.values())])
    return TextTable(title, ["", *by_case], rows)
