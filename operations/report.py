"""`claimbus report`: the report of temporary claims of an insurer's week or month (domain rules 18–20)."""

import asyncio
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr
from rich.table import Table as RichTable

from operations.connection import Connection, Unreachable, load_connection
from operations.directory_view import directory_from_bus
from operations.options import AsJson, ConnectionFile, fail, out, print_json
from operations.printing import json_text
from services.reporting.reports import Incomplete, UnknownPeriod, find_report
from services.reporting.store import Store
from shared.contract.reports import PeriodReport
from shared.domain.clock import NotKnownHere
from shared.domain.directory import Directory
from shared.reports.comma_separated import Reader, csv_of
from shared.reports.labels import Language
from shared.reports.spreadsheet import spreadsheet
from shared.reports.tables import Tables, tables_of
from shared.runtime.settings import DatabaseSettings
from shared.storage.database import DatabaseAway, engine_for


class Format(StrEnum):
    """How to write the report."""

    TEXT = "text"
    JSON = "json"
    XLSX = "xlsx"
    CSV = "csv"


def report(
    insurer: Annotated[str, typer.Option(help="The insurer's id.")],
    period: Annotated[
        str | None,
        typer.Option(
            help="An ISO week such as 2026-W47, or a month such as 2026-11; by default the newest report that is made, "
            "or where none is yet, the running period. A period that is not closed is marked preliminary."
        ),
    ] = None,
    format: Annotated[Format, typer.Option(help="How to write it.")] = Format.TEXT,
    reader: Annotated[
        Reader,
        typer.Option("--for", help="Of CSV: people open it in a spreadsheet (; and decimal comma), machines read it."),
    ] = Reader.PEOPLE,
    output: Annotated[Path | None, typer.Option(help="The file to write; by default standard output.")] = None,
    language: Annotated[Language, typer.Option(help="Of everything but JSON.")] = Language.EN,
    connection_file: ConnectionFile = None,
    as_json: AsJson = False,
) -> None:
    """Write the report of temporary claims of a period."""
    format = Format.JSON if as_json else format
    if format is Format.XLSX and output is None and sys.stdout.isatty():
        fail("a spreadsheet is not for a terminal: give --output FILE")
    try:
        connection = load_connection(connection_file)
        directory = directory_from_bus(connection)
        found, time_zone = asyncio.run(look_up(connection, directory, insurer, period))
    except (Unreachable, UnknownPeriod, Incomplete, NotKnownHere) as error:
        fail(error)
    except (OSError, DatabaseAway):
        fail("the reporting database does not answer")
    _write(found, time_zone, directory, _Form(format, reader, language), output)


async def look_up(
    connection: Connection, directory: Directory, insurer: str, period: str | None
) -> tuple[PeriodReport, str]:
    """Find a report and the time zone that it was counted in.

    Raises Unreachable, UnknownPeriod, Incomplete, NotKnownHere or DatabaseAway.
    """
    engine = engine_for(DatabaseSettings(database_url=SecretStr(connection.database("reporting"))))
    try:
        async with Store(engine).transaction(unlimited=True) as transaction:
            return await find_report(transaction, directory, insurer, period, datetime.now(UTC))
    finally:
        await engine.dispose()


@dataclass(frozen=True)
class _Form:
    format: Format
    reader: Reader
    language: Language


def _write(found: PeriodReport, time_zone: str, directory: Directory, form: _Form, output: Path | None) -> None:
    if form.format is Format.JSON and output is None:
        print_json(found.document())
        return
    now = datetime.now(UTC)
    offices = {id: directory.office(id, now) for id in _offices(found)}
    names = {id: office.name for id, office in offices.items() if office is not None}
    tables = tables_of(found, time_zone=time_zone, language=form.language, offices=names)
    if form.format is Format.TEXT and output is None:
        _print(tables)
        return
    content = _content(found, tables, time_zone, form)
    if output is None:
        sys.stdout.buffer.write(content)
        return
    try:
        output.write_bytes(content)
    except (OSError, ValueError) as error:
        fail(error)


def _content(found: PeriodReport, tables: Tables, time_zone: str, form: _Form) -> bytes:
    if form.format is Format.XLSX:
        return spreadsheet(found, tables, time_zone)
    if form.format is Format.CSV:
        return csv_of(found, tables, form.reader)
    if form.format is Format.JSON:
        return json_text(found.document()).encode()
    with out.capture() as captured:
        _print(tables)
    return captured.get().encode()


def _offices(found: PeriodReport) -> set[str]:
    return {*found.created.by_office, *(found.previous.created.by_office if found.previous else ())}


def _print(tables: Tables) -> None:
    out.print(tables.title, style="bold")
    out.print(tables.subtitle)
    for note in tables.notes:
        out.print(note, style="yellow")
    for table in tables.tables:
        out.print()
        headings = ["this_period", "previous_period", "change"] if tables.has_previous else ["this_period"]
        shown = RichTable(table.title, box=None)
        for heading in headings:
            shown.add_column(tables.word(heading), justify="right")
        for row in table.rows:
            before = [tables.formatted(row, row.previous), tables.change(row)] if tables.has_previous else []
            shown.add_row(row.label, tables.formatted(row, row.value), *before)
        out.print(shown)
        if not table.rows:
            out.print(tables.word("nothing"))
