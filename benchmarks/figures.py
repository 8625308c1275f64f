"""What is measured: rows of figures, and what several rounds of the same say together. No I/O."""

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Literal, NamedTuple

from pydantic import BaseModel

ByProcess = Literal["cpu_ms", "share_of_a_core", "memory_mib"]


class Row(BaseModel):
    """One run of one case of one measure."""

    measure: str
    case: str
    figures: dict[str, float] = {}
    """By name, which ends with the unit: `caught_up_s`, `p99_ms`."""
    cpu_ms: dict[str, float] = {}
    """CPU milliseconds for each claim, by process."""
    share_of_a_core: dict[str, float] = {}
    """CPU in percent of one core, by process, where there are no claims."""
    memory_mib: dict[str, float] = {}
    """Resident memory at the end, by process."""
    other_cores: float = 0.0
    """How many cores other work of the machine kept busy meanwhile, which spoils seconds."""

    @property
    def all_figures(self) -> dict[str, float]:
        """The figures, with the sums over all processes."""
        sums = {"cpu_ms": sum(self.cpu_ms.values())} if self.cpu_ms else {}
        return self.figures | sums | {"other_cores": self.other_cores}


class Spread(NamedTuple):
    """What several rounds gave."""

    median: float
    lowest: float
    highest: float


def spread(values: Iterable[float]) -> Spread:
    """Return the middle and the bounds of what several rounds gave. Raises ValueError if there is none."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("nothing was measured")
    return Spread(median(ordered), ordered[0], ordered[-1])


def percentile(values: Sequence[float], percent: float) -> float:
    """Return a percentile by nearest rank. Raises ValueError if there is no value."""
    if not values:
        raise ValueError("nothing was measured")
    ordered = sorted(values)
    return ordered[max(0, -int(-len(ordered) * percent // 100) - 1)]


class Results:
    """All rows of a run of the benchmark."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows = list(rows)

    def cases(self, measure: str) -> list[str]:
        """The cases of a measure, in the order in which they were first run."""
        return list(dict.fromkeys(row.case for row in self.rows if row.measure == measure))

    def of(self, measure: str, case: str) -> list[Row]:
        """The rounds of a case."""
        return [row for row in self.rows if (row.measure, row.case) == (measure, case)]

    def figures(self, measure: str, case: str) -> dict[str, Spread]:
        """Each figure of a case over the rounds that have it."""
        rounds = [row.all_figures for row in self.of(measure, case)]
        names = dict.fromkeys(name for figures in rounds for name in figures)
        return {name: spread(figures[name] for figures in rounds if name in figures) for name in names}

    def median(self, measure: str, case: str, figure: str) -> float | None:
        """The median of a figure, None where it was not measured."""
        found = self.figures(measure, case).get(figure)
        return None if found is None else found.median

    def by_process(self, measure: str, case: str, what: ByProcess) -> dict[str, float]:
        """The medians of what is kept by process."""
        rounds: list[dict[str, float]] = [getattr(row, what) for row in self.of(measure, case)]
        names = dict.fromkeys(name for each in rounds for name in each)
        return {name: median(each[name] for each in rounds if name in each) for name in names}
