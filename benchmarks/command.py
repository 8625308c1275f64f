"""`make benchmark`: measure, print tables, write JSON, and make the section of docs/performance.md."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from confluent_kafka import KafkaException
from rich.table import Table

from benchmarks import document
from benchmarks.client import LoadFailed
from benchmarks.contestants import NotDone
from benchmarks.figures import Results, Row
from benchmarks.goals import Verdict
from benchmarks.lag import NotCaughtUp
from benchmarks.measures.catch_up import measure_catch_up
from benchmarks.measures.companies import measure_companies
from benchmarks.measures.documents import measure_list, measure_report
from benchmarks.measures.latency import measure_latency
from benchmarks.measures.scale_out import measure_scale_out
from benchmarks.measures.settings import measure_settings
from benchmarks.measures.start import measure_start
from benchmarks.measures.stored import measure_stored
from benchmarks.measures.storm import measure_long_storm, measure_storm
from benchmarks.options import Options
from benchmarks.peers.registry import PEERS
from benchmarks.results import FOLDER, ResultsFile
from benchmarks.tables import BY_PROCESS, TextTable, figures_table, goals_table, processes_table
from operations.apply import NotApplied
from operations.bus import NoAnswer
from operations.connection import Unreachable
from operations.embedded import NotStarted
from operations.options import err, fail, out, sentence_of
from operations.provisioning import NotProvisioned
from operations.stack import NotUp
from operations.up import Stopped, until_stopped

_FAULTS = (
    NotDone,
    NotCaughtUp,
    LoadFailed,
    NotUp,
    NotStarted,
    NotProvisioned,
    NotApplied,
    NoAnswer,
    Unreachable,
    KafkaException,
)
_WIDTH = 130
_STORED = "0,1000000,5000000"
_COMPANIES = "3,300,3000"


class Measure(StrEnum):
    """What can be measured."""

    STORM = "storm"
    LONG_STORM = "long-storm"
    LATENCY = "latency"
    START = "start"
    COMPANIES = "companies"
    SETTINGS = "settings"
    STORED = "stored"
    CATCH_UP = "catch-up"
    SCALE_OUT = "scale-out"
    LIST = "list"
    REPORT = "report"


_MEASURES: dict[Measure, Callable[[Options], Iterator[Row]]] = {
    Measure.STORM: measure_storm,
    Measure.LONG_STORM: measure_long_storm,
    Measure.LATENCY: measure_latency,
    Measure.START: measure_start,
    Measure.COMPANIES: measure_companies,
    Measure.SETTINGS: measure_settings,
    Measure.STORED: measure_stored,
    Measure.CATCH_UP: measure_catch_up,
    Measure.SCALE_OUT: measure_scale_out,
    Measure.LIST: measure_list,
    Measure.REPORT: measure_report,
}

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command()
def benchmark(
    only: Annotated[str, typer.Option(help=f"Measures, with commas between: {', '.join(Measure)}.")] = "",
    peers: Annotated[str, typer.Option(help=f"Peers, with commas between: {', '.join(PEERS)}.")] = "",
    claims: Annotated[int, typer.Option(min=20, help="How many claims a storm has.")] = 20_000,
    rounds: Annotated[int, typer.Option(min=1, help="How often each case is measured.")] = 3,
    warm_up: Annotated[int, typer.Option(min=0, help="At most so many claims come before each storm.")] = 5_000,
    stored: Annotated[str, typer.Option(help="Numbers of stored claims, with commas between.")] = _STORED,
    companies: Annotated[str, typer.Option(help="Numbers of companies, with commas between.")] = _COMPANIES,
    settings: Annotated[int, typer.Option(min=20, help="How large a large directory is.")] = 10_000,
    away: Annotated[float, typer.Option(min=1, help="Seconds that a service is away.")] = 60,
    publish: Annotated[bool, typer.Option("--publish", help="Put it into docs/performance.md.")] = False,
) -> None:
    """Measure how fast Claimbus is, beside its peers, on a Kafka and a PostgreSQL that it starts and stops."""
    measures = [Measure(name) for name in _chosen(only, list(Measure), "--only")]
    options = Options(
        claims=claims,
        rounds=rounds,
        warm_up=warm_up,
        peers=_chosen(peers, list(PEERS), "--peers"),
        stored=_numbers(stored, "--stored"),
        companies=sorted(_numbers(companies, "--companies")),
        settings=settings,
        away_s=away,
    )
    found = ResultsFile.of_this_machine()
    file = FOLDER / f"{datetime.now(UTC):%Y-%m-%d-%H%M%S}.json"
    try:
        with until_stopped():
            failed = [measure for measure in measures if not _measured(measure, options, found, file)]
    except Stopped:
        fail("stopped before the end")
    goals = goals_table(found.results)
    if of_these := [row for row in goals.rows if row[-1] != Verdict.NOT_MEASURED]:
        print_table(replace(goals, rows=of_these))
    if found.measures:
        err.print(f"written: {file}")
    if publish:
        document.publish(found)
    if failed:
        fail(f"not measured: {', '.join(failed)}")


def _measured(measure: Measure, options: Options, found: ResultsFile, file: Path) -> bool:
    """Take a measure and print it; return whether it came to its end. What was taken before a fault is kept."""
    began = time.monotonic()
    rows: list[Row] = []
    fault: Exception | None = None
    try:
        rows.extend(_MEASURES[measure](options))
    except _FAULTS as error:
        fault = error
    found.add(rows, options.rounds, complete=fault is None)
    found.write(file)
    for name in dict.fromkeys(row.measure for row in rows):
        _print(found.results, name)
    err.print(f"{measure} took {(time.monotonic() - began) / 60:.1f} minutes")
    if fault is not None:
        err.print(*f"{measure}: {sentence_of(fault)}".splitlines(), sep="\n", style="red")
    return fault is None


def _print(results: Results, measure: str) -> None:
    print_table(figures_table(results, measure, f"{measure}: median (lowest–highest)"))
    for what, title in BY_PROCESS.items():
        table = processes_table(results, measure, what, f"{measure}: {title}")
        if table is not None:
            print_table(table)


def print_table(table: TextTable) -> None:
    """Print a table for a person."""
    shown = Table(title=table.title, title_justify="left")
    for number, column in enumerate(table.columns):
        shown.add_column(column, justify="right" if number else "left", overflow="fold")
    for row in table.rows:
        shown.add_row(*row)
    if not out.is_terminal:
        out.width = _WIDTH
    out.print(shown)


def _chosen(wish: str, known: list[str], option: str) -> list[str]:
    """What a list with commas names, by default all. Raises BadParameter."""
    names = [name.strip() for name in wish.split(",") if name.strip()] or [str(name) for name in known]
    if unknown := [name for name in names if name not in known]:
        raise typer.BadParameter(f"{', '.join(unknown)} is none of {', '.join(known)}", param_hint=option)
    return names


def _numbers(wish: str, option: str) -> list[int]:
    """Numbers with commas between. Raises BadParameter."""
    try:
        return [int(number) for number in wish.split(",")]
    except ValueError:
        raise typer.BadParameter(f"{wish!r} is not numbers with commas between", param_hint=option) from None


def main() -> None:
    """Run it."""
    app()
