"""Files in JSON from a user, checked against what they may hold; what is wrong is reported with its line."""

import json
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from pydantic import TypeAdapter, ValidationError

from operations.files import WrongFile, read_text

T = TypeVar("T")


def read_fields(file: Path, type: type[T]) -> T:
    """Read a file as a model, or whatever pydantic knows. Raises WrongFile with every problem and its line."""
    content = read_json(file)
    try:
        return TypeAdapter(type).validate_python(content)
    except ValidationError as error:
        raise WrongFile(file, sorted(_located(file, error))) from None


def read_json(file: Path) -> Any:
    """Read a text as JSON, without the numbers that Python alone takes. Raises WrongFile."""
    text = read_text(file)
    if not text.strip():
        raise WrongFile(file, [(1, "is empty, and must be JSON")])
    try:
        return json.loads(text, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        raise WrongFile(file, [(error.lineno, f"is not JSON: {error.msg}, column {error.colno}")]) from None
    except RecursionError:
        raise WrongFile(file, [(1, "is nested too deeply")]) from None
    except ValueError as error:  # thousands of digits, NaN
        raise WrongFile(file, [(1, f"is not JSON: {error}")]) from None


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number there")


def _located(file: Path, error: ValidationError) -> list[tuple[int, str]]:
    from operations.yaml_nodes import compose, line_of  # noqa: PLC0415 - takes a while, for what seldom happens

    try:
        node = compose(file, read_text(file))
    except WrongFile:  # JSON that YAML does not take, which there hardly is
        node = None
    problems = []
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        name = ".".join(str(part) for part in problem["loc"]) or "the file"
        problems.append((line_of(node, problem["loc"]), f"{name}: {problem['msg'].removeprefix('Value error, ')}"))
    return problems
