"""The report as CSV: one number a line, with names for machines beside those for people (RFC 4180, UTF-8)."""

import csv
import io
from collections.abc import Iterator

from shared.contract.reports import PeriodReport
from shared.reports.tables import Row, Tables

CONTENT_TYPE = "text/csv; charset=utf-8"

_HEADINGS = ("insurer", "period", "preliminary", "short", "table", "key", "label", "unit", "value", "previous")
_STARTS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_of(report: PeriodReport, tables: Tables) -> bytes:
    """Write the report as CSV; a number that there is not is left empty, and times are seconds."""
    written = io.StringIO()
    writer = csv.writer(written)
    writer.writerow(_HEADINGS)
    for table, row in _rows(tables):
        about = (report.insurer, report.period, _truth(report.preliminary), _truth(bool(report.short)))
        said = (table, _cell(row.key), _cell(row.label), row.unit)
        writer.writerow((*about, *said, _number(row.value), _number(row.previous)))
    return written.getvalue().encode()


def _rows(tables: Tables) -> Iterator[tuple[str, Row]]:
    for table in tables.tables:
        for row in table.rows:
            yield table.key, row


def _cell(text: str) -> str:
    """Keep a spreadsheet from taking a name, which is a company's own, for a formula."""
    return f"'{text}" if text.startswith(_STARTS_A_FORMULA) else text


def _truth(value: bool) -> str:
    return str(value).lower()


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, float) and value.is_integer() else str(value)
