"""Whatever is broken here is broken in a stack of its own."""

import pytest

from operations.stack import Stack


@pytest.fixture(autouse=True)
def _one_to_break(stack: Stack) -> None:
    pass
