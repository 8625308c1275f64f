"""What files are called: what is kept of a name that a device gave, and what a file is saved as. Pure.

Names say nothing of where bytes are: the store knows them by ids.
"""

import re
import unicodedata
from typing import Literal
from urllib.parse import quote

from shared.media.types import MediaType

LONGEST_NAME = 200
"""Characters, as the contract has it."""

_UNNAMED = "fil"
_LONGEST_ENDING = 16
_JOINER = "\u200d"
_JOINERS = {"\u200c", _JOINER}
"""Of what is invisible, these alone have a place in words and in pictures of families."""
_INVISIBLE = {"Cc", "Cf", "Cs"}
"""Control characters, those that turn the direction of what follows, and halves of a character."""
_NOT_IN_FILE_NAMES = re.compile(r'[<>:"|?*]')
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)", re.IGNORECASE)
"""No file can be called so on Windows, whatever its ending."""
_ENDINGS = {
    MediaType.JPEG: ("jpg", "jpeg", "jpe", "jfif", "jif"),
    MediaType.PNG: ("png", "apng"),
    MediaType.WEBP: ("webp",),
    MediaType.HEIC: ("heic", "heif", "hif", "heics", "heifs"),
    MediaType.MP4: ("mp4", "m4v", "mpg4", "3gp"),
    MediaType.MOV: ("mov", "qt"),
    MediaType.PDF: ("pdf",),
}
"""By these programs open a file as what it is; the first is the usual one."""
_IN_ASCII = {"ø": "o", "Ø": "O", "æ": "ae", "Æ": "AE"}
_ALL_ENDINGS = {ending for endings in _ENDINGS.values() for ending in endings}


def kept_name(name: str) -> str:
    """The name that a file is kept under: a line of 1 to 200 characters in Unicode NFC that shows as it is.

    Whatever a device calls it: what cannot be seen and the folders before it are left out, and of a name that is too
    long the end before its ending.
    """
    visible = "".join(_seen(character) for character in re.split(r"[/\\]", name)[-1])
    line = " ".join(unicodedata.normalize("NFC", visible).split()).rstrip(". ")
    stem, dot, ending = line.rpartition(".")
    if not dot or len(ending) > _LONGEST_ENDING or " " in ending:
        stem, ending = line, ""
    stem = stem.strip(". ") or _UNNAMED
    ending = f".{ending}" if ending else ""
    return _shortened(stem, LONGEST_NAME - len(ending)) + ending


def saved_name(name: str, type: MediaType) -> str:
    """The name that a file is saved under: it ends as what the file is, and every system takes it.

    A HEIC that was called `.jpg` is saved as `.heic`, and a PDF that was called `.html` as `.html.pdf`: what it is
    opened with is decided by what it is.
    """
    kept = _NOT_IN_FILE_NAMES.sub("_", kept_name(name))
    stem, _, ending = kept.rpartition(".")
    if ending.lower() not in _ENDINGS[type] or not stem:
        kept = f"{stem if stem and ending.lower() in _ALL_ENDINGS else kept}.{_ENDINGS[type][0]}"
    return f"_{kept}" if _DEVICES.fullmatch(kept.partition(".")[0].strip()) else kept


def disposition(name: str, type: MediaType, shown: Literal["attachment", "inline"] = "attachment") -> str:
    """Write the header that says what a file is saved as (RFC 6266), for old clients in ASCII too."""
    saved = saved_name(name, type)
    plain = "".join(c if " " <= c <= "~" and c not in '"\\%' else _like(c) for c in saved)
    return f'{shown}; filename="{plain}"' + ("" if plain == saved else f"; filename*=UTF-8''{quote(saved, safe='')}")


def _seen(character: str) -> str:
    if character.isspace():
        return " "
    return "" if unicodedata.category(character) in _INVISIBLE and character not in _JOINERS else character


def _shortened(text: str, length: int) -> str:
    """Cut a text without leaving part of what is one character to a reader."""
    if len(text) <= length:
        return text
    while length > 1 and (_goes_with_before(text[length]) or text[length - 1] == _JOINER):
        length -= 1
    return text[:length].rstrip(". ")


def _goes_with_before(character: str) -> bool:
    skin_tone = "\U0001f3fb" <= character <= "\U0001f3ff"
    return skin_tone or character in _JOINERS or unicodedata.category(character).startswith("M")


def _like(character: str) -> str:
    letters = _IN_ASCII.get(character) or unicodedata.normalize("NFKD", character)[0]
    return letters if letters.isascii() and letters.isalnum() else "_"
