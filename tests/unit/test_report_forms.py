"""The report as a page, a spreadsheet and CSV, in Norwegian and English."""

import codecs
import csv
import io
import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import load_workbook
from openpyxl.utils.datetime import MAC_EPOCH

from shared.contract.codes import Code
from shared.contract.fields import Cause
from shared.contract.reports import Created, Durations, Figures, PeriodReport, RefusedRequests, Tasks
from shared.reports.comma_separated import Reader, csv_of
from shared.reports.labels import Language, cause_name, duration, reason, sheet_name
from shared.reports.page import page
from shared.reports.spreadsheet import spreadsheet
from shared.reports.tables import tables_of

OSLO = "Europe/Oslo"
BEGINS = datetime(2026, 10, 18, 22, tzinfo=UTC)
ENDS = datetime(2026, 10, 25, 23, tzinfo=UTC)
"""A week in which the clocks went back in Oslo: it ends at midnight there."""
OFFICES = {"vest-bergen": "Vest, Bergen", "nord-bodo": '=HYPERLINK("http://example.com")<script>alert(1)</script>'}


def figures(scale: int, **changes: Any) -> dict[str, Any]:
    return {
        "insurer": "fjord-forsikring",
        "period": "2026-W43",
        "from_": BEGINS,
        "to": ENDS,
        "preliminary": False,
        "closed_at": ENDS + timedelta(seconds=12),
        "created": Created(
            total=1200 * scale,
            inside_office_hours=200 * scale,
            outside_office_hours=1000 * scale,
            by_office={"vest-bergen": 900 * scale, "nord-bodo": 300 * scale},
            by_cause={Cause.WATER: 1000 * scale, Cause.STORM: 200 * scale},
        ),
        "refused": RefusedRequests(total=5 * scale, by_code={"inside_office_hours": 4 * scale, "a_new_code": scale}),
        "converted": 700 * scale,
        "linked": 200 * scale,
        "cancelled": 10 * scale,
        "waiting": 290,
        "time_to_converted": Durations(median_s=9_000.5 * scale, p90_s=90_000.0),
        "tasks": Tasks(assigned=1500 * scale, reported=1300 * scale),
        **changes,
    }


REPORT = PeriodReport(**figures(2), previous=Figures(**figures(1, period="2026-W42")))
FIRST = PeriodReport(**figures(1, short=True, preliminary=True, closed_at=None))


def tables(report: PeriodReport = REPORT, language: Language = Language.NB) -> Any:
    return tables_of(report, time_zone=OSLO, language=language, offices=OFFICES)


class _Parsed(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())


def test_a_page_is_well_formed_and_runs_and_loads_nothing_of_what_a_name_says() -> None:
    parsed = _Parsed(page(tables()))
    assert parsed.open == []
    assert not {"script", "style", "link", "img", "a"} & {tag for tag, _ in parsed.elements}
    assert not {name for _, attributes in parsed.elements for name in attributes} & {"style", "onclick", "href", "src"}
    assert OFFICES["nord-bodo"] in parsed.texts


def test_a_page_says_the_period_in_the_insurers_time_zone_and_in_the_language_asked_for() -> None:
    norwegian, english = page(tables()), page(tables(language=Language.EN))
    assert "Midlertidige saker, uke 43, 2026" in norwegian
    assert "mandag 19. oktober 2026 00:00 – mandag 26. oktober 2026 00:00 Europe/Oslo" in norwegian
    assert "Monday 19 October 2026 00:00 – Monday 26 October 2026 00:00 Europe/Oslo" in english
    assert "Temporary claims, week 43, 2026" in english
    assert Code.INSIDE_OFFICE_HOURS.message.nb in _Parsed(norwegian).texts
    assert Code.INSIDE_OFFICE_HOURS.message.en in _Parsed(english).texts


def test_a_preliminary_report_and_a_short_period_are_marked_so() -> None:
    norwegian, english = page(tables(FIRST)), page(tables(FIRST, Language.EN))
    assert all(words in norwegian for words in ("Foreløpig", "Kort periode"))
    assert all(words in english for words in ("Preliminary", "Short period"))
    assert "Foreløpig" not in page(tables())
    assert "Forrige periode" not in page(tables(FIRST))


def test_a_chart_has_a_bar_for_each_row_as_long_as_its_number() -> None:
    html = str(page(tables()))
    chart = html[html.index("<svg", html.index('id="report-by_cause"')) :]
    svg = ET.fromstring(chart[: chart.index("</svg>") + 6])
    widths = [float(rect.get("width", "")) for rect in svg.iter("rect")]
    assert widths == [400.0, 200.0, 80.0, 40.0]  # water and storm, each over the period before
    assert svg.get("role") == "img"
    assert svg.get("aria-label") == "Søylediagram: Opprettet etter årsak"


def test_a_spreadsheet_has_a_sheet_for_each_table_with_typed_cells_and_charts() -> None:
    book = load_workbook(io.BytesIO(spreadsheet(REPORT, tables(), OSLO)))
    assert [sheet.title for sheet in book] == [sheet_name(table.key, Language.NB) for table in tables().tables]
    first = book["Oversikt"]
    assert [str(first[cell].value) for cell in ("B2", "C2")] == ["2026-10-19 00:00:00", "2026-10-26 00:00:00"]
    rows = {row[0]: row[1:] for row in first.iter_rows(min_row=5, values_only=True)}
    assert rows["Opprettet"][:3] == (2400, 1200, 1200)
    times = {row[0]: row[1] for row in book["Tid til ferdig"].iter_rows(min_row=2, values_only=True)}
    assert times["Til normal sak, median"] == timedelta(seconds=18_001)
    assert times["Til tilknyttet, median"] is None
    assert [len(sheet._charts) for sheet in book] == [1, 1, 1, 1, 0, 0]  # type: ignore[attr-defined]


@pytest.mark.parametrize("language", Language)
def test_a_sheets_name_is_whole_and_no_longer_than_a_spreadsheet_takes(language: Language) -> None:
    titles = {table.key: table.title for table in tables(language=language).tables}
    names = {key: sheet_name(key, language) for key in titles}
    assert max(map(len, names.values())) <= 31
    assert len(set(names.values())) == len(titles)
    assert {key for key, title in titles.items() if names[key] != title} == {"by_code"}
    book = load_workbook(io.BytesIO(spreadsheet(REPORT, tables(language=language), OSLO)))
    assert book.sheetnames == list(names.values())


def test_a_time_that_became_shorter_has_a_negative_change_in_days_like_any_other_number() -> None:
    shorter = PeriodReport(**figures(1), previous=Figures(**figures(2, period="2026-W42")))
    book = load_workbook(io.BytesIO(spreadsheet(shorter, tables(shorter), OSLO)))
    assert book.epoch == MAC_EPOCH  # from which Excel shows negative times
    (change,) = (row[3] for row in book["Tid til ferdig"].iter_rows() if row[0].value == "Til normal sak, median")
    assert change.data_type in ("n", "d")
    assert change.value == timedelta(seconds=-9_000.5)
    assert book["Oversikt"]["B2"].value == datetime(2026, 10, 19)  # noqa: DTZ001 - a spreadsheet knows no time zone


def test_no_name_becomes_a_formula_in_a_spreadsheet_or_in_csv() -> None:
    book = load_workbook(io.BytesIO(spreadsheet(REPORT, tables(), OSLO)))
    names = [cell for sheet in book for row in sheet.iter_rows() for cell in row if cell.value == OFFICES["nord-bodo"]]
    assert [cell.data_type for cell in names] == ["s"]
    for reader in Reader:
        labels = [row["label"] for row in rows_of(csv_of(REPORT, tables(), reader), reader)]
        assert f"'{OFFICES['nord-bodo']}" in labels
        assert not [label for label in labels if label.startswith("=")]


def rows_of(content: bytes, reader: Reader) -> list[dict[str, str]]:
    """Read it as its reader does: a Norwegian spreadsheet program, or a machine."""
    if reader is Reader.MACHINES:
        return list(csv.DictReader(io.StringIO(content.decode())))
    assert content.startswith(codecs.BOM_UTF8)  # without it, a spreadsheet program takes it for Windows-1252
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig")), delimiter=";"))


@settings(deadline=None)
@given(name=st.text(st.characters(codec="utf-8"), min_size=1, max_size=40).map(str.strip).filter(bool))
def test_whatever_an_office_is_called_every_form_says_it_and_none_takes_it_for_anything_else(name: str) -> None:
    named = tables_of(REPORT, time_zone=OSLO, language=Language.NB, offices={"nord-bodo": name})
    for reader in Reader:
        written = csv_of(REPORT, named, reader)
        rows = [row for row in rows_of(written, reader) if (row["table"], row["key"]) == ("by_office", "nord-bodo")]
        (label,) = [row["label"] for row in rows]
        assert label.removeprefix("'").replace("\r\n", "\n") == name.removeprefix("'").replace("\r\n", "\n")
        assert not label.startswith(("=", "+", "-", "@", "\t", "\r"))
        assert {len(row) for row in rows} == {10}
    assert spreadsheet(REPORT, named, OSLO)


def test_csv_for_people_opens_in_a_norwegian_spreadsheet_program_by_a_double_click() -> None:
    rows = rows_of(csv_of(REPORT, tables()), Reader.PEOPLE)
    found = {(row["table"], row["key"]): (row["value"], row["previous"]) for row in rows}
    assert found["summary", "created"] == ("2400", "1200")
    assert found["times", "time_to_converted_median_s"] == ("18001", "9000,5")
    assert list(rows[0]) == list(rows_of(csv_of(REPORT, tables(), Reader.MACHINES), Reader.MACHINES)[0])


def test_a_time_of_weeks_is_a_number_and_not_a_power_of_ten() -> None:
    long = REPORT.time_to_converted.model_copy(update={"median_s": 1_209_601.0, "p90_s": 1_209_601.25})
    late = REPORT.model_copy(update={"time_to_converted": long})
    rows = rows_of(csv_of(late, tables(late), Reader.MACHINES), Reader.MACHINES)
    found = {row["key"]: row["value"] for row in rows}
    assert found["time_to_converted_median_s"] == "1209601"
    assert found["time_to_converted_p90_s"] == "1209601.25"


def test_csv_has_every_number_with_names_for_machines() -> None:
    rows = rows_of(csv_of(REPORT, tables(), Reader.MACHINES), Reader.MACHINES)
    found = {(row["table"], row["key"]): (row["value"], row["previous"]) for row in rows}
    assert found["summary", "created"] == ("2400", "1200")
    assert found["by_cause", "water"] == ("2000", "1000")
    assert found["by_code", "a_new_code"] == ("2", "1")
    assert found["times", "time_to_converted_median_s"] == ("18001", "9000.5")
    assert found["times", "time_to_linked_p90_s"] == ("", "")
    about = ("insurer", "period", "preliminary", "short")
    assert {tuple(row[name] for name in about) for row in rows} == {("fjord-forsikring", "2026-W43", "false", "false")}


def test_csv_says_of_every_number_that_it_is_preliminary_and_of_a_short_period() -> None:
    rows = rows_of(csv_of(FIRST, tables(FIRST)), Reader.PEOPLE)
    assert list(rows[0])[2:4] == ["preliminary", "short"]
    assert {(row["preliminary"], row["short"]) for row in rows} == {("true", "true")}


@pytest.mark.parametrize("language", Language)
def test_an_empty_report_can_be_shown_in_every_form(language: Language) -> None:
    empty = PeriodReport(insurer="a", period="2026-11", from_=BEGINS, to=ENDS, preliminary=True)
    tables = tables_of(empty, time_zone=OSLO, language=language)
    assert _Parsed(page(tables)).open == []
    assert load_workbook(io.BytesIO(spreadsheet(empty, tables, OSLO))).sheetnames
    assert csv_of(empty, tables)
    assert tables.title in ("Midlertidige saker, november 2026", "Temporary claims, November 2026")


@pytest.mark.parametrize(
    ("seconds", "nb", "en"),
    [
        (0, "0 s", "0 s"),
        (0.4, "0 s", "0 s"),
        (59.6, "1 min", "1 min"),
        (3_725, "1 t 2 min", "1 h 2 min"),
        (86_400, "1 d", "1 d"),
        (90_061, "1 d 1 t", "1 d 1 h"),
    ],
)
def test_a_time_is_said_with_its_two_largest_units(seconds: float, nb: str, en: str) -> None:
    assert (duration(seconds, Language.NB), duration(seconds, Language.EN)) == (nb, en)


@pytest.mark.parametrize("language", Language)
def test_every_cause_and_code_has_a_name_and_an_unknown_one_is_shown_as_it_is(language: Language) -> None:
    assert all(cause_name(cause, language) != cause.value for cause in Cause)
    assert all(reason(code, language) != code.value for code in Code)
    assert (cause_name("meteor", language), reason("a_new_code", language)) == ("meteor", "a_new_code")
