"""One text is one text, however it was typed: how it is kept, compared, searched and sorted."""

from collections.abc import Iterable
from typing import Protocol, TypeVar
from unicodedata import combining, normalize


class _Named(Protocol):
    @property
    def name(self) -> str: ...


N = TypeVar("N", bound=_Named)

_LAST_LETTERS = str.maketrans({"æ": "{", "ä": "{", "ø": "|", "ö": "|", "å": "}"})
"""The letters after z, as signs that come after z."""


def composed(text: str) -> str:
    """Write a text in Unicode NFC: `Å` is one character, whether it was sent as one or as A and a ring."""
    return text if text.isascii() else normalize("NFC", text)


def folded(text: str) -> str:
    """Write a text without case, in NFC, to be compared or searched for."""
    return text.lower() if text.isascii() else normalize("NFC", normalize("NFD", text).casefold())


def alphabetical(text: str) -> tuple[str, str]:
    """Return what a Norwegian list sorts a text by: without case and accents, with æ, ø and å after z."""
    letters = folded(text).translate(_LAST_LETTERS)
    return "".join(letter for letter in normalize("NFD", letters) if not combining(letter)), composed(text)


def by_name(named: Iterable[N]) -> list[N]:
    """Sort companies, offices or users as a Norwegian list has them."""
    return sorted(named, key=lambda each: alphabetical(each.name))
