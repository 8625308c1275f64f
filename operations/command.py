"""The `claimbus` command."""

import typer

from operations import dead_letters
from operations.apply import apply
from operations.contract import contract
from operations.demo.command import demo
from operations.explain import explain
from operations.status import status
from operations.storm import storm
from operations.submit import submit
from operations.topics import topics
from operations.up import up

app = typer.Typer(
    help="Temporary insurance claims over a message bus.", no_args_is_help=True, pretty_exceptions_enable=False
)
for command in (demo, up, apply, explain, submit, status, storm, topics, contract):
    app.command()(command)
app.add_typer(dead_letters.app, name="dead-letters")


def main() -> None:
    """Run the command."""
    app()
