"""What the portal logs of an error: its kind and where it was, and never its text, which may hold personal data."""

import ast
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

import services.portal
from services.portal.serving import WITHOUT_TEXTS

PORTAL = Path(services.portal.__file__).parent
SAY_NO_TEXT = {"kind_and_place", "reason_of", "type", "isinstance"}


def texts_logged(source: str) -> Iterator[int]:
    """The lines at which a log call is given an error's text."""
    tree = ast.parse(source)
    errors = {n.name for n in ast.walk(tree) if isinstance(n, ast.ExceptHandler) and n.name}
    errors |= {n.arg for n in ast.walk(tree) if isinstance(n, ast.arg) and "Error" in _annotated(n)}
    errors |= {n.arg for n in ast.walk(tree) if isinstance(n, ast.arg) and "Exception" in _annotated(n)}
    for call in (n for n in ast.walk(tree) if isinstance(n, ast.Call) and _is_log(n.func)):
        assert isinstance(call.func, ast.Attribute)
        values = [*call.args, *(keyword.value for keyword in call.keywords)]
        if (
            call.func.attr == "exception"
            or any(keyword.arg in {"exc_info", "stack_info", None} for keyword in call.keywords)
            or any(_says(part, errors) for part in values)
        ):
            yield call.lineno


def _annotated(argument: ast.arg) -> str:
    return ast.unparse(argument.annotation) if argument.annotation else ""


def _is_log(function: ast.expr) -> bool:
    named = ast.unparse(function)
    return isinstance(function, ast.Attribute) and (named.startswith(("log.", "logging.", "logger.")))


def _says(part: ast.AST, errors: set[str]) -> bool:
    if isinstance(part, ast.Call) and ast.unparse(part.func) in SAY_NO_TEXT:
        return False
    if isinstance(part, ast.Name):
        return part.id in errors
    return any(_says(inner, errors) for inner in ast.iter_child_nodes(part))


@pytest.mark.parametrize("file", sorted(PORTAL.rglob("*.py")), ids=lambda file: str(file.relative_to(PORTAL)))
def test_no_line_of_the_log_has_an_error_s_text(file: Path) -> None:
    assert list(texts_logged(file.read_text())) == []


@pytest.mark.parametrize(
    "line",
    [
        "log.exception('fails')",
        "log.error('fails', exc_info=True)",
        "log.error('fails', reason=str(error))",
        "log.error(f'fails: {error}')",
        "log.error('fails', reason=error.args[0])",
        "log.warning('fails', **vars(error))",
    ],
)
def test_a_line_that_had_one_would_be_found(line: str) -> None:
    assert list(texts_logged(f"try:\n    pass\nexcept ValueError as error:\n    {line}\n")) == [4]
    assert list(texts_logged(f"def handler(request: Request, error: Exception) -> None:\n    {line}\n")) == [2]


def test_what_the_web_server_logs_of_a_fault_is_its_kind_and_place(caplog: pytest.LogCaptureFixture) -> None:
    server = logging.getLogger("uvicorn.error")
    assert WITHOUT_TEXTS in server.filters
    with pytest.raises(KeyError) as caught:
        vars(object)["Anne Berg"]
    server.error("Exception in ASGI application\n", exc_info=caught.value)  # which the application has logged
    server.error("Exception in %s", "the server", exc_info=caught.value)
    (logged,) = [record.getMessage() for record in caplog.records]
    assert logged.startswith("Exception in the server: KeyError at ")
    assert "Anne" not in caplog.text
