"""Keep what is small and takes ways through the code that nothing smaller does: `python -m tests.fuzz.keep FOUND`."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from tests.fuzz.decoders import Message
from tests.fuzz.mutations import CORPUS, seeds

_LARGEST_BYTES = 2000

Way = tuple[str, int, int]
"""A file, and two lines of it of which one follows the other."""


def ways_of(message: Message) -> set[Way]:
    """Return the ways through our own code that reading a message takes."""
    found: set[Way] = set()

    def follow(frame: FrameType, event: str, _: Any) -> Callable[..., Any] | None:
        file = frame.f_code.co_filename
        if "/services/" not in file and "/shared/" not in file:
            return None
        last = frame.f_lineno

        def line(frame: FrameType, event: str, _: Any) -> Callable[..., Any]:
            nonlocal last
            found.add((file, last, frame.f_lineno))
            last = frame.f_lineno
            return line

        return line

    sys.settrace(follow)
    try:
        for _ in message.read():
            pass
    finally:
        sys.settrace(None)
    return found


def main() -> None:
    """Go through what was found, from the smallest on."""
    known: set[Way] = set()
    for message in seeds():
        known |= ways_of(message)
    kept = 0
    for file in sorted(Path(sys.argv[1]).iterdir(), key=lambda file: (file.stat().st_size, file.name)):
        written = file.read_bytes()
        if len(written) > _LARGEST_BYTES:
            break
        new = ways_of(Message.of(written)) - known
        if new:
            known |= new
            kept += 1
            (CORPUS / f"{kept:03}").write_bytes(written)
    print(f"{kept} kept")


if __name__ == "__main__":
    main()
