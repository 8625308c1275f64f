"""`claimbus submit`: send requests from JSON files as a company, and print their outcomes."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from confluent_kafka import KafkaException

from operations.bus import Company, Delivered, NewRequest, NoAnswer
from operations.connection import Unreachable, load_connection
from operations.options import AsJson, ConnectionFile, fail, out, print_json


def submit(
    files: Annotated[
        list[Path],
        typer.Argument(
            help='JSON files, each {"type": "create-temporary-claim", "id"?, "actor"?, "body": {…}}, or a list of them.'
        ),
    ],
    company: Annotated[str, typer.Option("--as", help="The company that asks.")],
    wait: Annotated[float, typer.Option(help="How long to wait for the outcomes, in seconds.")] = 30.0,
    connection_file: ConnectionFile = None,
    as_json: AsJson = False,
) -> None:
    """Send requests as a company and print their outcomes; for trying an integration."""
    requests = [request for file in files for request in read_requests(file)]
    try:
        with Company(load_connection(connection_file), company) as sender:
            outcomes = sender.ask(*requests, timeout_s=wait)
    except (Unreachable, NoAnswer) as error:
        fail(error)
    except KafkaException as error:
        fail(f"the brokers do not take it: {error.args[0].str()}")
    if as_json:
        print_json([{"type": outcome.type, **outcome.body} for outcome in outcomes])
        return
    for outcome in outcomes:
        out.print(said(outcome), markup=False)


def read_requests(file: Path) -> list[NewRequest]:
    """Read a file's requests. A wrong file is wrong usage."""
    try:
        content: Any = json.loads(file.read_text())
        entries = content if isinstance(content, list) else [content]
        return [_request(entry) for entry in entries]
    except (OSError, ValueError, KeyError, TypeError) as error:
        problem = f"{file}: {error}" if not isinstance(error, KeyError) else f"{file}: {error.args[0]} is missing"
        raise typer.BadParameter(problem, param_hint="FILES") from None


def said(outcome: Delivered) -> str:
    """Say an outcome in a line or a few."""
    body = outcome.body
    if outcome.accepted:
        about = [f"{name} {body[name]}" for name in ("claim_number", "claim_id", "effective_at") if name in body]
        lines = [f"{body['request_id']}: accepted" + (f", {', '.join(about)}" if about else "")]
    else:
        lines = [f"{body['request_id']}: refused, {body['code']}: {body['message']['en']}"]
        lines += [f"  {detail['field']}: {detail['problem']}" for detail in body.get("details", [])]
    if "decision" in body:
        lines.append(f"  {body['decision']['explanation']['en']}")
    return "\n".join(lines)


def _request(entry: dict[str, Any]) -> NewRequest:
    request = NewRequest(
        name=str(entry["type"]).removeprefix("claimbus.").removesuffix(".v1"),
        body=entry["body"],
        actor=entry.get("actor"),
        key=entry.get("key"),
    )
    return replace(request, id=str(entry["id"])) if "id" in entry else request
