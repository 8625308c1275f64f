"""`claimbus trace`: the whole way of a request, a claim or a trace through the topics and tables."""

import asyncio
import re
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException
from confluent_kafka.admin import AdminClient

from operations.connection import Connection, Unreachable, load_connection
from operations.directory_view import directory_from_bus
from operations.options import AsJson, ConnectionFile, fail, out, print_json, sentence_of
from operations.records import ReadRecord
from operations.trace.record import RecordedRequest, recorded, versions_met
from operations.trace.topics import Topics
from operations.trace.way import Sight, Way, follow, ms_of, name_of, place_of, put_aside, traceparent_of, what_is
from shared.contract.envelope import Undecodable, read_envelope
from shared.contract.outcomes import RequestAccepted, RequestRefused
from shared.contract.topics import REQUESTS, company_of_requests
from shared.errors import Misconfigured, TryAgain
from shared.storage.database import DatabaseAway

_WITHIN_MIN = 60.0
_AT_MOST = 20_000
_ANSWER_S = 15.0
_TRACE_ID = re.compile(r"(?:[0-9a-f]{2}-)?([0-9a-f]{32})(?:-[0-9a-f]{16}-[0-9a-f]{2})?")


class Unknown(Exception):
    """Nothing is known of what was asked for."""


@dataclass(frozen=True)
class Trace:
    """What was found of what was asked for."""

    asked: str
    requests: Sequence[RecordedRequest]
    way: Way

    def document(self) -> dict[str, Any]:
        """Write it as JSON."""
        began = _began(self.way.sights)
        return {
            "asked": self.asked,
            "requests": [_document(request) for request in self.requests],
            "traceparent": self.way.traceparent,
            "way": [
                asdict(sight) | {"at": _time(sight.at_ms), "after_ms": _after(sight.at_ms, began)}
                for sight in self.way.sights
            ],
            "received_by": self.way.received_by,
            "missing": sum(sight.missing is not None for sight in self.way.sights),
        }


def trace(
    id: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            help="A request's id, also as <company>/<id>; a claim's id or number; a link's step; a trace.",
        ),
    ],
    within: Annotated[
        float,
        typer.Option(
            help="Minutes of the request topics to look through for what no table knows: a request that is on its way, "
            "or a trace.",
            min=0,
        ),
    ] = _WITHIN_MIN,
    at_most: Annotated[
        int, typer.Option(help="Messages of a partition to look through for each message of the way.", min=1)
    ] = _AT_MOST,
    connection_file: ConnectionFile = None,
    as_json: AsJson = False,
) -> None:
    """Follow a request, or all of a claim: where and when each message was appended, the decision, who has got it."""
    try:
        found = look(load_connection(connection_file), id, within_min=within, at_most=at_most)
    except (Unreachable, Unknown, Misconfigured) as error:
        fail(error)
    except KafkaException as error:
        fail(f"the bus cannot be reached: {error.args[0].str()}")
    except (DatabaseAway, TryAgain, OSError, TimeoutError) as error:
        fail(f"a database does not answer: {sentence_of(error)}")
    if as_json:
        print_json(found.document())
    else:
        _print(found)


def look(connection: Connection, id: str, *, within_min: float = _WITHIN_MIN, at_most: int = _AT_MOST) -> Trace:
    """Find all that there is. Raises Unknown, Unreachable, KafkaException, DatabaseAway, OSError."""
    with Topics(connection, at_most) as topics:
        requests = _known(connection, id, topics.companies)
        if requests:
            way = follow(topics, requests)
        else:
            requests, way = _recent(connection, topics, id, within_min)
        if not way.sights:
            raise Unknown(
                f"nothing is known of {id}: neither the record of claims nor the directory has it, and no request of "
                f"the last {within_min:g} minutes (--within)"
            )
        way.sights += _read_models(connection, requests)
        return Trace(id, requests, way)


def _known(connection: Connection, id: str, companies: Collection[str]) -> Sequence[RecordedRequest]:
    return asyncio.run(recorded(connection, id, companies)) or _of_directory(connection, id, companies)


def _of_directory(connection: Connection, id: str, companies: Iterable[str]) -> list[RecordedRequest]:
    """Find a request that `directory` remembers: one about companies, offices, users, permissions or settings."""
    directory = directory_from_bus(connection)
    found = []
    for company in companies:
        request_id = id.removeprefix(f"{company}/")
        settled = directory.settled(company, request_id)
        if settled is not None:
            outcome = RequestAccepted if settled.code is None else RequestRefused
            body = {"request_type": settled.request_type, "code": settled.code}
            found.append(
                RecordedRequest((company, request_id), None, settled.requested_at, outcome.type(), outcome=body)
            )
    return found


def _recent(
    connection: Connection, topics: Topics, id: str, within_min: float
) -> tuple[Sequence[RecordedRequest], Way]:
    """Look through the latest requests for an id, or for those of a trace."""
    since_ms = round((time.time() - within_min * 60) * 1000)
    trace = _TRACE_ID.fullmatch(id)
    meant = [
        (record, request_id)
        for record in topics.recent([REQUESTS.of(company) for company in topics.companies], since_ms)
        if (request_id := _request_id(record)) is not None
        and (
            (trace is not None and trace[1] in (traceparent_of(record) or ""))
            or id in (request_id, f"{company_of_requests(record.topic)}/{request_id}")
        )
    ]
    requests: list[RecordedRequest] = []
    waiting: list[ReadRecord] = []
    for record, request_id in meant:
        company = company_of_requests(record.topic)
        name = f"{company}/{request_id}"
        known = _known(connection, name, [company])
        requests += [request for request in known if request not in requests]
        if not known:
            waiting.append(record)
    way = follow(topics, requests)
    way.traceparent = way.traceparent or next((t for record in waiting if (t := traceparent_of(record))), None)
    if waiting:
        read = _read_by_permissions(connection)
        for record in waiting:
            place = place_of(record)
            has_read = record.offset < read.get((record.topic, record.partition), 0)
            so_far = "has read it; nothing is decided yet" if has_read else "has not read it yet"
            way.sights.append(Sight(place, place, what_is(record), record.timestamp))
            way.sights.append(Sight(place, "permissions", so_far))
        way.sights += put_aside(topics, waiting)
    return requests, way


def _request_id(record: ReadRecord) -> str | None:
    try:
        return read_envelope(record.headers, record.value).id
    except Undecodable:
        return None


def _read_by_permissions(connection: Connection) -> dict[tuple[str, int], int]:
    (asked,) = REQUESTS.read_by
    admin = AdminClient(connection.client())
    (answer,) = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(asked)]).values()
    return {(p.topic, p.partition): p.offset for p in answer.result(timeout=_ANSWER_S).topic_partitions}


def _read_models(connection: Connection, requests: Sequence[RecordedRequest]) -> list[Sight]:
    """Say how far each read model has come with the claims that something happened to."""
    latest: dict[Any, int] = {}
    for request in requests:
        for event in request.events:
            latest[event.claim_id] = max(event.version, latest.get(event.claim_id, 0))
    if not latest:
        return []
    sights = []
    for reader, met in asyncio.run(versions_met(connection, latest)).items():
        for claim, version in latest.items():
            has = f"has version {met[claim]} of {claim}" if claim in met else f"does not have {claim} yet"
            sights.append(Sight(str(claim), reader, has if met.get(claim, 0) >= version else f"{has}: it is behind"))
    return sights


def _document(request: RecordedRequest) -> dict[str, Any]:
    return {
        "company": request.key[0],
        "id": request.key[1],
        "claim_id": None if request.claim_id is None else str(request.claim_id),
        "requested_at": _time(ms_of(request.requested_at)),
        "request_type": request.outcome.get("request_type"),
        "outcome": None if request.outcome_type is None else name_of(request.outcome_type),
        "code": request.outcome.get("code"),
        "decision": request.outcome.get("decision"),
    }


def _print(found: Trace) -> None:
    began = _began(found.way.sights)
    rows = [("time", "after", "where", "what")]
    for sight in found.way.sights:
        after = _after(sight.at_ms, began)
        rows.append((_time(sight.at_ms) or "", "" if after is None else f"{after} ms", sight.place, sight.what))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for time_, after_, where, what in rows:
        out.print(f"{time_:<{widths[0]}}  {after_:>{widths[1]}}  {where:<{widths[2]}}  {what}")
    if found.way.traceparent:
        out.print(f"trace: {found.way.traceparent}")
    if any(request.outcome_type for request in found.requests):
        out.print(f"received by: {', '.join(found.way.received_by) or 'nobody yet'}")


def _began(sights: Iterable[Sight]) -> int | None:
    return min((sight.at_ms for sight in sights if sight.at_ms is not None), default=None)


def _after(at_ms: int | None, began_ms: int | None) -> int | None:
    return None if at_ms is None or began_ms is None else at_ms - began_ms


def _time(at_ms: int | None) -> str | None:
    if at_ms is None:
        return None
    at = datetime.fromtimestamp(at_ms / 1000, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
