"""*Selskapets admin*: which offices may create claims, office hours, and the enhanced function (rules 1, 2 and 7)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from services.portal.editing import SHOWN, ChangedMeanwhile, Unchanged, changed, pack, unpack
from services.portal.fields import CLOSED
from services.portal.forms import REQUIRED, WrongForm, read, typed
from services.portal.pages import holidays
from services.portal.pages.form_pages import send, show
from services.portal.rendering import render
from services.portal.typed import BUTTON
from services.portal.viewer import Viewer
from services.portal.visit import Visit
from services.portal.words import marked
from shared.contract.fields import CompanyKind, Weekday
from shared.contract.outcomes import DecisionRule
from shared.contract.requests import SetOfficePermission, SetPortalSettings
from shared.contract.texts import by_name
from shared.domain.clock import zone_to_show
from shared.domain.companies import Company, Office, OfficePermission
from shared.domain.office_hours import office_day
from shared.domain.portal_settings import PortalSettings

_WEEKS = 6
_ONE_MORE = "one-more"
_HERE = "/admin/selskap"
_RIGHTS = ("may_assign_to_others", "may_define_claim_number")
_SWITCHES = ("enhanced_function", "inspection_needs_budget")
_NUMBERS = ("unlink_days", "forget_after_days")
_HOURS, _DAYS, _FUNCTIONS = (f"{SHOWN}.{form}" for form in ("office_hours", "days", "functions"))
_LOOK_AT_DAYS = marked("Se over datoene og klokkeslettene.")

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


async def home(visit: Visit) -> Response:
    """Go to the first page."""
    _insurer(visit)
    return RedirectResponse("/admin/kontorer", 303)


async def offices(visit: Visit) -> Response:
    """*Kontorer*: every partner's offices with what they may do."""
    return render(visit, "offices.html", rows=_rows(visit), settings=_settings(visit))


async def office(visit: Visit) -> Response:
    """An office's permission and rights (domain rules 1 and 7)."""
    found = next((row for row in _rows(visit) if row.office.id == visit.request.path_params["office"]), None)
    if found is None:
        raise HTTPException(404)
    settings = _settings(visit)
    about: dict[str, Any] = {"row": found, "settings": settings}
    if visit.request.method == "GET":
        now = _held(found.permission, rights=settings.enhanced_function)
        return show(visit, "office.html", now | {SHOWN: pack(now)}, **about)
    return await send(
        visit,
        "office.html",
        lambda typed: permission(found, typed),
        done=marked("Lagret."),
        to=lambda _: "/admin/kontorer",
        **about,
    )


def permission(row: OfficeRow, typed: Mapping[str, str]) -> SetOfficePermission:
    """Make the request of what the person changed; a right that is left out stays, and the permission goes along."""
    now = _held(row.permission, rights="rights" in typed)
    mine = changed(typed, now)
    rights = {name: bool(mine[name]) for name in _RIGHTS if name in mine}
    return read(
        SetOfficePermission, {"creation": mine.get("creation", now["creation"])}, office=row.office.id, **rights
    )


def _held(permission: OfficePermission, *, rights: bool) -> dict[str, str]:
    held = {name: "1" if getattr(permission, name) else "" for name in _RIGHTS}
    return {"creation": str(permission.creation), **(held if rights else {})}


async def company(visit: Visit) -> Response:
    """*Selskap*: office hours with a calendar of what they mean, days of their own, and the other settings."""
    settings = _settings(visit)
    return show(visit, "company.html", _values(settings), **_about(settings, _day_count(settings)))


async def office_hours(visit: Visit) -> Response:
    """Set the weekdays' hours, the time zone and whose holidays count (domain rule 2)."""
    return await _save(visit, lambda typed: hours(_settings(visit), typed), sent=_hours_values)


def hours(settings: PortalSettings, typed: Mapping[str, str]) -> SetPortalSettings:
    """Make the request of what the person changed: whole days, and what else was."""
    written = {name: _clock(text) if name.startswith("office_hours.") else text for name, text in typed.items()}
    now = _hours_values(settings)
    mine = changed(written, now, _HOURS)
    more: dict[str, Any] = {}
    for day in Weekday:
        names = {part: f"office_hours.{day}.{part}" for part in ("opens", "closes")}
        if mine.keys() & names.values():
            day_hours = {part: mine.get(name, now[name]) for part, name in names.items()}
            more.setdefault("office_hours", {})[day] = day_hours if any(day_hours.values()) else None
    if "subdivision" in mine:
        more["subdivision"] = mine["subdivision"] or None
    emptied = {name: REQUIRED for name in ("time_zone", "country") if mine.get(name) == ""}
    if emptied:
        raise WrongForm(emptied)
    return read(SetPortalSettings, {n: mine[n] for n in ("time_zone", "country") if n in mine}, **more)


async def public_holidays(visit: Visit) -> Response:
    """Set which of the country's holidays count (domain rule 2)."""
    return await _save(visit, holidays.wish, sent=holidays.values)


async def days(visit: Visit) -> Response:
    """Set closed days and special hours (domain rule 2), or add one more line (*Legg til*)."""
    values = typed((await visit.request.form()).multi_items())
    settings, lines = _settings(visit), len(_lines(values))
    if values.get(BUTTON) == _ONE_MORE:
        others = _values(settings, sent=_days_values)
        return show(visit, "company.html", others | values, **_about(settings, lines + 1))
    try:
        own_days(settings, values)
    except ChangedMeanwhile as meanwhile:
        lines = len(_lines(meanwhile.values))
    except (WrongForm, Unchanged):
        pass
    return await _save(visit, lambda typed: own_days(settings, typed), sent=_days_values, lines=lines)


def own_days(settings: PortalSettings, typed: Mapping[str, str]) -> SetPortalSettings:
    """Make the request of the days that the person added, changed or took away; the others are as they are now."""
    wanted, now = _by_date(typed), _by_date(_days_values(settings))
    known = len(unpack(typed.get(_DAYS, "")) or now)
    for line in _lines(typed)[known:]:  # an emptied date takes only a known day away
        if not typed.get(f"days.{line}.date") and (typed.get(f"days.{line}.opens") or typed.get(f"days.{line}.closes")):
            raise WrongForm({f"days.{line}.date": _LOOK_AT_DAYS})
    try:
        mine = changed(wanted | {_DAYS: typed.get(_DAYS, "")}, now, _DAYS, added=wanted)
    except ChangedMeanwhile as meanwhile:
        left = {name: "" for name in typed if name.startswith("days.")}
        lines = _as_lines({name: text for name, text in meanwhile.values.items() if name != _DAYS and text})
        raise ChangedMeanwhile(left | lines | {_DAYS: pack(now)}, meanwhile.changes) from None
    days = {name.removeprefix("days."): text for name, text in mine.items()}
    closed = {day.isoformat() for day in settings.closed_days} - days.keys()
    special: dict[str, Any] = {day.isoformat(): hours for day, hours in settings.special_hours.items()}
    special = {day: hours and hours.model_dump() for day, hours in special.items() if day not in days}
    for day, text in days.items():
        if text == CLOSED:
            closed.add(day)
        elif text:
            opens, _, closes = text.partition("–")
            special[day] = {"opens": opens, "closes": closes}
    try:
        wish = read(SetPortalSettings, {}, closed_days=sorted(closed), special_hours=special)
    except WrongForm:
        raise WrongForm({"days.0.date": _LOOK_AT_DAYS}) from None
    as_it_is = {"closed_days": settings.closed_days, "special_hours": dict(settings.special_hours)}
    new = {"closed_days": frozenset(wish.closed_days or ()), "special_hours": wish.special_hours}
    return SetPortalSettings(**{name: getattr(wish, name) for name in new if new[name] != as_it_is[name]})


async def functions(visit: Visit) -> Response:
    """Set the enhanced function, budgets for inspections, the report's period, and for how long something is kept."""
    return await _save(visit, lambda typed: switches(_settings(visit), typed), sent=_functions_values)


def switches(settings: PortalSettings, typed: Mapping[str, str]) -> SetPortalSettings:
    """Make the request of what the person changed."""
    mine = changed(typed, _functions_values(settings), _FUNCTIONS)
    if empty := {name: REQUIRED for name in _NUMBERS if mine.get(name) == ""}:
        raise WrongForm(empty)
    ticked = {name: bool(mine[name]) for name in _SWITCHES if name in mine}
    return read(SetPortalSettings, {n: v for n, v in mine.items() if n not in _SWITCHES}, **ticked)


async def to_company(_visit: Visit) -> Response:
    """Go to the page whose form has this address: a reload, or another language, after the form came back."""
    return RedirectResponse(_HERE, 303)


async def _save(visit: Visit, wish: Any, *, sent: Values, lines: int | None = None) -> Response:
    settings = _settings(visit)
    about = _about(settings, lines if lines is not None else _day_count(settings))
    return await send(
        visit,
        "company.html",
        wish,
        done=marked("Lagret."),
        to=lambda _: _HERE,
        first=_values(settings, sent=sent),
        **about,
    )


def calendar(settings: PortalSettings, today: date) -> list[CalendarDay]:
    """What the coming weeks' days are, from this week's Monday on (domain rules 2 and 3)."""
    monday = today - timedelta(days=today.weekday())
    return [_day(settings, monday + timedelta(days=n)) for n in range(7 * _WEEKS)]


_CLOSED = {
    DecisionRule.CLOSED_DAY: marked("Stengt dag"),
    DecisionRule.SPECIAL_CLOSED_DAY: marked("Stengt dag"),
    DecisionRule.CLOSED_WEEKDAY: marked("Stengt"),
}


def _day(settings: PortalSettings, day: date) -> CalendarDay:
    known = office_day(settings, day)
    holiday = known.holiday.name if known.holiday is not None else None
    if known.closed_by is None:
        return CalendarDay(day, str(known.hours), holiday)
    return CalendarDay(day, None, _CLOSED.get(known.closed_by) or holiday)


def _insurer(visit: Visit) -> Viewer:
    """Only insurers have settings: for all others the pages do not exist."""
    viewer = visit.viewer
    if not viewer.is_insurer:
        raise HTTPException(404)
    return viewer


def _settings(visit: Visit) -> PortalSettings:
    return visit.portal.directory.settings(_insurer(visit).company.id, datetime.now(UTC))


def _rows(visit: Visit) -> list[OfficeRow]:
    insurer, directory, at = _insurer(visit).company.id, visit.portal.directory, datetime.now(UTC)
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
    begin: dict[str, str] = {} if sent is holidays.values else holidays.values(settings)
    for carried, form in ((_HOURS, _hours_values), (_DAYS, _days_values), (_FUNCTIONS, _functions_values)):
        if form is not sent:
            values = form(settings)
            begin |= values | {carried: pack(_by_date(values) if form is _days_values else values)}
    return begin


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


def _by_date(values: Mapping[str, str]) -> dict[str, str]:
    """The lines' days, each with its hours as one text; a line without a day is none."""
    days = {}
    for line in _lines(values):
        day, opens, closes = (values.get(f"days.{line}.{part}", "") for part in ("date", "opens", "closes"))
        if day:
            days[f"days.{day}"] = f"{_clock(opens)}–{_clock(closes)}" if opens or closes else CLOSED
    return days


def _as_lines(days: Mapping[str, str]) -> dict[str, str]:
    lines: dict[str, str] = {}
    for n, (name, text) in enumerate(sorted(days.items())):
        opens, _, closes = ("" if text == CLOSED else text).partition("–")
        lines |= {
            f"days.{n}.{part}": value
            for part, value in (("date", name.removeprefix("days.")), ("opens", opens), ("closes", closes))
        }
    return lines


def _functions_values(settings: PortalSettings) -> dict[str, str]:
    switches = {name: "1" if getattr(settings, name) else "" for name in _SWITCHES}
    numbers = {name: str(getattr(settings, name)) for name in _NUMBERS}
    return {"report_period": settings.report_period, **numbers, **switches}
