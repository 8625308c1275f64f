"""Saksliste: the claims that the viewer's company may see, with filters that are the page's address."""

from datetime import UTC, date, datetime
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from services.portal.claim_view import State
from services.portal.listing import Day, Filter
from services.portal.rendering import render
from services.portal.viewer import Viewer
from services.portal.visit import Visit
from shared.contract.fields import Cause, CompanyKind
from shared.contract.texts import by_name
from shared.domain.companies import Office
from shared.domain.directory import Directory

_DAYS = {"registrert": Day.REGISTERED, "skadedato": Day.INCIDENT}
_OLDEST_FIRST = "eldste"
_LONGEST_TEXT = 100


async def claims(visit: Visit) -> Response:
    """Show a page of the list."""
    viewer, portal = visit.viewer, visit.portal
    query = {name: value for name, value in visit.request.query_params.items() if value}
    if "midlertidig" in query:  # it is a status: no other one can be in force too
        query.pop("status", None)
    if len(query) < len(visit.request.query_params):  # what a form leaves empty makes no part of an address to keep
        return RedirectResponse(f"/saker?{urlencode(query)}".rstrip("?"), 303)
    wanted = read_filter(query)
    try:
        page = await portal.store.page(viewer.company.id, wanted, viewer.zone, query.get("etter"))
    except ValueError:
        raise HTTPException(404) from None
    chosen = {name: value for name, value in query.items() if name != "etter"}
    return render(
        visit,
        "claims.html",
        page=page,
        filter=wanted,
        chosen=chosen,
        waiting=await portal.store.waiting(viewer.company.id) if viewer.is_insurer else 0,
        offices=offices_in_list(viewer, portal.directory),
        with_temporary=_address(chosen | {"midlertidig": "1"}, without="status"),
        by_day={
            day: _address(chosen | {"dato": name, "rekkefolge": _turned(wanted, day)}) for name, day in _DAYS.items()
        },
        next_page=_address(chosen | {"etter": page.after}) if page.after else None,
        first_page=_address(chosen) if "etter" in query else None,
        advanced=bool(wanted.state is State.TEMPORARY),
    )


def read_filter(query: dict[str, str]) -> Filter:
    """Read an address; what is not understood is as if it were not there."""
    state = {"normal": State.NORMAL, "avbrutt": State.CANCELLED}.get(query.get("status", ""))
    return Filter(
        state=State.TEMPORARY if query.get("midlertidig") else state,
        cause=next((cause for cause in Cause if cause == query.get("arsak")), None),
        office=query.get("kontor"),
        day=_DAYS.get(query.get("dato", ""), Day.REGISTERED),
        first=_date(query.get("fra")),
        last=_date(query.get("til")),
        text=query.get("tekst", "")[:_LONGEST_TEXT],
        newest_first=query.get("rekkefolge") != _OLDEST_FIRST,
    )


def offices_in_list(viewer: Viewer, directory: Directory) -> list[Office]:
    """The offices that a list can be filtered by: a partner's own, for an insurer all partners'."""
    at = datetime.now(UTC)
    if not viewer.is_insurer:
        return by_name(directory.offices_of(viewer.company.id, at))
    partners = [company for company in directory.companies(at) if company.kind is CompanyKind.PARTNER]
    return [office for partner in by_name(partners) for office in by_name(directory.offices_of(partner.id, at))]


def _turned(wanted: Filter, day: Day) -> str:
    """The other order of the day that the list is sorted by; another day begins with the newest."""
    return _OLDEST_FIRST if wanted.day is day and wanted.newest_first else ""


def _address(chosen: dict[str, str], without: str = "") -> str:
    kept = {name: value for name, value in chosen.items() if value and name != without}
    return f"/saker?{urlencode(kept)}".rstrip("?")


def _date(text: str | None) -> date | None:
    """Read a date as the form's own field writes it, so that the field shows what is in force."""
    try:
        return date.fromisoformat(text) if text and len(text) == len("2026-11-24") else None
    except ValueError:
        return None
