"""Whatever is broken here is broken in a stack of its own."""

import shutil
from collections.abc import Iterator

import pytest

from operations.stack import Stack
from tests.conftest import run_stack
from tests.shared_stack import new_folder


@pytest.fixture(scope="package")
def stack() -> Iterator[Stack]:
    """Everything, and gone when these tests are over."""
    folder = new_folder()
    yield from run_stack(folder)
    shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def _one_to_break(stack: Stack) -> None:
    pass
