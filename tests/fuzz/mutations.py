"""Messages to begin with, and what is done to them: to their bytes, to the JSON in them, and to their headers."""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from shared.contract.commands import CheckedRequest
from shared.contract.directory_events import DIRECTORY_EVENTS
from shared.contract.envelope import outgoing
from shared.contract.events import CLAIM_EVENTS as EVENTS_BY_TYPE
from shared.contract.linking import STEPS_FOR_CLAIMS, LinkRequested
from shared.contract.outcomes import OUTCOMES
from shared.contract.reports import ReportReady
from shared.contract.suggestions import LinkSuggested
from shared.contract.topics import (
    CLAIM_COMMANDS,
    CLAIM_EVENTS,
    DIRECTORY,
    LINK_REQUESTS,
    LINK_SUGGESTIONS,
    REPORTS,
    REQUEST_OUTCOMES,
    REQUESTS,
)
from tests.builders.requests import CLAIM, FJORD, FULL, VEST, headers_of
from tests.fuzz.decoders import Message
from tests.unit.test_contract_published import SENT

CORPUS = Path(__file__).with_name("corpus")
LARGEST_BYTES = 1024 * 1024
"""What a topic of requests takes."""

_STRUCTURED = ("content-type", b"application/cloudevents+json")
_TOPICS = {
    **dict.fromkeys(EVENTS_BY_TYPE, CLAIM_EVENTS.name),
    **dict.fromkeys(OUTCOMES, REQUEST_OUTCOMES.name),
    **dict.fromkeys(STEPS_FOR_CLAIMS, CLAIM_COMMANDS.name),
    **dict.fromkeys(DIRECTORY_EVENTS, DIRECTORY.name),
    CheckedRequest.type(): CLAIM_COMMANDS.name,
    LinkRequested.type(): LINK_REQUESTS.name,
    LinkSuggested.type(): LINK_SUGGESTIONS.name,
    ReportReady.type(): REPORTS.name,
}
_BYTES = (
    *(b"\x00", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b'"', b"\\", b"\\u0000", b"\\ud800", b"{", b"}", b"[", b"]"),
    *(b",", b":", b"null", b"NaN", b"-Infinity", b"1e999", b"-0", b"\r\n", b" ", b"\xe2\x80\xae", b"'", b"/*"),
)
_VALUES: tuple[Any, ...] = (
    *(
        None,
        "",
        " ",
        True,
        False,
        0,
        -1,
        1.5,
        2**63,
        10**400,
        1e308,
        [],
        {},
        [None],
        [[]],
        {"": None},
        "\x00",
        "\ud800",
    ),
    *(
        "x" * 300,
        "é" * 201,
        "\u0301" * 1000,
        "a\u202eb",
        "true",
        "0",
        "١٢",
        "-",
        "2026-02-30",
        "9999-12-31",
        "0001-01-01",
    ),
    *(
        "0000-01-01",
        "2026-11-24T25:00:00Z",
        "24:00",
        "08:60",
        "8:00",
        "Europe/../Oslo",
        "Factory",
        "XX",
        "NO",
        "de_facto",
    ),
    *(
        "+4791234567",
        "+" + "9" * 40,
        "1e5",
        "12000.505",
        "-1",
        "operator",
        "claimbus",
        VEST,
        FJORD,
        CLAIM,
        CLAIM.upper(),
    ),
    *("urn:uuid:" + CLAIM, CLAIM.replace("-", ""), "Midlertidig", "Ⅻ", "ﷺ" * 100, "../../etc/passwd", "=1+1", "<b>"),
)
_HEADERS = (
    *(("content-type", value) for value in (b"", b"text/plain", b"application/json; charset=utf-16", b"text/json")),
    *(_STRUCTURED, ("content-type", b"application/cloudevents-batch+json"), ("CE_ID", b"r-2"), ("ce_id", b"")),
    *(("ce_id", b"x" * 101), ("ce_id", b"\xff"), ("ce_id", "ø".encode()), ("ce_specversion", b"0.3"), ("ce_type", b"")),
    *(("ce_type", b"claimbus.unknown.v1"), ("ce_actor", b"\x00\x1b[31m"), ("ce_actor", b"a" * 5000), ("ce_", b"x")),
    *(
        ("traceparent", b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01"),
        ("traceparent", b"\xff"),
        ("tracestate", b"a=\x00"),
    ),
    *(
        ("ce_republishedfor", b"portal"),
        ("ce_causationid", b"portal-x"),
        ("ce_data_base64", b"e30="),
        ("ce_\x00", b"\xff"),
    ),
)
_DEPTHS = (10, 100, 1000, 20_000)


def seeds() -> list[Message]:
    """Every message of the contract as it should be, requests in both modes, and what is in the corpus."""
    found = []
    for name, body in FULL.items():
        headers = headers_of(f"claimbus.{name}.v1", "r-1")
        structured = {"specversion": "1.0", "id": "r-1", "source": "/x", "type": f"claimbus.{name}.v1", "data": body}
        for topic in (REQUESTS.of(VEST), REQUESTS.of(FJORD), REQUESTS.of("operator")):
            found.append(Message(topic, tuple(headers), json.dumps(body).encode()))
            found.append(Message(topic, (_STRUCTURED,), json.dumps(structured).encode()))
    for body in (body for body in SENT if body.type() in _TOPICS):
        sent = outgoing(_TOPICS[body.type()], CLAIM, body, id=f"{CLAIM}/1", source="claims", cause="r-1")
        found.append(Message(sent.topic, sent.headers, sent.value))
    return found + [Message.of(file.read_bytes()) for file in sorted(CORPUS.iterdir())]


def mutated(random: random.Random, messages: Sequence[Message]) -> Message:
    """Change one of the messages, in one to five ways."""
    message = random.choice(messages)
    topic, headers, value = message.topic, message.headers, message.value
    for _ in range(random.choice((1, 1, 2, 3, 5))):
        what = random.random()
        if what < 0.5:
            value = _json_changed(random, value)
        elif what < 0.75:
            value = random.choice(_CHANGES)(random, value, messages)
        elif what < 0.97:
            headers = tuple(_headers_changed(random, headers, messages))
        else:
            topic = random.choice(messages).topic
    return Message(topic, headers, value[:LARGEST_BYTES])


def _json_changed(random: random.Random, value: bytes) -> bytes:
    try:
        body = json.loads(value)
    except (ValueError, RecursionError):
        return _replaced(random, value, ())
    places = list(_places(body))
    if not places:
        return json.dumps(random.choice(_VALUES)).encode()
    of, key = random.choice(places)
    what = random.random()
    if what < 0.6:
        of[key] = random.choice(_VALUES)
    elif what < 0.75:
        del of[key]
    elif what < 0.85:
        others, other = random.choice(places)
        of[key] = json.loads(json.dumps(others[other])) if key in of or isinstance(of, list) else None
    elif isinstance(of, dict):
        of[random.choice((str(key).upper(), f" {key}", "", "\x00", "__class__", "data_base64"))] = of[key]
    else:
        of *= random.choice((0, 2, 30))
    return json.dumps(body, ensure_ascii=random.random() < 0.7).encode(errors="surrogatepass")


def _places(body: Any, depth: int = 0) -> Iterator[tuple[Any, Any]]:
    if depth > 20:
        return
    for key in list(body) if isinstance(body, dict) else range(len(body)) if isinstance(body, list) else ():
        yield body, key
        yield from _places(body[key], depth + 1)


def _replaced(random: random.Random, value: bytes, _: object) -> bytes:
    at, cut = random.randrange(len(value) + 1), random.choice((0, 0, 1, 2, 10))
    return value[:at] + random.choice(_BYTES) * random.choice((1, 1, 2, 50)) + value[at + cut :]


def _flipped(random: random.Random, value: bytes, _: object) -> bytes:
    changed = bytearray(value)
    for _ in range(random.choice((1, 2, 8))):
        if changed:
            changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def _cut(random: random.Random, value: bytes, _: object) -> bytes:
    at = random.randrange(len(value) + 1)
    return value[:at] if random.random() < 0.5 else value[at:]


def _spliced(random: random.Random, value: bytes, messages: Sequence[Message]) -> bytes:
    other = random.choice(messages).value
    return value[: random.randrange(len(value) + 1)] + other[random.randrange(len(other) + 1) :]


def _nested(random: random.Random, value: bytes, _: object) -> bytes:
    at, depth = random.randrange(len(value) + 1), random.choice(_DEPTHS)
    return value[:at] + random.choice((b"[", b'{"a":', b'"', b"[{")) * depth + value[at:]


def _repeated(random: random.Random, value: bytes, _: object) -> bytes:
    first = random.randrange(len(value) + 1)
    last = random.randrange(first, len(value) + 1)
    return value[:last] + value[first:last] * random.choice((1, 2, 10, 200)) + value[last:]


_CHANGES: tuple[Callable[[random.Random, bytes, Sequence[Message]], bytes], ...] = (
    *(_replaced, _flipped, _cut, _spliced, _repeated) * 4,
    _nested,
)


def _headers_changed(
    random: random.Random, headers: Sequence[tuple[str, bytes]], messages: Sequence[Message]
) -> Iterator[tuple[str, bytes]]:
    changed = list(headers)
    what = random.random()
    if what < 0.4 or not changed:
        changed.insert(random.randrange(len(changed) + 1), random.choice(_HEADERS))
    elif what < 0.55:
        del changed[random.randrange(len(changed))]
    elif what < 0.7:
        changed += random.choice(messages).headers
    elif what < 0.9:
        n = random.randrange(len(changed))
        changed[n] = (changed[n][0], random.choice((_replaced, _flipped, _cut))(random, changed[n][1], messages))
    else:
        n = random.randrange(len(changed))
        changed[n] = (changed[n][0].upper(), changed[n][1])
    yield from changed
