"""Networks come and go with the containers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.locks import networks_change


@pytest.fixture(autouse=True, scope="package")
def _networks(run_folder: Path) -> Iterator[None]:
    with networks_change(run_folder):
        yield
