"""What stands in for an OpenTelemetry collector: OTLP over HTTP, as protobuf.

As a program, for a container, it prints what it is sent, a line for each body, in base64.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

PORT = 4318
"""Of the program."""
WITHIN = 120
"""Seconds; an end of waiting for what does not come."""


@dataclass(frozen=True)
class Span:
    service: str
    server: str
    """The address of the MCP server that the service is; empty for another."""
    name: str
    trace: bytes
    id: bytes
    parent: bytes
    attributes: dict[str, Any] = field(compare=False)
    links: tuple[bytes, ...]
    """The traces that it is linked with."""


class Collector:
    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        """All that was sent, word for word."""
        self._spans: list[Span] = []
        self._arrived = threading.Condition()

    @property
    def spans(self) -> list[Span]:
        with self._arrived:
            return list(self._spans)

    async def until(self, enough: Callable[[list[Span]], bool]) -> list[Span]:
        """The spans, once they are `enough`; fails with what there is."""

        def wait() -> bool:
            with self._arrived:
                return self._arrived.wait_for(lambda: enough(self._spans), WITHIN)

        assert await asyncio.to_thread(wait), self.spans
        return self.spans

    def take(self, body: bytes) -> None:
        sent = ExportTraceServiceRequest.FromString(body)
        found = [
            Span(
                _attributes(resource.resource)["service.name"],
                _attributes(resource.resource).get("mcp.server.url", ""),
                span.name,
                span.trace_id,
                span.span_id,
                span.parent_span_id,
                _attributes(span),
                tuple(link.trace_id for link in span.links),
            )
            for resource in sent.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
        with self._arrived:
            self.bodies.append(body)
            self._spans += found
            self._arrived.notify_all()


def _attributes(holder: Any) -> dict[str, Any]:
    return {
        entry.key: getattr(entry.value, entry.value.WhichOneof("value") or "string_value")
        for entry in holder.attributes
    }


def _handler(take: Callable[[bytes], None]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            if self.headers.get("Transfer-Encoding") == "chunked":
                body = b"".join(iter(self._chunk, b""))
            else:
                body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            known = self.path == "/v1/traces"
            if known:
                take(body)
            self.send_response(200 if known else 404)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _chunk(self) -> bytes:
            chunk = self.rfile.read(int(self.rfile.readline(), 16))
            self.rfile.readline()
            return chunk

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@contextmanager
def collecting() -> Iterator[tuple[Collector, str]]:
    """A collector, and its OTEL_EXPORTER_OTLP_ENDPOINT."""
    collector = Collector()
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(collector.take)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield collector, f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def _print(body: bytes) -> None:
    print(base64.b64encode(body).decode(), flush=True)


if __name__ == "__main__":
    ThreadingHTTPServer(("0.0.0.0", PORT), _handler(_print)).serve_forever()
