"""The pages' words: all of them in both languages."""

from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

import services.portal

PORTAL = Path(services.portal.__file__).parent


def words_of_pages() -> set[str]:
    """Every text that a page can show."""
    found = extract_from_dir(
        PORTAL,
        method_map=[("**.py", "python"), ("templates/**.html", "jinja2")],
        options_map={"templates/**.html": {"trimmed": "true"}},
        keywords={"marked": None, "_": None, "gettext": None, "ngettext": (1, 2)},
    )
    return {text if isinstance(text, str) else text[0] for _, _, text, _, _ in found if text}


def english() -> Catalog:
    """The English catalogue."""
    with (PORTAL / "locale/en/LC_MESSAGES/messages.po").open("rb") as file:
        return read_po(file, locale="en")


def test_every_word_of_the_pages_has_an_english_one() -> None:
    translated = {m.id if isinstance(m.id, str) else m.id[0] for m in english() if m.id and m.string}
    assert words_of_pages() - translated == set()
    assert len(words_of_pages()) > 200


def test_no_english_word_is_left_over() -> None:
    assert {m.id if isinstance(m.id, str) else m.id[0] for m in english() if m.id} - words_of_pages() == set()


def test_what_is_filled_in_is_the_same_in_both_languages() -> None:
    for message in english():
        assert not list(message.check()), message.id
