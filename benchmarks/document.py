"""The section of docs/performance.md with what is published, and its plot.

    python -m benchmarks.document [FILE …]

writes it again, with what these results have in the place of what was published of the same measures.
"""

import sys
from pathlib import Path

from benchmarks.bars import bars
from benchmarks.figures import Results
from benchmarks.measures import companies, storm
from benchmarks.results import PUBLISHED, ResultsFile, read_results
from benchmarks.tables import BY_PROCESS, TextTable, figures_table, goals_table, processes_table

DOCUMENT = Path(__file__).parents[1] / "docs" / "performance.md"
PLOT = DOCUMENT.parent / "performance" / "cpu-per-claim.svg"
BEGINS, ENDS = "<!-- benchmark: made by `make benchmark PUBLISH=1` -->", "<!-- /benchmark -->"

_TITLES = {
    storm.MEASURE: "A storm, beside peers",
    storm.LONG: "A storm of 200,000",
    "latency": "From append to outcome",
    "catch-up": "A service that was away",
    "stored": "With millions of stored claims",
    companies.LATENCY: "With many companies: from append to outcome at 100/s",
    companies.IDLE: "With many companies, doing nothing",
    "settings": "With a large directory",
    "scale-out": "With more instances",
    "start": "`claimbus up`",
    "list": "The claims list",
    "report": "A report",
}

_INTRODUCTION = """\
Measured by [`make benchmark`](../benchmarks/README.md) on {cores} cores and {memory} GiB, with everything on them:
Kafka, PostgreSQL, the services or the peer, and the client. Medians; in brackets the lowest and the highest of the
rounds, which take the cases by turns. CPU is the kernel's count. *Other work* is what the machine did for
others meanwhile, which spoils seconds."""


def section(published: ResultsFile) -> str:
    """Write the section, markers included."""
    lines = [
        BEGINS,
        "",
        _INTRODUCTION.format(cores=published.cores, memory=published.memory_gib),
        "",
        *_markdown(goals_table(published.results)),
    ]
    for measure, taken in published.measures.items():
        lines += [
            "",
            f"### {_TITLES.get(measure, measure)}",
            "",
            f"{taken.on}, {taken.rounds} round{'s' * (taken.rounds > 1)}.",
            "",
        ]
        if measure == storm.MEASURE:
            lines += [f"![CPU per claim by process]({PLOT.relative_to(DOCUMENT.parent)})", ""]
        lines += _markdown(figures_table(published.results, measure, ""))
        for what, title in BY_PROCESS.items():
            table = processes_table(published.results, measure, what, "")
            if table is not None and (measure == storm.MEASURE or what == "share_of_a_core"):
                lines += ["", f"{title[0].upper()}{title[1:]}:", "", *_markdown(table)]
    return "\n".join([*lines, "", ENDS])


def plot(results: Results) -> str | None:
    """Draw the CPU per claim of all that take a whole storm; None where none was measured."""
    claims = {case: results.median(storm.MEASURE, case, "claims") for case in results.cases(storm.MEASURE)}
    whole = [case for case, count in claims.items() if count == max(filter(None, claims.values()), default=0)]
    if not whole:
        return None
    values = {case: results.by_process(storm.MEASURE, case, "cpu_ms") for case in whole}
    return bars("CPU milliseconds per claim", values, unit="ms")


def replaced(text: str, section: str) -> str:
    """Put the section in the place of the one that a document has. Raises ValueError if it has none."""
    before, begins, rest = text.partition(BEGINS)
    _, ends, after = rest.partition(ENDS)
    if not begins or not ends:
        raise ValueError(f"the document has no {BEGINS} with {ENDS}")
    return before + section + after


def publish(*found: ResultsFile) -> None:
    """Publish what was measured, the last of each measure: results, section and plot."""
    published = read_results()
    for each in found:
        published = each.published_over(published)
    published.write(PUBLISHED)
    DOCUMENT.write_text(replaced(DOCUMENT.read_text(), section(published)))
    drawn = plot(published.results)
    if drawn is not None:
        PLOT.parent.mkdir(exist_ok=True)
        PLOT.write_text(drawn)


def _markdown(table: TextTable) -> list[str]:
    head = [table.columns, ["---", *("---:" for _ in table.columns[1:])]]
    return [f"| {' | '.join(row)} |" for row in (*head, *table.rows)]


if __name__ == "__main__":
    publish(*(read_results(Path(file)) for file in sys.argv[1:]))
