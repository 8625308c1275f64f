"""Options and manners that the commands share."""

from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.text import Text

from operations.printing import PlainConsole, json_text

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output, and nothing else.")]
ConnectionFile = Annotated[
    Path | None,
    typer.Option("--connection-file", help="How to reach Claimbus; by default what `claimbus up` has written."),
]

out = PlainConsole()
"""For results."""
err = PlainConsole(stderr=True)
"""For progress and complaints."""


def fail(sentence: object) -> NoReturn:
    """Print why it did not work, and end with status 1."""
    err.print(*sentence_of(sentence).splitlines(), sep="\n", style="red")
    raise typer.Exit(1)


def sentence_of(error: object) -> str:
    """An error as a sentence: Kafka's by its text, a file's with the file, one without a text by its name."""
    if isinstance(error, Exception) and error.args and hasattr(error.args[0], "str"):  # a KafkaException
        return f"the brokers do not take it: {error.args[0].str()}"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or type(error).__name__


def print_json(document: Any) -> None:
    """Print the one JSON document."""
    typer.echo(json_text(document, ascii_only=not out.is_unicode))


def plain(text: str) -> Text:
    """A text for what would read a string as markup, such as a status."""
    return err.render_str(text)
