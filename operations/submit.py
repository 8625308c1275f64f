"""`claimbus submit`: send requests from JSON files as a company, and print their outcomes."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from confluent_kafka import KafkaException
from pydantic import AfterValidator, BaseModel, ConfigDict

from operations.bus import Company, Delivered, NewRequest, NoAnswer
from operations.connection import Unreachable, load_connection
from operations.files import WrongFile
from operations.json_files import read_fields, read_json
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
    try:
        requests = [request for file in files for request in read_requests(file)]
        with Company(load_connection(connection_file), company) as sender:
            outcomes = sender.ask(*requests, timeout_s=wait)
    except (WrongFile, Unreachable, NoAnswer, KafkaException) as error:
        fail(error)
    if as_json:
        print_json([{"type": outcome.type, **outcome.body} for outcome in outcomes])
        return
    for outcome in outcomes:
        out.print(*lines_of(outcome), sep="\n")


def _whole(text: str) -> str:
    if not text.isascii() and text.encode(errors="replace").decode() != text:
        raise ValueError("has half a character")
    return text


Whole = Annotated[str, AfterValidator(_whole)]


class RequestEntry(BaseModel):
    """A request as it stands in a file. Its body is anything in JSON: what is wrong with that, the outcome says."""

    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)

    type: Whole
    id: Whole | None = None
    actor: Whole | None = None
    key: Whole | None = None
    body: Any

    def request(self) -> NewRequest:
        """The request, with an id of its own if the file has none."""
        name = self.type.removeprefix("claimbus.").removesuffix(".v1")
        request = NewRequest(name, self.body, actor=self.actor, key=self.key)
        return request if self.id is None else replace(request, id=self.id)


def read_requests(file: Path) -> list[NewRequest]:
    """Read a file's requests: one, or a list. Raises WrongFile."""
    content = read_json(file)
    is_list = isinstance(content, list)
    entries = read_fields(file, list[RequestEntry]) if is_list else [read_fields(file, RequestEntry)]
    return [entry.request() for entry in entries]


def lines_of(outcome: Delivered) -> list[str]:
    """An outcome in a line or a few."""
    body = outcome.body
    if outcome.accepted:
        about = [f"{name} {body[name]}" for name in ("claim_number", "claim_id", "effective_at") if name in body]
        lines = [f"{body['request_id']}: accepted" + (f", {', '.join(about)}" if about else "")]
    else:
        lines = [f"{body['request_id']}: refused, {body['code']}: {body['message']['en']}"]
        lines += [f"  {detail['field']}: {detail['problem']}" for detail in body.get("details", [])]
    if "decision" in body:
        lines.append(f"  {body['decision']['explanation']['en']}")
    return lines
