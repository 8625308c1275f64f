"""What Claimbus promises and which tests show it: `python -m tests.promises` writes docs/promises.md.

A test, or with `pytestmark` a whole file, is marked `promise("sentence", about="…")`. The same sentence in several
places is one promise. Files are read and not imported, so that this needs nothing that the tests need.
"""

import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).parent
DOCUMENT = TESTS.parent / "docs" / "promises.md"
SUBJECTS = {
    "requests": "Requests",
    "claims": "Claims",
    "links": "Links and files",
    "reports": "Reports and suggestions",
    "portal": "The portal",
    "running": "Running it",
}
"""What a promise can be about, in the document's order."""

_BEFORE = """# Promises

What Claimbus promises, and the tests that show it. Made of the marks on the tests (`@pytest.mark.promise`) by
`python -m tests.promises`; a test fails where this page is not what they say. By which rules it is decided what is
right: [the domain](domain.md). How each promise is kept: [the architecture](architecture.md).
"""


@dataclass(frozen=True, slots=True)
class Promise:
    """A sentence on a test, or on a file of tests."""

    sentence: str
    about: str
    file: str
    test: str | None


def promises() -> Iterator[Promise]:
    """Find the marks, by file and then from the top. Raises ValueError where one is not as it must be."""
    for file in sorted(TESTS.rglob("test_*.py")):
        for statement in ast.parse(file.read_text(encoding="utf-8")).body:
            for mark, test in _marks(statement):
                yield _promise(mark, file.relative_to(TESTS.parent).as_posix(), test)


def document() -> str:
    """Write the page."""
    by_subject: dict[str, dict[str, list[Promise]]] = {about: defaultdict(list) for about in SUBJECTS}
    subject_of: dict[str, str] = {}
    for promise in promises():
        if subject_of.setdefault(promise.sentence, promise.about) != promise.about:
            raise ValueError(f"{promise.file}: {promise.sentence!r} is about {subject_of[promise.sentence]} elsewhere")
        by_subject[promise.about][promise.sentence].append(promise)
    parts = [_BEFORE]
    for about, found in by_subject.items():
        parts.append(f"\n## {SUBJECTS[about]}\n\n| promise | shown by |\n|---|---|\n")
        parts += [f"| {sentence} | {'<br>'.join(_shown_by(marked))} |\n" for sentence, marked in sorted(found.items())]
    return "".join(parts)


def _marks(statement: ast.stmt) -> Iterator[tuple[ast.Call, str | None]]:
    """The marks of a file's statement: its own, or those on a test."""
    test: str | None = None
    expressions: list[ast.expr] = []
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        test, expressions = statement.name, statement.decorator_list
    elif isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "pytestmark":
        expressions = [statement.value]
    for expression in expressions:
        for node in ast.walk(expression):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.promise":
                yield node, test


def _promise(mark: ast.Call, file: str, test: str | None) -> Promise:
    try:
        (sentence,) = (ast.literal_eval(argument) for argument in mark.args)
        about = {keyword.arg: ast.literal_eval(keyword.value) for keyword in mark.keywords}["about"]
    except (ValueError, KeyError):
        raise ValueError(f"{file}:{mark.lineno}: a promise is one text and what it is about, both literal") from None
    if about not in SUBJECTS or not isinstance(sentence, str) or "|" in sentence:
        raise ValueError(f"{file}:{mark.lineno}: a promise is about one of {', '.join(SUBJECTS)}, and has no |")
    return Promise(sentence, about, file, test)


def _shown_by(marked: list[Promise]) -> Iterator[str]:
    tests: dict[str, list[str]] = {}
    for promise in marked:
        tests.setdefault(promise.file, []).extend([promise.test] if promise.test else [])
    for file, names in tests.items():
        tests_named = ": " + "; ".join(_as_a_sentence(name) for name in names) if names else ""
        yield f"[`{file.removeprefix('tests/')}`](../{file}){tests_named}"


def _as_a_sentence(test: str) -> str:
    return test.removeprefix("test_").replace("_s_", "'s_").replace("_", " ")


if __name__ == "__main__":
    DOCUMENT.write_text(document(), encoding="utf-8")
