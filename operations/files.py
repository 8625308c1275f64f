"""Reading a user's file: whatever is in it, what is wrong is reported as a sentence with its line."""

import codecs
from collections.abc import Sequence
from pathlib import Path

from operations.printing import visible

LARGEST_BYTES = 64 * 1024 * 1024
"""A directory file of 20,000 users has 2 MiB."""

_OTHER_ENCODINGS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
_MOST_PROBLEMS = 50


class WrongFile(Exception):
    """A file is refused as a whole; each problem names its line, and is one itself, whatever the file has in it."""

    def __init__(self, file: Path, problems: Sequence[tuple[int, str]]) -> None:
        lines = [f"{file}:{line}: {visible(problem)}" for line, problem in problems[:_MOST_PROBLEMS]]
        if len(problems) > _MOST_PROBLEMS:
            lines.append(f"{file}: and {len(problems) - _MOST_PROBLEMS} more")
        super().__init__("\n".join(lines))
        self.problems = list(problems)


def read_text(file: Path) -> str:
    """Read a text in UTF-8, with or without a byte order mark. Raises WrongFile."""
    try:
        with file.open("rb") as stream:
            content = stream.read(LARGEST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise WrongFile(file, [(1, f"cannot be read: {reason}")]) from None
    if len(content) > LARGEST_BYTES:
        raise WrongFile(file, [(1, f"is larger than {LARGEST_BYTES // 1024**2} MiB")])
    for mark, name in _OTHER_ENCODINGS:
        if content.startswith(mark):
            raise WrongFile(file, [(1, f"is {name}; save it as UTF-8")])
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise WrongFile(file, [(line, f"is not UTF-8: byte 0x{content[error.start]:02x}; save it as UTF-8")]) from None
    if "\x00" in text:
        line = text.count("\n", 0, text.index("\x00")) + 1
        raise WrongFile(file, [(line, "is not a text: it has the character U+0000")])
    return text
