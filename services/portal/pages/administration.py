"""*Selskapets admin*: which offices may create claims, office hours, and the enhanced function (rules 1, 2 and 7)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from services.portal.forms import WrongForm, read, typed
from services.portal.pages import holidays
from services.portal.pages.acting import send, show
from services.portal.viewer import Viewer
from services.portal.web import portal_of, render, viewer_from
from services.portal.words import said
from shared.clock import zone_to_show
from shared.contract.fields import CompanyKind, Weekday
from shared.contract.outcomes import DecisionRule
from shared.contract.requests import SetOfficePermission, SetPortalSettings
from shared.contract.texts import by_name
from shared.directory import Company, Office, OfficePermission, PortalSettings
from shared.office_hours import office_day

_WEEKS = 6
_MOST_DAYS = 200
_ONE_MORE = "en-til"
_HERE = "/admin/selskap"

Values = Callable[[PortalSettings], dict[str, str]]
"""What a form begins with."""


@dataclass(frozen=True)
class OfficeRow:
    """A partner's office, and what it may do for the insurer."""

    partner: Company
    office: Office
    permission: OfficePermission


@dataclass(frozen=True)
class CalendarDay:
    """A day as the insurer's office hours have it."""

    day: date
    hours: str | None
    because: str | None
    """Why it is closed: a holiday's name, or a word; of a half day the holiday's name."""


async def home(request: Request) -> Response:
    """Go to the first page."""
    _insurer(request)
    return RedirectResponse("/admin/kontorer", 303)


async def offices(request: Request) -> Response:
    """*Kontorer*: every partner's offices with what they may do."""
    return render(request, "offices.html", rows=_rows(request), settings=_settings(request))


async def office(request: Request) -> Response:
    """An office's permission and rights (domain rules 1 and 7)."""
    found = next((row for row in _rows(request) if row.office.id == request.path_params["office"]), None)
    if found is None:
        raise HTTPException(404)
    settings = _settings(request)
    about: dict[str, Any] = {"row": found, "settings": settings}
    if request.method == "GET":
        rights = {"may_assign_to_others", "may_define_claim_number"}
        held = {name: "1" for name in rights if getattr(found.permission, name)}
        return show(request, "office.html", {"creation": found.permission.creation, **held}, **about)

    def permission(values: Mapping[str, str]) -> SetOfficePermission:
        rights = {
            name: name in values for name in ("may_assign_to_others", "may_define_claim_number") if "rights" in values
        }
        return read(SetOfficePermission, {"creation": values.get("creation", "")}, office=found.office.id, **rights)

    return await send(request, "office.html", permission, done=said("Lagret."), to=lambda _: "/admin/kontorer", **about)


async def company(request: Request) -> Response:
    """*Selskap*: office hours with a calendar of what they mean, days of their own, and the other settings."""
    settings = _settings(request)
    return show(request, "company.html", _values(settings), **_about(settings, _day_count(settings)))


async def office_hours(request: Request) -> Response:
    """Set the weekdays' hours, the time zone and whose holidays count (domain rule 2)."""

    def hours(values: Mapping[str, str]) -> SetPortalSettings:
        days: dict[str, Any] = {}
        for day in Weekday:
            given = {part: _clock(values.get(f"office_hours.{day}.{part}", "")) for part in ("opens", "closes")}
            days[day] = given if any(given.values()) else None
        region = {name: values.get(name, "") for name in ("time_zone", "country")}
        return read(SetPortalSettings, region, office_hours=days, subdivision=values.get("subdivision") or None)

    return await _save(request, hours, sent=_hours_values)


async def public_holidays(request: Request) -> Response:
    """Set which of the country's holidays count (domain rule 2)."""
    return await _save(request, holidays.wish, sent=holidays.values)


async def days(request: Request) -> Response:
    """Set closed days and special hours (domain rule 2), or add one more line (*Legg til*)."""
    values = typed((await request.form()).multi_items())
    settings = _settings(request)
    if values.get("handling") == _ONE_MORE:
        lines = min(len(_lines(values)) + 1, _MOST_DAYS)
        others = _values(settings, sent=_days_values)
        return show(request, "company.html", others | values, **_about(settings, lines))

    def own_days(values: Mapping[str, str]) -> SetPortalSettings:
        closed: list[str] = []
        special: dict[str, Any] = {}
        for line in _lines(values):
            day, opens, closes = (values.get(f"days.{line}.{part}", "") for part in ("date", "opens", "closes"))
            if day and (opens or closes):
                special[day] = {"opens": _clock(opens), "closes": _clock(closes)}
            elif day:
                closed.append(day)
        try:
            return read(SetPortalSettings, {}, closed_days=closed, special_hours=special)
        except WrongForm:
            raise WrongForm({"days.0.date": said("Se over datoene og klokkeslettene.")}) from None

    return await _save(request, own_days, sent=_days_values, lines=len(_lines(values)))


async def functions(request: Request) -> Response:
    """Set the enhanced function, budgets for inspections, the report's period, and how long a link can be undone."""

    def others(values: Mapping[str, str]) -> SetPortalSettings:
        switches = {name: name in values for name in ("enhanced_function", "inspection_needs_budget")}
        return read(SetPortalSettings, {n: values.get(n, "") for n in ("report_period", "unlink_days")}, **switches)

    return await _save(request, others, sent=_functions_values)


async def to_company(_request: Request) -> Response:
    """Go to the page whose form has this address: a reload, or another language, after the form came back."""
    return RedirectResponse(_HERE, 303)


async def _save(request: Request, wish: Any, *, sent: Values, lines: int | None = None) -> Response:
    settings = _settings(request)
    about = _about(settings, lines if lines is not None else _day_count(settings))
    return await send(
        request,
        "company.html",
        wish,
        done=said("Lagret."),
        to=lambda _: _HERE,
        first=_values(settings, sent=sent),
        **about,
    )


def calendar(settings: PortalSettings, today: date) -> list[CalendarDay]:
    """Tell what the coming weeks' days are, from this week's Monday on (domain rules 2 and 3)."""
    monday = today - timedelta(days=today.weekday())
    return [_day(settings, monday + timedelta(days=n)) for n in range(7 * _WEEKS)]


_CLOSED = {
    DecisionRule.CLOSED_DAY: said("Stengt dag"),
    DecisionRule.SPECIAL_CLOSED_DAY: said("Stengt dag"),
    DecisionRule.CLOSED_WEEKDAY: said("Stengt"),
}


def _day(settings: PortalSettings, day: date) -> CalendarDay:
    known = office_day(settings, day)
    holiday = known.holiday.name if known.holiday is not None else None
    if known.closed_by is None:
        return CalendarDay(day, str(known.hours), holiday)
    return CalendarDay(day, None, _CLOSED.get(known.closed_by) or holiday)


def _insurer(request: Request) -> Viewer:
    """Only insurers have settings: for all others the pages do not exist."""
    viewer = viewer_from(request)
    if not viewer.is_insurer:
        raise HTTPException(404)
    return viewer


def _settings(request: Request) -> PortalSettings:
    return portal_of(request).directory.settings(_insurer(request).company.id, datetime.now(UTC))


def _rows(request: Request) -> list[OfficeRow]:
    insurer, directory, at = _insurer(request).company.id, portal_of(request).directory, datetime.now(UTC)
    partners = [company for company in directory.companies(at) if company.kind is CompanyKind.PARTNER]
    return [
        OfficeRow(partner, office, directory.permission(insurer, office.id, at))
        for partner in by_name(partners)
        for office in by_name(directory.offices_of(partner.id, at))
    ]


def _about(settings: PortalSettings, lines: int) -> dict[str, Any]:
    zone, _ = zone_to_show(settings.time_zone)
    today = datetime.now(zone).date()
    return {
        "settings": settings,
        "calendar": calendar(settings, today),
        "today": today,
        "lines": lines,
        **holidays.about(settings, today),
    }


def _day_count(settings: PortalSettings) -> int:
    return len(settings.closed_days | settings.special_hours.keys()) + 1


def _lines(values: Mapping[str, str]) -> list[int]:
    return sorted({int(n) for name in values if name.startswith("days.") and (n := name.split(".")[1]).isdecimal()})


def _clock(text: str) -> str:
    """Take 8, 8:00 and 08.00 for 08:00."""
    hours, _, minutes = text.replace(".", ":").partition(":")
    return f"{hours.zfill(2)}:{minutes or '00'}" if hours.isdecimal() else text


def _values(settings: PortalSettings, sent: Values | None = None) -> dict[str, str]:
    """What the forms begin with, but for the one that was sent: what is not in that one was unticked or taken away."""
    forms = [form for form in (_hours_values, holidays.values, _days_values, _functions_values) if form is not sent]
    return {name: value for form in forms for name, value in form(settings).items()}


def _hours_values(settings: PortalSettings) -> dict[str, str]:
    values = {"time_zone": settings.time_zone, "country": settings.country, "subdivision": settings.subdivision or ""}
    for weekday, hours in settings.office_hours.items():
        values[f"office_hours.{weekday}.opens"] = hours.opens if hours else ""
        values[f"office_hours.{weekday}.closes"] = hours.closes if hours else ""
    return values


def _days_values(settings: PortalSettings) -> dict[str, str]:
    values = {}
    own: dict[date, Any] = dict.fromkeys(settings.closed_days) | dict(settings.special_hours)
    for n, (day, hours) in enumerate(sorted(own.items())):
        values[f"days.{n}.date"] = day.isoformat()
        values[f"days.{n}.opens"] = hours.opens if hours else ""
        values[f"days.{n}.closes"] = hours.closes if hours else ""
    return values


def _functions_values(settings: PortalSettings) -> dict[str, str]:
    switches = {name: "1" for name in ("enhanced_function", "inspection_needs_budget") if getattr(settings, name)}
    return {"report_period": settings.report_period, "unlink_days": str(settings.unlink_days), **switches}
