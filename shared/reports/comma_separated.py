"""The report as CSV: one number a line, with names for machines beside those for people (RFC 4180, UTF-8).

What is called CSV is two things. Machines expect commas between fields and points in numbers. A spreadsheet program
opens a file by the country's manners, which in Norway are semicolons and decimal commas, and takes it for UTF-8 only
where it begins with a byte order mark.
"""

import csv
import io
from collections.abc import Iterator
from enum import StrEnum

from shared.contract.reports import PeriodReport
from shared.reports.tables import Row, Tables

CONTENT_TYPE = "text/csv; charset=utf-8"

_HEADINGS = ("insurer", "period", "preliminary", "short", "table", "key", "label", "unit", "value", "previous")
_STARTS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Reader(StrEnum):
    """Who opens it."""

    PEOPLE = "people"
    MACHINES = "machines"


def csv_of(report: PeriodReport, tables: Tables, reader: Reader = Reader.PEOPLE) -> bytes:
    """Write the report as CSV; a number that there is not is left empty, and times are seconds."""
    for_people = reader is Reader.PEOPLE
    written = io.StringIO()
    writer = csv.writer(written, delimiter=";" if for_people else ",")
    writer.writerow(_HEADINGS)
    for table, row in _rows(tables):
        about = (report.insurer, report.period, _truth(report.preliminary), _truth(bool(report.short)))
        row_fields = (table, _cell(row.key), _cell(row.label), row.unit)
        numbers = (_number(number, point="," if for_people else ".") for number in (row.value, row.previous))
        writer.writerow((*about, *row_fields, *numbers))
    return written.getvalue().encode("utf-8-sig" if for_people else "utf-8")


def _rows(tables: Tables) -> Iterator[tuple[str, Row]]:
    for table in tables.tables:
        for row in table.rows:
            yield table.key, row


def _cell(text: str) -> str:
    """Keep a spreadsheet from taking a name, which is a company's own, for a formula."""
    return f"'{text}" if text.startswith(_STARTS_A_FORMULA) else text


def _truth(value: bool) -> str:
    return str(value).lower()


def _number(value: float | None, point: str) -> str:
    if value is None:
        return ""
    return str(int(value) if value == int(value) else value).replace(".", point)
