"""The report as tables, which every form of it shows: pages, spreadsheet, CSV and text."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from shared.contract.fields import Cause
from shared.contract.reports import Figures, PeriodReport
from shared.contract.texts import alphabetical
from shared.domain.clock import zone_to_show
from shared.reports.labels import Language, cause_name, duration, moment, number, period_name, reason, word


class Unit(StrEnum):
    """What a number of a row is."""

    COUNT = "count"
    SECONDS = "seconds"


@dataclass(frozen=True, slots=True)
class Row:
    """A number beside that of the period before."""

    key: str
    """For machines: a field's name, an office's id, a cause, a code."""
    label: str
    value: float | None
    previous: float | None
    unit: Unit = Unit.COUNT

    @property
    def change(self) -> float | None:
        """How much more it is than in the period before."""
        return None if self.value is None or self.previous is None else self.value - self.previous


@dataclass(frozen=True, slots=True)
class Table:
    """Rows with a title; those that have a chart show the same numbers as bars."""

    key: str
    title: str
    rows: tuple[Row, ...]
    has_chart: bool = False


@dataclass(frozen=True, slots=True)
class Tables:
    """A report in words: what it is of, what there is to say about it, and its tables."""

    language: Language
    title: str
    subtitle: str
    """The period's first and last moments, in the insurer's time zone."""
    notes: tuple[str, ...]
    has_previous: bool
    tables: tuple[Table, ...]

    def formatted(self, row: Row, value: float | None) -> str:
        """Write a row's number for a person."""
        if value is None:
            return "–"
        return duration(value, self.language) if row.unit is Unit.SECONDS else number(value, self.language)

    def change(self, row: Row) -> str:
        """Write how much more it is than in the period before."""
        change = row.change
        if not change:
            return "–" if change is None else "0"
        return ("+" if change > 0 else "\N{MINUS SIGN}") + self.formatted(row, abs(change))

    def word(self, name: str) -> str:
        """A word of the report."""
        return word(name, self.language)


def tables_of(
    report: PeriodReport, *, time_zone: str, language: Language, offices: Mapping[str, str] | None = None
) -> Tables:
    """Put a report into words and tables; `offices` are the names of offices, of which it has the ids."""
    build = _Builder(report, report.previous, language, offices or {})
    begins, ends = moment(report.from_, time_zone, language), moment(report.to, time_zone, language)
    notes = [word("preliminary", language)] if report.preliminary else []
    if report.short:
        notes.append(word("short", language, begins=begins))
    if report.closed_at is not None:
        notes.append(word("closed", language, at=moment(report.closed_at, time_zone, language)))
    return Tables(
        language=language,
        title=f"{word('title', language)}, {period_name(report, language)}",
        subtitle=f"{begins} – {ends} {zone_to_show(time_zone)[1]}",
        notes=tuple(notes),
        has_previous=report.previous is not None,
        tables=build.tables(),
    )


@dataclass(frozen=True, slots=True)
class _Builder:
    report: Figures
    before: Figures | None
    language: Language
    offices: Mapping[str, str]

    def tables(self) -> tuple[Table, ...]:
        return (
            self._table("summary", self._summary(), has_chart=True),
            self._table("office_hours", self._office_hours(), has_chart=True),
            self._table("by_office", self._by_office(), has_chart=True),
            self._table("by_cause", self._by_cause(), has_chart=True),
            self._table("by_code", self._by_code()),
            self._table("times", self._times()),
        )

    def _table(self, key: str, rows: list[Row], *, has_chart: bool = False) -> Table:
        return Table(key, word(key, self.language), tuple(rows), has_chart and bool(rows))

    def _row(self, name: str, path: str, unit: Unit = Unit.COUNT) -> Row:
        previous = None if self.before is None else _at(self.before, path)
        return Row(name, word(name, self.language), _at(self.report, path), previous, unit)

    def _summary(self) -> list[Row]:
        return [
            self._row("created", "created.total"),
            self._row("refused", "refused.total"),
            *(self._row(name, name) for name in ("converted", "linked", "cancelled", "waiting")),
            self._row("tasks_assigned", "tasks.assigned"),
            self._row("tasks_reported", "tasks.reported"),
        ]

    def _office_hours(self) -> list[Row]:
        return [self._row(name, f"created.{name}") for name in ("inside_office_hours", "outside_office_hours")]

    def _by_office(self) -> list[Row]:
        before = None if self.before is None else self.before.created.by_office
        return self._counted(
            self.report.created.by_office, before, {id: self.offices.get(id, id) for id in self._offices()}
        )

    def _offices(self) -> set[str]:
        return {*self.report.created.by_office, *(self.before.created.by_office if self.before else ())}

    def _by_cause(self) -> list[Row]:
        before = None if self.before is None else _texts(self.before.created.by_cause)
        names = {cause.value: cause_name(cause, self.language) for cause in Cause}
        return self._counted(_texts(self.report.created.by_cause), before, names)

    def _by_code(self) -> list[Row]:
        before = None if self.before is None else self.before.refused.by_code
        codes = {*self.report.refused.by_code, *(before or ())}
        names = {code: reason(code, self.language) for code in codes}
        return self._counted(self.report.refused.by_code, before, names)

    def _counted(
        self, counts: Mapping[str, int], before: Mapping[str, int] | None, names: Mapping[str, str]
    ) -> list[Row]:
        """Make a row for each that was counted in either period, the most first."""
        keys = sorted({*counts, *(before or ())}, key=lambda key: (-counts.get(key, 0), alphabetical(names[key])))
        return [
            Row(key, names[key], counts.get(key, 0), None if before is None else before.get(key, 0)) for key in keys
        ]

    def _times(self) -> list[Row]:
        return [
            self._row(f"{what}_{part}", f"{what}.{part}", Unit.SECONDS)
            for what in ("time_to_converted", "time_to_linked")
            for part in ("median_s", "p90_s")
        ]


def _at(figures: Figures, path: str) -> float | None:
    value: object = figures
    for name in path.split("."):
        value = getattr(value, name)
    assert value is None or isinstance(value, int | float)  # noqa: S101 - the paths above
    return value


def _texts(counts: Mapping[Cause, int]) -> dict[str, int]:
    return {cause.value: count for cause, count in counts.items()}
