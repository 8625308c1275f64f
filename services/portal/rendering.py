"""Pages from templates, in the session's language and the viewer's time zone."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import jinja2
from starlette.responses import HTMLResponse

from services.portal import phones, words
from services.portal.session import csrf_token
from services.portal.viewer import insurers_open_to
from services.portal.visit import Visit
from shared.domain.directory import Directory
from shared.media.names import kept_name

_HERE = Path(__file__).parent
STATIC = _HERE / "static"


def render(
    visit: Visit, template: str, status: int = 200, headers: dict[str, str] | None = None, /, **context: Any
) -> HTMLResponse:
    """Make a page."""
    request, follower = visit.request, visit.portal.follower
    text = (
        _environment(visit.language)
        .get_template(template)
        .render(
            request=request,
            language=visit.language,
            viewer=visit.somebody,
            csrf=csrf_token(visit),
            notices=request.session.pop("notices", []),
            rendered_at=int(getattr(request.state, "began", 0) * 1000),
            directory_changes=follower.changes,
            bus_answers=follower.reachable,
            directory_was_read=follower.was_read,
            **_functions(visit),
            **context,
        )
    )
    return HTMLResponse(text, status, {"cache-control": "no-store", **(headers or {})})


def _functions(visit: Visit) -> dict[str, Callable[..., Any]]:
    """What templates write values with."""
    language, zone = visit.language, visit.somebody.zone if visit.somebody else "Europe/Oslo"
    names = Names(visit.portal.directory)
    return {
        "day": partial(words.a_day, language=language),
        "short_day": words.a_short_day,
        "day_and_month": partial(words.a_day_of_the_year, language=language),
        "moment": partial(words.a_moment, zone=zone, language=language),
        "short_moment": partial(words.a_short_moment, zone=zone),
        "number": partial(words.a_number, language=language),
        "phone": phones.shown,
        "office": names.office,
        "company": names.company,
        "person": names.person,
        "may_create_now": partial(_may_create_now, visit),
        "translated_options": partial(_translated_options, visit),
    }


def _may_create_now(visit: Visit) -> bool:
    viewer = visit.somebody
    return viewer is not None and bool(insurers_open_to(viewer, visit.portal.directory, datetime.now(UTC)))


def _translated_options(visit: Visit, options: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(value, visit.translated(text)) for value, text in options.items()]


class Names:
    """The names of offices, companies and people; an unknown one's is its id."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    def office(self, id: str | None) -> str:
        """Name an office with its company."""
        office = self._directory.office(id, datetime.now(UTC)) if id else None
        return f"{self.company(office.company)}, {office.name}" if office else id or ""

    def company(self, id: str | None) -> str:
        """Name a company."""
        company = self._directory.company(id, datetime.now(UTC)) if id else None
        return company.name if company else id or ""

    def person(self, id: str | None) -> str:
        """Name a user."""
        user = self._directory.user(id, datetime.now(UTC)) if id else None
        return user.name if user else id or ""


def asset(name: str) -> str:
    """The address of a file that every page loads; it changes with the file."""
    return _addresses()[name]


@cache
def _addresses() -> dict[str, str]:
    files = {str(file.relative_to(STATIC)): file for file in STATIC.rglob("*") if file.is_file()}
    return {name: f"/static/{name}?{sha256(file.read_bytes()).hexdigest()[:12]}" for name, file in files.items()}


@cache
def _environment(language: str) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        extensions=["jinja2.ext.i18n"],
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.install_gettext_translations(words.translations(language), newstyle=True)  # type: ignore[attr-defined]
    environment.filters["filename"] = kept_name
    environment.globals.update(
        asset=asset,
        languages=words.LANGUAGES,
        states=words.STATES,
        causes=words.CAUSES,
        task_kinds=words.TASK_KINDS,
        creation=words.CREATION,
        weekdays=words.WEEKDAYS,
        periods=words.PERIODS,
        holiday_categories=words.HOLIDAY_CATEGORIES,
    )
    return environment
