"""The results' file: JSON, without anything that names the machine."""

import os
from datetime import UTC, date, datetime
from pathlib import Path

from pydantic import BaseModel

from benchmarks.figures import Results, Row

FOLDER = Path(__file__).parent / "results"
PUBLISHED = FOLDER / "published.json"
"""The one that docs/performance.md shows."""


class MeasureTaken(BaseModel):
    """All rounds of one measure, as they were taken in one run."""

    on: date
    rounds: int
    complete: bool
    """Whether it came to its end; what did not is not published."""
    rows: list[Row]


class ResultsFile(BaseModel):
    """What was measured, by measure."""

    cores: int
    memory_gib: int
    measures: dict[str, MeasureTaken] = {}

    @classmethod
    def of_this_machine(cls) -> "ResultsFile":
        """An empty one."""
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return cls(cores=os.cpu_count() or 1, memory_gib=round(memory / 1024**3))

    @property
    def results(self) -> Results:
        """All rows."""
        return Results(row for taken in self.measures.values() for row in taken.rows)

    def add(self, rows: list[Row], rounds: int, *, complete: bool = True) -> None:
        """Put in what was measured today; it replaces what was there of these measures."""
        today = datetime.now(UTC).date()
        for name in dict.fromkeys(row.measure for row in rows):
            of_it = [row for row in rows if row.measure == name]
            self.measures[name] = MeasureTaken(on=today, rounds=rounds, complete=complete, rows=of_it)

    def published_over(self, earlier: "ResultsFile") -> "ResultsFile":
        """What is published when this was measured; measures that were not taken now stay as they were."""
        taken = {name: measure for name, measure in self.measures.items() if measure.complete}
        return self.model_copy(update={"measures": earlier.measures | taken})

    def write(self, file: Path) -> None:
        """Write it."""
        file.parent.mkdir(exist_ok=True)
        file.write_text(self.model_dump_json(indent=1) + "\n")


def read_results(file: Path = PUBLISHED) -> ResultsFile:
    """Read what was measured, by default what the documentation shows."""
    return ResultsFile.model_validate_json(file.read_text())
