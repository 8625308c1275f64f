"""*Rapporter*: the report of temporary claims, for the insurer's users of level 6 and nobody else (rules 18–20)."""

from datetime import UTC, datetime

from starlette.exceptions import HTTPException
from starlette.responses import Response

from services.portal.rendering import render
from services.portal.visit import Visit
from shared.contract.reports import ReportReady
from shared.reports.comma_separated import CONTENT_TYPE as CSV
from shared.reports.comma_separated import Reader, csv_of
from shared.reports.labels import Language, period_name
from shared.reports.page import page
from shared.reports.spreadsheet import CONTENT_TYPE as XLSX
from shared.reports.spreadsheet import spreadsheet
from shared.reports.tables import Tables, tables_of


async def reports(visit: Visit) -> Response:
    """List the periods whose report is made, newest first."""
    insurer = _insurer(visit)
    made = await visit.portal.store.reports(insurer)
    language = Language(visit.language)
    named = [(ready.period, period_name(ready.report, language), ready.report) for ready in made]
    return render(visit, "reports.html", reports=named)


async def report(visit: Visit) -> Response:
    """Show a period's report: tables and charts."""
    ready = await _ready(visit)
    tables = _tables(visit, ready)
    return render(visit, "report_page.html", title=tables.title, period=ready.period, report=page(tables, heading=2))


async def as_spreadsheet(visit: Visit) -> Response:
    """Give a period's report as a spreadsheet."""
    ready = await _ready(visit)
    return _file(spreadsheet(ready.report, _tables(visit, ready), ready.time_zone), XLSX, f"{ready.period}.xlsx")


async def as_csv(visit: Visit) -> Response:
    """Give a period's report as CSV: for a spreadsheet program, or for a machine that asks with `?for=maskin`.

    A machine can also ask by `Accept: text/csv`, which no browser sends.
    """
    ready = await _ready(visit)
    asks = visit.request.query_params.get("for") == "maskin" or "text/csv" in visit.request.headers.get("accept", "")
    reader = Reader.MACHINES if asks else Reader.PEOPLE
    return _file(csv_of(ready.report, _tables(visit, ready), reader), CSV, f"{ready.period}.csv")


def _insurer(visit: Visit) -> str:
    """For everybody else the pages do not exist."""
    viewer = visit.viewer
    if not viewer.sees_reports:
        raise HTTPException(404)
    return viewer.company.id


async def _ready(visit: Visit) -> ReportReady:
    ready = await visit.portal.store.report(_insurer(visit), visit.request.path_params["period"])
    if ready is None:
        raise HTTPException(404)
    return ready


def _tables(visit: Visit, ready: ReportReady) -> Tables:
    directory, at = visit.portal.directory, datetime.now(UTC)
    offices = {office.id: office.name for c in directory.companies(at) for office in directory.offices_of(c.id, at)}
    return tables_of(ready.report, time_zone=ready.time_zone, language=Language(visit.language), offices=offices)


def _file(content: bytes, type: str, name: str) -> Response:
    headers = {"content-disposition": f'attachment; filename="{name}"', "cache-control": "private, no-store"}
    return Response(content, media_type=type, headers=headers)
