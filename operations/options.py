"""Options and manners that the commands share."""

import json
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output, and nothing else.")]
ConnectionFile = Annotated[
    Path | None,
    typer.Option("--connection-file", help="How to reach Claimbus; by default what `claimbus up` has written."),
]

out = Console(highlight=False, soft_wrap=True)
"""For results."""
err = Console(stderr=True, highlight=False, soft_wrap=True)
"""For progress and complaints."""


def fail(sentence: object) -> NoReturn:
    """Say why it did not work, and end with status 1."""
    err.print(str(sentence), style="red", markup=False)
    raise typer.Exit(1)


def print_json(document: Any) -> None:
    """Print the one JSON document."""
    typer.echo(json.dumps(document, ensure_ascii=False, indent=2))
