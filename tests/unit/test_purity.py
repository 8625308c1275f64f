"""What decides has no clock and no dice: the moment comes with the request. (I/O is for import-linter to find.)"""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTRACT = "rules decide without I/O"
_CLOCK_OR_DICE = {"now", "utcnow", "today", "monotonic", "perf_counter", "time_ns", "uuid1", "uuid4", "urandom"}
_MODULES = {"random", "secrets", "time"}


def pure_files() -> Iterator[Path]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    (contract,) = (each for each in contracts if each["name"] == CONTRACT)
    for module in contract["source_modules"]:
        path = module.replace(".", "/")
        files = [*ROOT.glob(f"{path}.py"), *ROOT.glob(f"{path}/**/*.py")]
        assert files, module
        yield from files


def impurities(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr in _CLOCK_OR_DICE:
            yield f"{node.lineno}: {ast.unparse(node)}"
        if isinstance(node, ast.Import):
            yield from (f"{node.lineno}: {name.name}" for name in node.names if name.name in _MODULES)
        if isinstance(node, ast.ImportFrom) and (
            node.module in _MODULES or {name.name for name in node.names} & _CLOCK_OR_DICE
        ):
            yield f"{node.lineno}: {ast.unparse(node)}"


@pytest.mark.parametrize("file", sorted(pure_files()), ids=lambda file: str(file.relative_to(ROOT)))
def test_what_decides_asks_no_clock(file: Path) -> None:
    assert list(impurities(file.read_text())) == []


def test_every_file_of_rules_is_held_to_it() -> None:
    assert {*ROOT.glob("services/*/*rules.py")} <= {*pure_files()}


@pytest.mark.parametrize(
    "source",
    ["datetime.now(UTC)", "date.today()", "import time", "from time import monotonic", "uuid.uuid4()", "import random"],
)
def test_a_clock_is_recognised(source: str) -> None:
    assert list(impurities(source))
