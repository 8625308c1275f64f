"""A collector of traces: it takes OTLP over HTTP, on loopback."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Status


@dataclass(frozen=True)
class SeenSpan:
    """A span as it arrived; ids are in hex, and a parent's is empty where there is none."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    links: frozenset[tuple[str, str]]
    attributes: dict[str, str | int] = field(hash=False)
    fails: bool

    @property
    def is_of_batch(self) -> bool:
        return self.name == "process batch"

    @property
    def ids(self) -> tuple[str, str]:
        return self.trace_id, self.span_id

    @property
    def traceparent(self) -> bytes:
        return f"00-{self.trace_id}-{self.span_id}-01".encode()


class Collector:
    """What has arrived, and whether it answers."""

    def __init__(self) -> None:
        self.spans: list[SeenSpan] = []
        self.asked = threading.Event()
        self.answers = threading.Event()
        self.answers.set()
        self.url = ""

    def take(self, body: bytes) -> None:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = next(a.value.string_value for a in resource.resource.attributes if a.key == "service.name")
            for span in (span for scope in resource.scope_spans for span in scope.spans):
                values = {a.key: a.value for a in span.attributes}
                self.spans.append(
                    SeenSpan(
                        service=service,
                        name=span.name,
                        trace_id=span.trace_id.hex(),
                        span_id=span.span_id.hex(),
                        parent_id=span.parent_span_id.hex(),
                        links=frozenset((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
                        attributes={name: value.string_value or value.int_value for name, value in values.items()},
                        fails=span.status.code == Status.STATUS_CODE_ERROR,
                    )
                )

    def of_trace(self, trace_id: str) -> list[SeenSpan]:
        return [span for span in self.spans if span.trace_id == trace_id and not span.is_of_batch]


@contextmanager
def collecting() -> Iterator[Collector]:
    """Listen while inside."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            collector.asked.set()
            collector.answers.wait()
            if self.path == "/v1/traces":
                collector.take(body)
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    collector.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield collector
    finally:
        collector.answers.set()
        server.shutdown()
        server.server_close()
        thread.join()
