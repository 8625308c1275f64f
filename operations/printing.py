"""Printing what people and messages gave: as it is, or made visible where it would do something to the terminal."""

import json
import re
import sys
from typing import IO, Any

from rich.console import Console
from rich.text import Text

_HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # control characters: C0 with escape, delete, C1
    "\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb"  # without width, or turning what follows
    "\ud800-\udfff\U000e0000-\U000e007f]"  # halves of a character, tags
)
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def visible(text: str) -> str:
    r"""Write what could not be seen, or would do something, as Python would: \n, \x1b, \u202e; all else stays."""
    return _HIDDEN.sub(lambda found: _NAMED.get(found[0]) or found[0].encode("unicode_escape").decode(), text)


def json_text(document: Any, *, ascii_only: bool = False) -> str:
    """Write JSON for machines, which a person can look at too: what `visible` writes is escaped, and means the same."""
    text = json.dumps(document, ensure_ascii=ascii_only, indent=2)
    return "\n".join(_HIDDEN.sub(_escaped, line) for line in text.split("\n"))


def _escaped(found: re.Match[str]) -> str:
    return json.dumps(found[0])[1:-1]


class PlainConsole(Console):
    """A console on which a string is a text of one line: nothing in it is markup, an emoji's name or a control code.

    Several lines are several strings: `print(*lines, sep="\\n")`. What cannot be said in the output's encoding is
    written as an escape.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False, soft_wrap=True, markup=False, emoji=False)

    @property
    def is_unicode(self) -> bool:
        """Whether the output can take every character."""
        return self.encoding.replace("-", "").startswith("utf")

    def render_str(self, text: str, **manner: Any) -> Text:
        """Turn a string into what is printed; also a table's cells and title come this way."""
        return super().render_str(visible(text), **{**manner, "markup": False, "emoji": False})


def say_all_characters(*streams: IO[str]) -> None:
    """Have standard output and error escape what their encoding lacks, instead of failing."""
    for stream in streams or (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
