"""Every word of the report of temporary claims, in Norwegian (bokmål) and English, in this one place."""

from datetime import date, datetime
from enum import StrEnum

from babel.dates import format_date, format_datetime
from babel.numbers import format_decimal

from shared.contract.codes import Code
from shared.contract.fields import Cause
from shared.contract.reports import Figures
from shared.domain.clock import zone_to_show


class Language(StrEnum):
    """A language of the report."""

    NB = "nb"
    EN = "en"


_LOCALES = {Language.NB: "nb_NO", Language.EN: "en_GB"}

_WORDS: dict[str, tuple[str, str]] = {
    "title": ("Midlertidige saker", "Temporary claims"),
    "week": ("uke {week}, {year}", "week {week}, {year}"),
    "preliminary": ("Foreløpig: perioden er ikke avsluttet.", "Preliminary: the period is not closed."),
    "short": (
        "Kort periode: den begynner {begins}, senere enn uken eller måneden.",
        "Short period: it begins {begins}, later than its week or month.",
    ),
    "closed": ("Laget {at}, da alt i perioden var lest.", "Made {at}, when everything of the period had been read."),
    "this_period": ("Perioden", "This period"),
    "previous_period": ("Forrige periode", "Previous period"),
    "change": ("Endring", "Change"),
    "nothing": ("Ingen", "None"),
    "summary": ("Oversikt", "Overview"),
    "created": ("Opprettet", "Created"),
    "refused": ("Avviste forespørsler", "Requests refused"),
    "converted": ("Gjort om til normal sak", "Converted to normal"),
    "linked": ("Tilknyttet en annen sak", "Linked to another claim"),
    "cancelled": ("Avbrutt", "Cancelled"),
    "waiting": ("Venter ved periodens slutt", "Waiting at the period's end"),
    "tasks_assigned": ("Oppgaver tildelt", "Tasks assigned"),
    "tasks_reported": ("Oppgaver rapportert", "Tasks reported"),
    "office_hours": ("Opprettet etter kontortid", "Created by office hours"),
    "inside_office_hours": ("I kontortid", "Inside office hours"),
    "outside_office_hours": ("Utenfor kontortid", "Outside office hours"),
    "by_office": ("Opprettet etter kontor", "Created by office"),
    "by_cause": ("Opprettet etter årsak", "Created by cause"),
    "by_code": ("Avviste forespørsler etter grunn", "Requests refused by reason"),
    "times": ("Tid til ferdig", "Time until handled"),
    "time_to_converted_median_s": ("Til normal sak, median", "Until converted, median"),
    "time_to_converted_p90_s": ("Til normal sak, 90 % innen", "Until converted, 90% within"),
    "time_to_linked_median_s": ("Til tilknyttet, median", "Until linked, median"),
    "time_to_linked_p90_s": ("Til tilknyttet, 90 % innen", "Until linked, 90% within"),
    "name": ("Navn", "Name"),
    "chart": ("Søylediagram", "Bar chart"),
}
_SHEETS: dict[str, tuple[str, str]] = {"by_code": ("Avvist etter grunn", "Refused by reason")}
"""Names of tables' sheets where the title is longer than the 31 characters that a spreadsheet takes."""
_CAUSES: dict[str, tuple[str, str]] = {
    Cause.WATER: ("Vann", "Water"),
    Cause.FIRE: ("Brann", "Fire"),
    Cause.STORM: ("Storm", "Storm"),
    Cause.FLOOD: ("Flom", "Flood"),
    Cause.LANDSLIDE: ("Skred", "Landslide"),
    Cause.BURGLARY: ("Innbrudd", "Burglary"),
    Cause.GLASS: ("Glass", "Glass"),
    Cause.OTHER: ("Annet", "Other"),
}
_UNITS = ((86_400, ("d", "d")), (3_600, ("t", "h")), (60, ("min", "min")), (1, ("s", "s")))


def word(name: str, language: Language, **values: str) -> str:
    """A word of the report, with values filled in."""
    return _in(_WORDS[name], language).format(**values)


def sheet_name(table: str, language: Language) -> str:
    """Name a table's sheet, in at most 31 characters."""
    return _in(_SHEETS.get(table, _WORDS[table]), language)


def cause_name(cause: str, language: Language) -> str:
    """Name a cause; one that is not known here by its code."""
    return _in(_CAUSES.get(cause, (cause, cause)), language)


def reason(code: str, language: Language) -> str:
    """A refusal's reason; an unknown one by its code."""
    try:
        message = Code(code).message
    except ValueError:
        return code
    return message.nb if language is Language.NB else message.en


def period_name(figures: Figures, language: Language) -> str:
    """Name a period: week 47, 2026, or November 2026."""
    year, _, week = figures.period.partition("-W")
    if week:
        return word("week", language, week=str(int(week)), year=year)
    return format_date(date.fromisoformat(f"{figures.period}-01"), "MMMM y", locale=_LOCALES[language])


def moment(at: datetime, time_zone: str, language: Language) -> str:
    """Write a moment in a time zone, with the weekday; in UTC where the zone is not known."""
    pattern = {Language.NB: "EEEE d. MMMM y HH:mm", Language.EN: "EEEE d MMMM y HH:mm"}[language]
    return format_datetime(at, pattern, tzinfo=zone_to_show(time_zone)[0], locale=_LOCALES[language])


def number(value: float, language: Language) -> str:
    """Write a number with the language's separators."""
    return format_decimal(value, locale=_LOCALES[language])


def duration(seconds: float, language: Language) -> str:
    """Write a time with its two largest units: 2 d 3 h, 14 min 5 s."""
    left = round(seconds)
    parts: list[tuple[int, str]] = []
    for size, unit in _UNITS:
        count, left = divmod(left, size)
        if count or parts or size == 1:
            parts.append((count, _in(unit, language)))
    return " ".join(f"{count} {unit}" for count, unit in parts[:2] if count or len(parts) == 1)


def _in(pair: tuple[str, str], language: Language) -> str:
    return pair[0] if language is Language.NB else pair[1]
