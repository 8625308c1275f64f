"""The rule of docs/glossary.md: Norwegian where a person reads it, English where only our server and our script do."""

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

import services.portal
from services.portal.pages import administration, creation
from services.portal.typed import BUTTON, SHOWN_AGAIN

PORTAL = Path(services.portal.__file__).parent
TEMPLATES = sorted((PORTAL / "templates").glob("*.html"))
STATIC = sorted(file for file in (PORTAL / "static").glob("*") if file.suffix in (".css", ".js"))
GLOSSARY = PORTAL.parents[1] / "docs/glossary.md"

MORE_NORWEGIAN = """
    antall apent arsak avsluttet bredde dag dager dempet egne endret fakta feil feilet felt felter ferdig fil filer
    filnavn fjern forste fra framdrift fritekst funksjoner hendelse hendelser hjelp hvem hvorfor igjen innhold kalender
    katalog knapp knapper kopieres kort lastet leser linje lukk medie meny merke navn neste nivaa ny okt om opplasting
    opplastinger punkt punkter rapport rett rettelser rull selskap sendt side sider siste skjema smal spalter sprak
    storst stort tider topp ukedag uten valg venter vindu vis
"""
"""What a page's parts and its script would be named with, beside the words of the field."""

_STEM = 5
"""So long is a word of the glossary, without the ending of a verb, of which others are inflections or compounds."""
_ADDRESSES = re.compile(
    r"""(?:href|action|hx-get|hx-post)="[^"]*"  # where a link, a form or htmx goes
    |["'`]/(?![*/])[^"'`?]*                     # a path
    |\{'\w+':[^}]*\}\s\|\surlencode             # what a path is asked with""",
    re.VERBOSE,
)
_TEXTS = re.compile(r"""\b(?:_|ngettext)\((?:\s*(?:"[^"]*"|'[^']*'),?)+""")
_FIELDS_OF_AN_ADDRESS = re.compile(r'<form method="get".*?</form>', re.DOTALL)
_SKIP_LINK = re.compile(r'(?:href="#|id=")innhold"')


def glossary() -> set[str]:
    """The words of the Norwegian column, as a name spells them; what is English too is left out."""
    rows = [line.split("|")[1:-1] for line in GLOSSARY.read_text().splitlines() if line.startswith("| ")]
    rows = [row for row in rows if len(row) == 3 and row[0].strip() != "English"]
    english = {word for row in rows for word in re.findall("[a-z]+", row[0].lower())} | {"admin"}
    norwegian = {word for row in rows for word in re.findall("[a-zæøå]+", row[1].lower())}
    return {word.translate(str.maketrans({"ø": "o", "å": "a", "æ": "ae"})) for word in norwegian} - english


WORDS = {*glossary(), *MORE_NORWEGIAN.split()}
STEMS = tuple(stem for word in glossary() if len(stem := word.removesuffix("e")) >= _STEM)


def norwegian(source: str) -> set[str]:
    """The Norwegian words of a name, or of a source that is names alone."""
    words = re.findall("[a-zæøå]+", re.sub("(?<=[a-z])(?=[A-Z])", " ", source).lower())
    return {word for word in words if word in WORDS or word.startswith(STEMS) or re.search("[æøå]", word)}


def names_in_template(source: str) -> str:
    """A template without what is read and without addresses: classes, ids, fields, events, and Jinja's own names."""
    source = _FIELDS_OF_AN_ADDRESS.sub(lambda form: " ".join(re.findall('class="[^"]*"', form[0])), source)
    return _TEXTS.sub("", _ADDRESSES.sub("", _SKIP_LINK.sub("", source)))


def names_in_python(source: str) -> Iterable[str]:
    """Fields of forms, keys of the session, and what open pages and their script are told or ask with."""
    yield from re.findall(r"""(?:session|form|typed|values)\)*(?:\.\w+)?[\[(]\s*f?"([^"]+)"\s*[\]),]""", source)
    yield from re.findall(r"data: ([a-z-]+)", source)
    yield from re.findall(r'"hx-trigger": "(.+?)"', source)
    yield from re.findall(r'_number\(visit, "(\w+)"', source)


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.name)
def test_what_nobody_reads_in_a_template_is_english(template: Path) -> None:
    assert norwegian(f"{template.name} {names_in_template(template.read_text())}") == set()


@pytest.mark.parametrize("file", STATIC, ids=lambda file: file.name)
def test_what_nobody_reads_in_a_script_or_style_sheet_is_english(file: Path) -> None:
    assert norwegian(f"{file.name} {_ADDRESSES.sub('', file.read_text())}") == set()


def test_fields_session_keys_and_event_names_are_english() -> None:
    names = {name for file in PORTAL.rglob("*.py") for name in names_in_python(file.read_text())}
    assert {"user", "back", "language", "session-ended", "changed", "claim-", "since", "finished"} <= names
    buttons = [BUTTON, SHOWN_AGAIN, administration._ONE_MORE, creation._ONE_MORE, creation._ONE_LESS]
    assert {name: norwegian(name) for name in [*names, *buttons] if norwegian(name)} == {}


@pytest.mark.parametrize(
    "name",
    ["knapper", "data-bruker", "okt-avsluttet", "skadenummer", "dataset.storst", "k-oppgaver", "årsak", "sak-{{ id }}"],
)
def test_a_norwegian_name_is_known_as_one(name: str) -> None:
    assert norwegian(name)
    assert norwegian(names_in_template(f'<b class="{name}">{{{{ _("Skade") }}}}</b><a href="/saker">'))
