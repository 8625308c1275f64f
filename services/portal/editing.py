"""Forms that show what is so now, and change it: what the person changed, and what others did meanwhile. Pure.

Such a form carries what it showed. So an untouched field is never sent back, and a change that came in between is
noticed, whoever made it.
"""

import base64
import json
import unicodedata
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from services.portal.forms import as_contract_has_it

SHOWN = "shown"
"""The hidden field with what the form showed; a page with several forms adds a name of its own for each."""

_TEXTS_OF_LINES = {"description"}
_LARGEST_SHOWN_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Change:
    """A field that is not as the form showed it; "" is what is not written."""

    field: str
    before: str
    now: str
    typed: str | None
    """What the person wants there, who was not shown what it is now; None for a field that they left alone."""


class Unchanged(Exception):
    """Nothing is left to send: nothing was changed, or it is so already."""


class ChangedMeanwhile(Exception):
    """Somebody else changed something since the form was shown; the person is asked before anything is sent."""

    def __init__(self, values: Mapping[str, str], changes: Sequence[Change]) -> None:
        super().__init__()
        self.values = dict(values)
        """What the form is to hold and carry: what is so, but for what the person changed."""
        self.changes = list(changes)


def pack(values: Mapping[str, str]) -> str:
    """Write what a form shows as one text in which no browser changes a line break or a space."""
    return base64.urlsafe_b64encode(zlib.compress(json.dumps(dict(values)).encode())).decode()


def unpack(packed: str) -> dict[str, str] | None:
    """Read what a form showed; None where it does not say."""
    try:
        inflate = zlib.decompressobj()
        text = inflate.decompress(base64.urlsafe_b64decode(packed.encode()), _LARGEST_SHOWN_BYTES)
        values = json.loads(text)
    except (ValueError, zlib.error, RecursionError):
        return None
    return {str(name): str(value) for name, value in values.items()} if isinstance(values, dict) else None


def changed(
    typed: Mapping[str, str], now: Mapping[str, str], carried: str = SHOWN, added: Iterable[str] = ()
) -> dict[str, str]:
    """What the person changed of what the form showed, by field; fields can be `added` to those that it showed.

    A form that does not carry what it showed is taken to have shown what is so now. Raises Unchanged or
    ChangedMeanwhile.
    """
    unpacked = unpack(typed.get(carried, ""))
    shown = now if unpacked is None else unpacked
    names = [*dict.fromkeys((*now, *shown, *added))]
    mine = {
        name: typed.get(name, "")
        for name in names
        if not _same(name, typed, shown) and not _same(name, typed, now)  # what is so already is no change
    }
    if not mine:
        raise Unchanged
    others = [name for name in names if not _same(name, shown, now)]
    if others:
        changes = [Change(n, shown.get(n, ""), now.get(n, ""), mine.get(n)) for n in others]
        raise ChangedMeanwhile({**now, **mine, carried: pack(now)}, changes)
    return mine


def _same(name: str, some: Mapping[str, str], others: Mapping[str, str]) -> bool:
    return comparable(name, some.get(name, "")) == comparable(name, others.get(name, ""))


def comparable(name: str, value: str) -> str:
    """What of a field's text counts: not how a browser or a person writes the same thing.

    A browser sends CRLF for each line break, and takes them out of fields of one line; what is around a text is never
    kept; a letter with an accent has two spellings; a phone number has many.
    """
    text = value.replace("\r\n", "\n").replace("\r", "\n")
    if name.rsplit(".", 1)[-1] not in _TEXTS_OF_LINES:
        text = text.replace("\n", "")
    return as_contract_has_it(name, unicodedata.normalize("NFC", text.strip()))
