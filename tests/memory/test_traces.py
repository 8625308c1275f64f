"""Traces: what a collector gets of a request's way, and what becomes of requests where there is none."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from operations.services import REGISTRY
from shared.contract.dead_letters import DeadLetter
from shared.contract.topics import CLAIM_COMMANDS, CLAIM_EVENTS, DEAD_LETTERS, EVENTS, REQUEST_OUTCOMES
from shared.messaging.loop import Concurrency
from shared.messaging.memory import MemoryBus
from tests.builders.requests import BODIES, FJORD, VEST, headers_of
from tests.memory.collector import Collector, SeenSpan, collecting
from tests.memory.copier import SOURCE, SPAN, TARGET, Copier, texts_on
from tests.memory.road import Road

pytestmark = pytest.mark.promise(
    "A partner's trace shows the way of its request, and a collector that is away holds up nothing.", about="running"
)

TRACE = "0af7651916cd43dd8448eb211c80319c"
CREATE = "claimbus.create-temporary-claim.v1"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        yield collector


def traced(flags: str = "01") -> tuple[str, bytes]:
    return "traceparent", f"00-{TRACE}-{SPAN}-{flags}".encode()


def create(road: Road, *headers: tuple[str, bytes]) -> None:
    road.append(VEST, [*headers_of(CREATE, "the-request"), *headers], BODIES["create-temporary-claim"])


def outcome_headers(road: Road) -> dict[str, bytes]:
    found = [dict(record.headers) for record in road.bus.records(EVENTS.of(VEST))]
    (headers,) = (headers for headers in found if headers["ce_type"] == b"claimbus.request-accepted.v1")
    return headers


def of(spans: Iterable[SeenSpan], service: str) -> list[SeenSpan]:
    return [span for span in spans if span.service == service]


async def test_a_partners_trace_has_a_span_of_each_service_on_the_way_one_under_the_other(
    road: Road, collector: Collector
) -> None:
    create(road, traced(), ("tracestate", b"vest=1"))
    await road.run("permissions", "claims", "delivery")
    spans = collector.of_trace(TRACE)
    (permissions,), (claims,), delivery = (of(spans, service) for service in ("permissions", "claims", "delivery"))
    assert (permissions.parent_id, claims.parent_id) == (SPAN, permissions.span_id)
    assert {span.attributes["messaging.destination.name"] for span in delivery} == {"claim-events", "request-outcomes"}
    assert {span.parent_id for span in delivery} == {claims.span_id}
    assert permissions.attributes["messaging.message.id"] == "the-request"
    headers = outcome_headers(road)
    assert headers["traceparent"] in {span.traceparent for span in delivery}
    assert headers["tracestate"] == b"vest=1"
    assert len(spans) == 4


async def test_where_a_partner_names_no_trace_the_first_service_begins_one(road: Road, collector: Collector) -> None:
    create(road, ("tracestate", b"vest=1"))
    await road.run("permissions", "claims", "delivery")
    messages = [span for span in collector.spans if not span.is_of_batch]
    (trace_id,) = {span.trace_id for span in messages}
    assert [span.service for span in messages if not span.parent_id] == ["permissions"]
    assert sorted(span.service for span in messages) == ["claims", "delivery", "delivery", "permissions"]
    headers = outcome_headers(road)
    assert headers["traceparent"].split(b"-")[1].decode() == trace_id
    assert "tracestate" not in headers  # it says nothing without the traceparent that it came without


@pytest.mark.parametrize("named", [True, False], ids=["the partner's trace", "ours"])
async def test_what_is_published_again_is_the_same_with_its_trace(
    road: Road, collector: Collector, named: bool
) -> None:
    create(road, *[traced()] * named)
    for service in ("permissions", "claims", "delivery"):
        with road.bus.crash(after="published"):
            await road.run(service)
        await road.run(service)
    for topic in (CLAIM_COMMANDS.name, CLAIM_EVENTS.name, REQUEST_OUTCOMES.name, EVENTS.of(VEST), EVENTS.of(FJORD)):
        records = [r for r in road.bus.records(topic) if "traceparent" in dict(r.headers)]
        different = {(r.key, r.value, tuple(r.headers)) for r in records}
        assert len(records) > len(different) == len({dict(r.headers)["ce_id"] for r in records}), topic


async def test_what_a_partner_does_not_record_goes_on_as_it_came(road: Road, collector: Collector) -> None:
    create(road, traced("00"))
    await road.run("permissions", "claims", "delivery")
    assert outcome_headers(road)["traceparent"] == traced("00")[1]
    assert collector.spans == []


async def test_a_trace_that_is_begun_and_not_recorded_is_recorded_by_no_service(
    road: Road, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0")
    create(road)
    await road.run("permissions")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "1")
    await road.run("claims", "delivery")
    assert outcome_headers(road)["traceparent"].endswith(b"-00")
    assert collector.spans == []


async def test_where_no_collector_is_named_a_trace_is_carried_through(road: Road) -> None:
    create(road, traced())
    await road.run("permissions", "claims", "delivery")
    assert outcome_headers(road)["traceparent"] == traced()[1]


@pytest.mark.parametrize("concurrency", [None, Concurrency(messages=10, bytes=1000)], ids=["in order", "concurrently"])
async def test_a_batch_has_a_link_to_each_of_its_messages_and_each_has_one_back(
    collector: Collector, concurrency: Concurrency | None
) -> None:
    bus = MemoryBus()
    texts_on(bus, "one", "two", "three", "of no interest")
    await bus.run_until_idle(Copier(concurrency).build)
    messages = [span for span in collector.spans if not span.is_of_batch]
    batches = [span for span in collector.spans if span.is_of_batch]
    assert sorted(span.trace_id for span in messages) == [f"{number:032x}" for number in (1, 2, 3)]
    assert len(batches) == (1 if concurrency is None else 3)
    for span in messages:
        (batch,) = (batch for batch in batches if span.ids in batch.links)
        assert span.links == {batch.ids}
    assert {span.trace_id for span in messages}.isdisjoint(batch.trace_id for batch in batches)


async def test_a_message_that_is_put_aside_fails_in_its_trace_and_is_kept_as_it_came(collector: Collector) -> None:
    bus = MemoryBus()
    texts_on(bus, "one", "?", "trips", "two")
    came = {record.value: list(record.headers) for record in bus.records(SOURCE.name)}
    await bus.run_until_idle(Copier().build)
    messages = [span for span in collector.spans if not span.is_of_batch]
    failed = {str(span.attributes["messaging.message.id"]) for span in messages if span.fails}
    assert (failed, len(messages)) == ({"?", "trips"}, 4)
    letters = [DeadLetter.model_validate_json(record.value or b"") for record in bus.records(DEAD_LETTERS.name)]
    assert {letter.value: letter.headers for letter in letters} == {text: came[text] for text in (b"?", b"trips")}


async def test_a_collector_that_does_not_answer_holds_up_neither_messages_nor_a_stop(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "600")
    collector.answers.clear()
    bus = MemoryBus()
    texts_on(bus, "first")
    async with asyncio.timeout(20):  # of the 30 s that the exporter itself would wait at its end
        async with bus.instance(Copier().build) as instance:
            await instance.until_idle()
            assert await asyncio.to_thread(collector.asked.wait, 30)  # from now on the exporter waits for its answer
            bus.append(SOURCE.name, "second", b"second")
            await instance.until_idle()
            assert [record.key for record in bus.records(TARGET)] == [b"first", b"second"]
    assert collector.spans == []


_RUN = """
import asyncio, sys
from importlib import import_module
from shared.messaging.memory import MemoryBus
from shared.runtime.logs import configure_logs
from tests.memory.copier import Copier, texts_on

for name in sys.argv[1:]:
    import_module(name)
configure_logs("copier", "INFO")
bus = MemoryBus()
texts_on(bus, "one", "?", "trips")
asyncio.run(bus.run_until_idle(Copier().build))
print(*(name for name in sys.modules if name.startswith("opentelemetry")))
"""


def run_copier(*modules: str, **environment: str) -> tuple[list[dict[str, Any]], list[str]]:
    """The log lines of a service that works on some messages in a process of its own, and what it has imported."""
    ran = subprocess.run(
        [sys.executable, "-c", _RUN, *modules], env=os.environ | environment, capture_output=True, check=True
    )
    *lines, imported = ran.stdout.decode().splitlines()
    return [json.loads(line) for line in lines], imported.split()


def test_a_line_about_a_message_names_its_span(collector: Collector) -> None:
    lines, imported = run_copier()
    assert imported
    spans = {str(span.attributes.get("messaging.message.id")): span.ids for span in collector.spans}
    named = {line["reason"]: (line["trace_id"], line["span_id"]) for line in lines if "put aside" in line["event"]}
    assert named == {"it is a question": spans["?"], "the service copier fails on it; see its log": spans["trips"]}
    assert {line["span_id"] for line in lines if line["event"] == "message fails"} == {spans["trips"][1]}
    (batch,) = (span for span in collector.spans if span.is_of_batch)
    assert [line["span_id"] for line in lines if line["event"] == "batch fails"] == [batch.span_id]
    assert all("trace_id" not in line for line in lines if line["event"] in {"started", "stopped"})


def test_where_no_collector_is_named_nothing_of_opentelemetry_is_imported() -> None:
    services = [f"{service.package}.app" for service in REGISTRY.values()]
    lines, imported = run_copier(*services, OTEL_EXPORTER_OTLP_ENDPOINT="")
    assert "message is put aside" in {line["event"] for line in lines}
    assert set(imported) <= {"opentelemetry", "opentelemetry.semconv"}  # FastStream looks whether it is there
    assert all("trace_id" not in line for line in lines)
