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

    def add(self, rows: list[Row], rounds: int) -> None:
        """Put in what was measured today; it replaces what was there of these measures."""
        for name in dict.fromkeys(row.measure for row in rows):
            taken = MeasureTaken(
                on=datetime.now(UTC).date(), rounds=rounds, rows=[r for r in rows if r.measure == name]
            )
            self.measures[name] = taken

    def write(self, file: Path) -> None:
        """Write it."""
        file.parent.mkdir(exist_ok=True)
        file.write_text(self.model_dump_json(indent=1) + "\n")


def read_published() -> ResultsFile:
    """What the documentation shows."""
    return ResultsFile.model_validate_json(PUBLISHED.read_text())
