"""The pages' words: Norwegian (bokmål) as they are written in templates and here, English from the catalogue."""

import io
from datetime import date, datetime
from functools import cache
from pathlib import Path

from babel import dates, numbers
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations

from shared.domain.clock import zone_to_show

LANGUAGES = {"nb": "Norsk bokmål", "en": "English"}
DEFAULT = "nb"

_CATALOGUES = Path(__file__).parent / "locale"


def marked(text: str) -> str:
    """Mark a text for the catalogue; it is translated where it is shown."""
    return text


STATES = {"temporary": marked("Midlertidig"), "normal": marked("Normal"), "cancelled": marked("Avbrutt")}
CAUSES = {
    "water": marked("Vann"),
    "fire": marked("Brann"),
    "storm": marked("Storm"),
    "flood": marked("Flom"),
    "landslide": marked("Skred"),
    "burglary": marked("Innbrudd"),
    "glass": marked("Glass"),
    "other": marked("Annet"),
}
TASK_KINDS = {"first_aid": marked("Førstehjelpsoppgave"), "inspection": marked("Besiktigelsesoppgave")}
CREATION = {
    "never": marked("Aldri"),
    "outside_office_hours": marked("Utenfor normal arbeidstid"),
    "always": marked("Alltid"),
}
WEEKDAYS = {
    "mon": marked("Mandag"),
    "tue": marked("Tirsdag"),
    "wed": marked("Onsdag"),
    "thu": marked("Torsdag"),
    "fri": marked("Fredag"),
    "sat": marked("Lørdag"),
    "sun": marked("Søndag"),
}
HOLIDAY_CATEGORIES = {
    "public": marked("Offentlige helligdager"),
    "de_facto": marked("Dager som i praksis er fridager"),
    "half_day": marked("Halve dager"),
    "bank": marked("Bankenes fridager"),
    "optional": marked("Valgfrie fridager"),
    "government": marked("Offentlige kontorers fridager"),
    "school": marked("Skolenes fridager"),
    "unofficial": marked("Merkedager"),
    "workday": marked("Merkedager som er arbeidsdager"),
}
"""Categories of the package `holidays`; those of faiths and peoples are called as there."""
PERIODS = {"weekly": marked("Hver uke"), "monthly": marked("Hver måned")}


@cache
def translations(language: str) -> NullTranslations:
    """Read a language's catalogue; Norwegian needs none."""
    file = _CATALOGUES / language / "LC_MESSAGES" / "messages.po"
    if not file.exists():
        return NullTranslations()
    compiled = io.BytesIO()
    with file.open("rb") as source:
        write_mo(compiled, read_po(source, locale=language))
    compiled.seek(0)
    return Translations(compiled)


def a_day(day: date, language: str) -> str:
    """Write a date."""
    return dates.format_date(day, format="d. MMMM y" if language == DEFAULT else "d MMMM y", locale=language)


def a_moment(at: datetime, zone: str, language: str) -> str:
    """Write a moment in a time zone, to the minute; in UTC where the zone is not known."""
    local = at.astimezone(zone_to_show(zone)[0])
    return f"{a_day(local.date(), language)} {local:%H:%M}"


def a_day_of_the_year(day: date, language: str) -> str:
    """Write a date without its year."""
    return dates.format_date(day, format="d. MMM" if language == DEFAULT else "d MMM", locale=language)


def a_short_day(day: date) -> str:
    """Write a date in numbers."""
    return f"{day:%d.%m.%Y}"


def a_short_moment(at: datetime, zone: str) -> str:
    """Write a moment in a time zone in numbers, to the minute."""
    return f"{at.astimezone(zone_to_show(zone)[0]):%d.%m.%Y %H:%M}"


def a_number(number: int, language: str) -> str:
    """Write a whole number."""
    return numbers.format_decimal(number, locale=language)
