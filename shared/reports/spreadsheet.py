"""The report as a spreadsheet for Excel and others: a sheet for each table, typed cells, charts."""

import io
from datetime import UTC
from typing import Any

from shared.contract.reports import PeriodReport
from shared.domain.clock import zone_to_show
from shared.reports.labels import sheet_name
from shared.reports.tables import Row, Table, Tables, Unit

CONTENT_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

_OPTIONS = {"in_memory": True, "date_1904": True}
"""Excel shows negative times, as changes can be, only where days are counted from 1904; from 1900 it shows ####."""
_SECONDS_A_DAY = 86_400
_WIDTHS = (44, 16, 16, 16)


def spreadsheet(report: PeriodReport, tables: Tables, time_zone: str) -> bytes:
    """Write the report as XLSX. Moments are in the insurer's time zone, since a spreadsheet knows none."""
    import xlsxwriter  # noqa: PLC0415 (slow to import, and few ask for a spreadsheet)

    written = io.BytesIO()
    with xlsxwriter.Workbook(written, _OPTIONS) as book:
        made_at = (report.closed_at or report.from_).astimezone(UTC).replace(tzinfo=None)
        book.set_properties({"title": tables.title, "author": "Claimbus", "created": made_at})
        formats = {
            "bold": book.add_format({"bold": True}),
            "title": book.add_format({"bold": True, "font_size": 14}),
            "moment": book.add_format({"num_format": "yyyy-mm-dd hh:mm", "align": "left"}),
            Unit.COUNT: book.add_format({"num_format": "#,##0"}),
            Unit.SECONDS: book.add_format({"num_format": "[h]:mm:ss"}),
        }
        for table in tables.tables:
            _Sheet(book, table, tables, formats).write(report, time_zone)
    return written.getvalue()


class _Sheet:
    """A table on a sheet of its own; the first also says what the report is of."""

    def __init__(self, book: Any, table: Table, tables: Tables, formats: dict[str, Any]) -> None:
        self._book = book
        self._table = table
        self._tables = tables
        self._formats = formats
        self._sheet = book.add_worksheet(sheet_name(table.key, tables.language))

    def write(self, report: PeriodReport, time_zone: str) -> None:
        for column, width in enumerate(_WIDTHS):
            self._sheet.set_column(column, column, width)
        top = self._write_heading(report, time_zone) if self._table is self._tables.tables[0] else 0
        self._write_rows(top)
        if self._table.has_chart:
            self._draw(top)

    def _write_heading(self, report: PeriodReport, time_zone: str) -> int:
        self._sheet.write_string(0, 0, self._tables.title, self._formats["title"])
        zone, called = zone_to_show(time_zone)
        self._sheet.write_string(1, 0, called)
        for column, at in ((1, report.from_), (2, report.to)):
            self._sheet.write_datetime(1, column, at.astimezone(zone).replace(tzinfo=None), self._formats["moment"])
        for n, note in enumerate(self._tables.notes):
            self._sheet.write_string(2 + n, 0, note)
        return 3 + len(self._tables.notes)

    def _write_rows(self, top: int) -> None:
        headings = ["name", "this_period", *(["previous_period", "change"] if self._tables.has_previous else [])]
        for column, heading in enumerate(headings):
            self._sheet.write_string(top, column, self._tables.word(heading), self._formats["bold"])
        for n, row in enumerate(self._table.rows, start=top + 1):
            self._sheet.write_string(n, 0, row.label)  # never a formula: offices' names are their companies' own
            numbers = [row.value, *([row.previous, row.change] if self._tables.has_previous else [])]
            for column, value in enumerate(numbers, start=1):
                self._write_number(n, column, row, value)
        self._sheet.freeze_panes(top + 1, 1)

    def _write_number(self, n: int, column: int, row: Row, value: float | None) -> None:
        if value is None:
            return
        days = value / _SECONDS_A_DAY if row.unit is Unit.SECONDS else value
        self._sheet.write_number(n, column, days, self._formats[row.unit])

    def _draw(self, top: int) -> None:
        first, last = top + 1, top + len(self._table.rows)
        chart = self._book.add_chart({"type": "bar"})
        for column in (1, 2) if self._tables.has_previous else (1,):
            chart.add_series(
                {
                    "name": [self._sheet.name, top, column],
                    "categories": [self._sheet.name, first, 0, last, 0],
                    "values": [self._sheet.name, first, column, last, column],
                }
            )
        chart.set_title({"name": self._table.title})
        chart.set_y_axis({"reverse": True})
        chart.set_legend({"position": "bottom"})
        self._sheet.insert_chart(top, len(_WIDTHS) + 1, chart)
