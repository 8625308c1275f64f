"""docs/promises.md is what the marks on the tests say."""

import ast

import pytest

from tests import promises


def test_the_page_of_promises_is_what_the_tests_are_marked_with() -> None:
    assert promises.DOCUMENT.read_text(encoding="utf-8") == promises.document(), "run python -m tests.promises"


@pytest.mark.parametrize(
    "mark",
    ["promise()", "promise('It works.')", "promise('It works.', about='weather')", "promise(IT, about='claims')"],
)
def test_a_mark_that_cannot_be_read_is_told_with_its_place(mark: str) -> None:
    (call,) = (node for node in ast.walk(ast.parse(mark)) if isinstance(node, ast.Call))
    with pytest.raises(ValueError, match=r"^tests/unit/test_x\.py:1: "):
        promises._promise(call, "tests/unit/test_x.py", None)
