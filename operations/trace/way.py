"""The way of requests: where each message of theirs was appended, when, and which companies have got it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic_core import from_json

from operations.records import ReadRecord
from operations.trace.record import RecordedEvent, RecordedRequest
from operations.trace.topics import Found, Missing, Topics, Wanted
from services.delivery.rules import addressed
from shared.contract.commands import CheckedRequest
from shared.contract.dead_letters import DeadLetter
from shared.contract.envelope import sealed
from shared.contract.topics import (
    CLAIM_COMMANDS,
    CLAIM_EVENTS,
    DEAD_LETTERS,
    DIRECTORY,
    EVENTS,
    REQUEST_OUTCOMES,
    REQUESTS,
)


@dataclass(frozen=True, slots=True)
class Sight:
    """One place at which something of a request is, or would be."""

    request: str
    """The request's id, with its company before it; of a step of a link, the step's."""
    place: str
    """`<topic>/<partition>/<offset>`, only the topic where it was not found, or the service whose table has it."""
    what: str
    at_ms: int | None = None
    """When it was appended, in milliseconds since 1970 UTC."""
    missing: Missing | None = None
    receiver: str | None = None
    """The company whose events topic it is on."""


@dataclass
class Way:
    """All that was found."""

    sights: list[Sight] = field(default_factory=list)
    traceparent: str | None = None

    @property
    def received_by(self) -> list[str]:
        """The companies that have something of it on their events topics."""
        return sorted({sight.receiver for sight in self.sights if sight.receiver and sight.missing is None})


def follow(topics: Topics, requests: Sequence[RecordedRequest]) -> Way:
    """Look for every message of requests, each from the time on of what it follows from.

    Raises KafkaException, Unreachable.
    """
    arrived = {request.key: list(_arrival(request)) for request in requests}
    first = topics.find(wanted for each in arrived.values() for wanted in each)
    known = {request.id for request in requests}
    led_to = {
        request.key: list(_led_to(request, _last_ms(first, arrived[request.key], request), known))
        for request in requests
    }
    second = topics.find(wanted for each in led_to.values() for wanted in each)
    copies = {request.key: list(_copies(request, second, led_to[request.key])) for request in requests}
    third = topics.find(wanted for each in copies.values() for _, wanted in each)

    way = Way()
    for request in requests:
        sights = [_sight(request, wanted, first[wanted]) for wanted in arrived[request.key]]
        if request.claim_id is not None:
            sights.append(Sight(request.id, "claims", _decided(request)))
        sights += [_sight(request, wanted, second[wanted]) for wanted in led_to[request.key]]
        sights += [_sight(request, wanted, third[wanted], receiver) for receiver, wanted in copies[request.key]]
        way.sights += sights
    records = [one for found in (first, second, third) for one in found.values() if isinstance(one, ReadRecord)]
    way.traceparent = next((trace for record in records if (trace := traceparent_of(record))), None)
    way.sights += put_aside(topics, records)
    return way


def put_aside(topics: Topics, records: Sequence[ReadRecord]) -> list[Sight]:
    """Find the dead letters that were made of messages. Raises as `follow`."""
    if not records:
        return []
    places = {place_of(record): record for record in records}
    sights = []
    for record in topics.recent([DEAD_LETTERS.name], min(record.timestamp for record in records)):
        if dict(record.headers).get("ce_type") == DeadLetter.type().encode():
            letter = DeadLetter.model_validate_json(record.value or b"")
            if letter.id in places:
                what = f"{letter.id} was put aside by {letter.service}: {letter.reason}"
                sights.append(Sight(letter.id, place_of(record), what, record.timestamp))
    return sights


def place_of(record: ReadRecord) -> str:
    """Where a message is, as a dead letter's id has it."""
    return f"{record.topic}/{record.partition}/{record.offset}"


def traceparent_of(record: ReadRecord) -> str | None:
    """Return the W3C Trace Context that a message has."""
    value = next((value for name, value in record.headers if name.lower() == "traceparent"), None)
    return None if value is None else value.decode(errors="replace")


def name_of(type: str) -> str:
    """Return what the contract calls a message, of its CloudEvents type."""
    return type.removeprefix("claimbus.").removesuffix(".v1")


def ms_of(at: datetime) -> int:
    """Milliseconds since 1970 UTC, as brokers count."""
    return round(at.timestamp() * 1000)


def _arrival(request: RecordedRequest) -> Iterator[Wanted]:
    """Yield the request itself, and what tells its decider of it."""
    at, (company, id) = ms_of(request.requested_at), request.key
    if request.is_step:
        yield Wanted(CLAIM_COMMANDS.name, id, at, key=str(request.claim_id), until_ms=at)
        return
    yield Wanted(REQUESTS.of(company), id, at, until_ms=at)
    if request.claim_id is None:
        yield Wanted(DIRECTORY.name, request.id, at)
    else:
        yield Wanted(CLAIM_COMMANDS.name, request.id, at, key=str(request.claim_id))


def _last_ms(found: Found, wanted: Iterable[Wanted], request: RecordedRequest) -> int:
    times = (one.timestamp for each in wanted if isinstance(one := found[each], ReadRecord))
    return max(times, default=ms_of(request.requested_at))


def _led_to(request: RecordedRequest, since_ms: int, known: set[str]) -> Iterator[Wanted]:
    """Yield what its decider published; `known` are requests and steps that are followed for themselves."""
    for event in request.events:
        yield Wanted(CLAIM_EVENTS.name, event.id, since_ms, key=str(event.claim_id))
    for step in request.steps:
        if step.id not in known:
            yield Wanted(step.topic, step.id, since_ms, key=str(step.claim_id))
    if request.outcome_type is not None:
        yield Wanted(REQUEST_OUTCOMES.name, request.id, since_ms, key=request.key[1])


def _copies(request: RecordedRequest, found: Found, published: Iterable[Wanted]) -> Iterator[tuple[str, Wanted]]:
    """Yield the companies that are to get it, each with its copy: of the same key and id."""
    events = {event.id: event for event in request.events}
    for wanted in published:
        if wanted.topic == CLAIM_EVENTS.name:
            receivers = _recipients(events[wanted.id])
        elif wanted.topic == REQUEST_OUTCOMES.name:
            receivers = request.key[:1]
        else:
            continue
        one = found[wanted]
        since_ms = one.timestamp if isinstance(one, ReadRecord) else wanted.since_ms
        for receiver in receivers:
            yield receiver, Wanted(EVENTS.of(receiver), wanted.id, since_ms, key=wanted.key)


def _recipients(event: RecordedEvent) -> Sequence[str]:
    message = sealed(
        CLAIM_EVENTS.name, event.claim_id, event.type, event.body, id=event.id, source="claims", cause=event.cause
    )
    return addressed(message.key.encode(), message.headers, message.value).recipients


def _sight(request: RecordedRequest, wanted: Wanted, found: ReadRecord | Missing, receiver: str | None = None) -> Sight:
    if isinstance(found, Missing):
        return Sight(request.id, wanted.topic, f"{wanted.id}: {found}", missing=found, receiver=receiver)
    return Sight(request.id, place_of(found), what_is(found), found.timestamp, receiver=receiver)


def what_is(record: ReadRecord) -> str:
    """Say what a message is, by its headers, and of a checked request what permissions decided."""
    headers = {name.lower(): value.decode(errors="replace") for name, value in record.headers}
    type, id = headers.get("ce_type", ""), headers.get("ce_id", "")
    if type == CheckedRequest.type():
        body: Any = from_json(record.value or b"{}")
        refusal, decision = body.get("refusal") or {}, body.get("decision") or {}
        verdict = f"refused, {refusal['code']}" if refusal else "passed on"
        return f"checked: {verdict}" + (f" (rule {decision['rule']})" if decision else "")
    name = name_of(type) or "a message"
    if record.topic.startswith(REQUESTS.prefix):
        return f"{name} {id}".rstrip()
    claim, _, version = id.rpartition("/")
    return f"{name}, version {version}" if version.isdecimal() and _is_uuid(claim) else name


def _decided(request: RecordedRequest) -> str:
    versions = [event.version for event in request.events]
    led_to = f"; version {', '.join(map(str, versions))} of {request.claim_id}" if versions else ""
    if request.outcome_type is None:
        return f"remembers the step {name_of(request.id.rpartition('/')[2])}{led_to}"
    code = request.outcome.get("code")
    decision = (request.outcome.get("decision") or {}).get("rule")
    said = name_of(request.outcome_type) + (f", {code}" if code else "") + (f" (rule {decision})" if decision else "")
    return f"decided: {said}{led_to}"


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
