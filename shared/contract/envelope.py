"""CloudEvents 1.0 over Kafka: how a message's headers and value are read and written."""

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

from pydantic import ValidationError
from pydantic_core import from_json, to_json

from shared.contract.fields import REQUEST_ID_PATTERN
from shared.contract.outcomes import Detail
from shared.contract.requests import MAX_BODY_BYTES
from shared.contract.texts import composed

Headers = Sequence[tuple[str, bytes]]

_REQUEST_ID = re.compile(REQUEST_ID_PATTERN)
_STRUCTURED = "application/cloudevents+json"
_JSON = ("application/json", "text/json")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[{]+|[\]}]+|[^\s"\[\]{}]+', re.DOTALL)
"""What JSON is made of, roughly: a text, brackets, and what stands between, such as a colon; never tried twice."""
_ATTRIBUTES = ("id", "specversion", "type", "source", "subject", "actor")
_LONGEST_ECHO = 200
_MOST_DETAILS = 20
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_TRACESTATE = re.compile(rb"[\x20-\x7e]{1,512}")
CARRIED_THROUGH = {"traceparent": _TRACEPARENT, "tracestate": _TRACESTATE}
"""W3C Trace Context: what is not well formed is left out, since it would go to other companies."""


class Undecodable(Exception):
    """A message that cannot be understood and has no readable id: it goes to the dead letters with this reason."""


class Body(Protocol):
    """A message of the contract."""

    @classmethod
    def type(cls) -> str:
        """The CloudEvents type."""

    def json_bytes(self) -> bytes:
        """Write the body."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message with its CloudEvents attributes; `problems` tell what is wrong with it although its id is readable."""

    id: str
    type: str
    source: str
    body: bytes
    subject: str | None = None
    actor: str | None = None
    trace: tuple[tuple[str, bytes], ...] = ()
    republished_for: str | None = None
    cause: str | None = None
    """The id of the request that led to it, in what our own services send."""
    problems: tuple[Detail, ...] = ()

    @property
    def too_large(self) -> bool:
        """Whether the body is over the limit for a request."""
        return len(self.body) > MAX_BODY_BYTES


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to publish."""

    topic: str
    key: str
    headers: tuple[tuple[str, bytes], ...] = field(repr=False)
    value: bytes = field(repr=False)


def outgoing(
    topic: str,
    key: UUID | str,
    body: Body,
    *,
    id: str,
    source: str,
    cause: str,
    subject: UUID | str | None = None,
    trace: Headers = (),
    republished_for: str | None = None,
) -> Outgoing:
    """Put a message of the contract into its envelope, in binary mode.

    `id` is deterministic, so that a message delivered twice is recognised; `cause` is the id of the request that led
    to it; `source` is the service's name.
    """
    return sealed(
        topic,
        key,
        body.type(),
        body.json_bytes(),
        id=id,
        source=source,
        cause=cause,
        subject=subject,
        trace=trace,
        republished_for=republished_for,
    )


def sealed(
    topic: str,
    key: UUID | str,
    type: str,
    value: bytes,
    *,
    id: str,
    source: str,
    cause: str,
    subject: UUID | str | None = None,
    trace: Headers = (),
    republished_for: str | None = None,
) -> Outgoing:
    """Put a body that is written already into its envelope; see `outgoing`."""
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", id.encode()),
        ("ce_source", b"/claimbus/" + source.encode()),
        ("ce_type", type.encode()),
        ("ce_causationid", cause.encode()),
        ("content-type", b"application/json"),
    ]
    if subject is not None:
        headers.append(("ce_subject", str(subject).encode()))
    if republished_for is not None:
        headers.append(("ce_republishedfor", republished_for.encode()))
    return Outgoing(topic, str(key), (*headers, *trace), value)


def read_envelope(headers: Headers, value: bytes | None) -> Envelope:
    """Read a message in binary or structured mode.

    Raises Undecodable where no id can be read; where it can, whatever else is wrong is in `problems`.
    """
    texts: dict[str, str] = {}
    problems: list[Detail] = []
    trace: dict[str, bytes] = {}
    for name, raw in headers:
        name = name.lower()  # noqa: PLW2901 - header names differ in case between clients
        if name in CARRIED_THROUGH:
            if CARRIED_THROUGH[name].fullmatch(raw or b""):
                trace[name] = raw
            continue
        if name != "content-type" and not name.startswith("ce_"):
            continue
        try:
            texts[name] = (raw or b"").decode()
        except UnicodeDecodeError:
            problems.append(Detail(field=_printable(name), problem="is not UTF-8"))
    attributes, body = _attributes_and_body(texts, (value or b"").removeprefix(_BYTE_ORDER_MARK), problems)
    request_id = attributes.get("id")
    if not request_id:
        raise Undecodable("; ".join(["it has no ce_id", *(f"{p.field} {p.problem}" for p in problems)]))
    if not _REQUEST_ID.fullmatch(request_id):
        raise Undecodable("its ce_id is not 1–100 characters of [A-Za-z0-9._:-]")
    if attributes.get("specversion") != "1.0":
        problems.append(Detail(field="ce_specversion", problem="must be 1.0"))
    problems += [Detail(field=f"ce_{n}", problem="is missing") for n in ("source", "type") if not attributes.get(n)]
    actor = attributes.get("actor")
    return Envelope(
        id=request_id,
        type=_printable(attributes.get("type", "")),
        source=_printable(attributes.get("source", "")),
        body=body,
        subject=attributes.get("subject") or None,
        actor=_printable(actor) if actor else None,
        trace=tuple(trace.items()),
        republished_for=attributes.get("republishedfor") or None,
        problems=tuple(problems[:_MOST_DETAILS]),
    )


def _attributes_and_body(
    texts: Mapping[str, str], value: bytes, problems: list[Detail]
) -> tuple[Mapping[str, str], bytes]:
    """Find the attributes in the headers, or in the value in structured mode; an id that is in the other is read too.

    An attribute that is null or empty is not there.
    """
    in_headers = {name[3:]: text for name, text in texts.items() if name.startswith("ce_")}
    content_type = (texts.get("content-type") or "application/json").split(";")[0].strip().lower()
    if content_type == _STRUCTURED:
        in_value, body = _structured(value, problems)
        if in_value.get("id") or not in_headers.get("id"):
            return in_value, body
        problems.append(Detail(field="id", problem="is not in the value, which has all attributes in structured mode"))
        return in_headers, body
    if not _is_json(content_type):
        problems.append(Detail(field="content-type", problem=f"is neither application/json nor {_STRUCTURED}"))
    if in_headers.get("id") or not value.lstrip().startswith(b"{"):
        return in_headers, value
    in_value, body = _structured(value, [])
    if not (in_value.get("id") and in_value.get("specversion")):
        return in_headers, value
    problems.append(Detail(field="content-type", problem=f"must be {_STRUCTURED}, since the value has the attributes"))
    return in_value, body


def read_internal_envelope(headers: Headers, value: bytes | None) -> Envelope:
    """Read a message of one of our own services, whose ids may be longer than a request's.

    Raises Undecodable if it is not in binary mode with an id and a type.
    """
    texts: dict[str, bytes] = {name: value for name, value in dict(headers).items() if value is not None}
    try:
        return Envelope(
            id=texts["ce_id"].decode(),
            type=texts["ce_type"].decode(),
            source=texts["ce_source"].decode(),
            body=value or b"",
            subject=texts["ce_subject"].decode() if "ce_subject" in texts else None,
            trace=tuple((n, texts[n]) for n in CARRIED_THROUGH if n in texts),
            republished_for=texts["ce_republishedfor"].decode() if "ce_republishedfor" in texts else None,
            cause=texts["ce_causationid"].decode() if "ce_causationid" in texts else None,
        )
    except KeyError as missing:
        raise Undecodable(f"it has no {missing.args[0]}") from None
    except UnicodeDecodeError:
        raise Undecodable("its CloudEvents headers are not UTF-8") from None


def details_of(error: ValidationError) -> list[Detail]:
    """What is wrong with each field, without repeating what was sent."""
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    details = [
        Detail(
            field=_printable(".".join(str(part) for part in problem["loc"])) or "body",
            problem=_printable(problem["msg"].removeprefix("Value error, ")),
        )
        for problem in problems[:_MOST_DETAILS]
    ]
    if len(problems) > _MOST_DETAILS:
        details.append(Detail(field="body", problem=f"and {len(problems) - _MOST_DETAILS} more"))
    return details


def _is_json(content_type: str) -> bool:
    return content_type in _JSON or (
        content_type.endswith("+json") and not content_type.startswith("application/cloudevents")
    )


def _structured(value: bytes, problems: list[Detail]) -> tuple[dict[str, str], bytes]:
    try:
        event: Any = from_json(value)
    except ValueError as error:
        problems.append(Detail(field="body", problem=f"Invalid JSON: {error}"))
        return _attributes_of_broken(value.decode(errors="replace")), b""
    if not isinstance(event, dict):
        problems.append(Detail(field="body", problem="is not a JSON object"))
        return {}, b""
    attributes = {
        name: content
        for name, content in event.items()
        if isinstance(content, str) and name not in {"data", "data_base64"}
    }
    in_base_64 = event.get("data_base64")
    if in_base_64 is not None and in_base_64 != "":
        try:
            return attributes, base64.b64decode(in_base_64, validate=True)
        except (TypeError, ValueError, binascii.Error):
            problems.append(Detail(field="data_base64", problem="is not base 64"))
            return attributes, b""
    return attributes, to_json(event["data"]) if "data" in event else b""


def _attributes_of_broken(event: str) -> dict[str, str]:
    """Find the texts at the top of an event that is no JSON: what is wrong in its data is no reason to lose its id.

    Data that has lost its bracket looks like attributes: those that stand before it are the event's.
    """
    names = {f'"{name}"': name for name in _ATTRIBUTES}
    attributes: dict[str, str] = {}
    before_data: frozenset[str] = frozenset()
    depth = 0
    last = last_but_one = ""
    for token in _TOKEN.finditer(event):
        text = token[0]
        if text[0] in "[{":
            depth += len(text)
        elif text[0] in "]}":
            depth -= len(text)
            if depth < 1:
                break  # the event has ended, and what follows is none of it
        elif depth == 1 and text == ":" and last == '"data"':
            before_data = frozenset(attributes)
        elif depth == 1 and last == ":" and names.get(last_but_one, "") not in {"", *before_data} and text[0] == '"':
            with suppress(ValueError):  # an escape that means nothing, or a text that is not ended
                attributes[names[last_but_one]] = json.loads(text)
        last_but_one, last = last, text
    return attributes


def _printable(text: str) -> str:
    """Cut a text that we repeat to a length, and leave out what no log or database should get."""
    shortened = composed(text[: 2 * _LONGEST_ECHO])[:_LONGEST_ECHO]
    return shortened if shortened.isprintable() else "".join(c for c in shortened if c.isprintable())
