"""Runs the story on a stack of its own in a temporary folder, and tells it."""

import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer
from confluent_kafka import KafkaException
from rich.console import Console

from operations.apply import NotApplied
from operations.bus import NoAnswer
from operations.connection import Unreachable, local_connection_file
from operations.demo.story import Step, Story
from operations.directory_file import read_directory_file
from operations.embedded import NotStarted
from operations.options import AsJson, ConnectionFile, err, fail, out, print_json
from operations.provisioning import NotProvisioned
from operations.stack import NotUp, running
from operations.up import Stopped, apply_supervised, serve, until_stopped
from operations.uploads import NotUploaded

DIRECTORY = Path(__file__).parent / "directory.yaml"


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave it running afterwards, until Ctrl-C.")] = False,
    connection_file: ConnectionFile = None,
    as_json: AsJson = False,
) -> None:
    """Start everything in a temporary folder, tell the story of the product step by step, check it, stop everything."""
    began = time.monotonic()
    steps: list[Step] = []
    finished = False
    teller = err if as_json else out
    try:
        with (
            tempfile.TemporaryDirectory(prefix="claimbus-demo-") as folder,
            until_stopped(),
            running(Path(folder), report=err.print) as stack,
        ):
            err.print(f"Kafka, PostgreSQL and the services are up after {time.monotonic() - began:.1f} s")
            wanted = read_directory_file(DIRECTORY)
            apply_supervised(stack, wanted)
            story = Story(stack.connection)
            for title, play in story.steps():
                step = Step(title)
                steps.append(step)
                try:
                    play(step)
                except (NoAnswer, NotUploaded) as missing:
                    step.failures.append(str(missing))
                except KeyError as missing:  # what came back lacks what the step looks at
                    step.failures.append(f"a field {missing} in the answer")
                _print(len(steps), step, teller)
            story.close()
            finished = True
            if keep:
                serve(stack, local_connection_file(connection_file))
    except Stopped:
        if not finished:
            fail("stopped before the end")
    except (NotUp, NotStarted, NotProvisioned, NotApplied, NoAnswer, Unreachable, KafkaException) as error:
        fail(error)
    good = sum(not step.failures for step in steps)
    teller.print(f"{good} of {len(steps)} steps as expected in {time.monotonic() - began:.0f} s", style="bold")
    if as_json:
        print_json([{"title": s.title, "lines": s.lines, "failures": s.failures} for s in steps])
    if good < len(steps):
        raise typer.Exit(1)


def _print(number: int, step: Step, teller: Console) -> None:
    teller.print(f"{number:2}. {step.title}", style="bold")
    for line in step.lines:
        teller.print(f"    {line}")
    for failure in step.failures:
        teller.print(f"    ✗ expected: {failure}", style="red")
