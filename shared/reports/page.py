"""The report as a part of a web page: tables, and charts drawn on the server. It loads nothing and runs nothing."""

from collections.abc import Iterator
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from shared.reports.tables import Table, Tables

_LABEL_WIDTH, _BAR_WIDTH, _NUMBER_WIDTH = 240, 400, 80
_ROW_HEIGHT, _BAR_HEIGHT, _BEFORE_HEIGHT = 36, 14, 7
_LONGEST_LABEL = 28
_MOST_BARS = 20

_TEMPLATES = Environment(
    loader=PackageLoader("shared.reports"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True, slots=True)
class Bar:
    """A row of a chart: where it is and how long its bars are, in the chart's own units."""

    label: str
    value_text: str
    y: int
    width: float
    before_width: float | None


@dataclass(frozen=True, slots=True)
class Chart:
    """Horizontal bars, each over a thinner one of the period before."""

    bars: tuple[Bar, ...]
    width: int = _LABEL_WIDTH + _BAR_WIDTH + _NUMBER_WIDTH
    label_width: int = _LABEL_WIDTH
    bar_height: int = _BAR_HEIGHT
    before_height: int = _BEFORE_HEIGHT

    @property
    def height(self) -> int:
        """The chart's height."""
        return len(self.bars) * _ROW_HEIGHT


def page(tables: Tables, *, heading: int = 2) -> Markup:
    """Write the report as an HTML section; `heading` is the level of its title, 1–5."""
    charts = {table.key: chart(table, tables) for table in tables.tables if table.has_chart}
    rendered = _TEMPLATES.get_template("report.html.j2").render(report=tables, charts=charts, heading=heading)
    return Markup(rendered)  # noqa: S704 - the template escapes what it is given


def chart(table: Table, tables: Tables) -> Chart:
    """Draw a table's first rows; those that would not fit are in the table."""
    return Chart(tuple(_bars(table, tables)))


def _bars(table: Table, tables: Tables) -> Iterator[Bar]:
    rows = table.rows[:_MOST_BARS]
    longest = max([1.0, *(value for row in rows for value in (row.value, row.previous) if value is not None)])
    for n, row in enumerate(rows):
        yield Bar(
            label=row.label if len(row.label) <= _LONGEST_LABEL else f"{row.label[: _LONGEST_LABEL - 1]}…",
            value_text=tables.formatted(row, row.value),
            y=n * _ROW_HEIGHT,
            width=round((row.value or 0) / longest * _BAR_WIDTH, 1),
            before_width=None if row.previous is None else round(row.previous / longest * _BAR_WIDTH, 1),
        )
