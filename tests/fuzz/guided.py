"""Look for messages that take ways through the code which none before took.

Needs atheris, which is not among what the tests need: `pip install atheris`, then
`python -m tests.fuzz.guided FOUND -runs=1000000`; libFuzzer's options follow. Then
`python -m tests.fuzz.keep FOUND` puts the smallest of what it found into the corpus.
"""

import sys
from collections import Counter
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["services", "shared"]):
    from tests.fuzz.decoders import Message
    from tests.fuzz.mutations import seeds

from tests.fuzz.__main__ import problem_of


def read(written: bytes) -> None:
    """Read one; raises what is wrong."""
    problem = problem_of(Message.of(written), Counter())
    if problem is not None:
        raise AssertionError(problem)


def main() -> None:
    """Begin with the messages of the contract."""
    found = Path(sys.argv[1])
    found.mkdir(exist_ok=True)
    for number, message in enumerate(seeds()):
        (found / f"seed-{number:03}").write_bytes(message.written())
    atheris.Setup(["fuzz", "-max_len=8192", *sys.argv[2:], str(found)], read)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
