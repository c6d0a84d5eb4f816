"""Spans of HTTP requests: what they tell, and that they tell nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from starlette.types import Receive, Scope, Send

from common.http_spans import HttpSpans, traced

SECRET = "s3cret"
PARENT = f"00-{'ab' * 16}-{'cd' * 8}-01"


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    """With the number in the path as its status; with an exception where it is 0."""
    status = int(scope["path"].rpartition("/")[2] or 200)
    with trace.get_tracer("below").start_as_current_span("below"):
        if not status:
            raise ValueError(SECRET)
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": SECRET.encode()})


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    yield exporter
    for span in exporter.get_finished_spans():
        assert SECRET not in span.to_json()


async def ask(method: str, path: str) -> None:
    app = HttpSpans(answer, lambda path: "/named" if path.startswith("/named/") else None)
    headers = {"traceparent": PARENT, "authorization": f"Bearer {SECRET}", "cookie": SECRET}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as http:
        await http.request(method, path, params={"code": SECRET}, headers=headers, content=SECRET)


def of(kept: InMemorySpanExporter) -> ReadableSpan:
    below, span = kept.get_finished_spans()
    assert span.context is not None
    assert below.parent is not None
    assert below.parent.span_id == span.context.span_id
    assert span.parent is not None
    assert (span.context.trace_id, span.parent.span_id) == (int("ab" * 16, 16), int("cd" * 8, 16))
    return span


@pytest.mark.parametrize("status", [200, 401, 503])
async def test_a_request_is_a_span_below_its_header(kept: InMemorySpanExporter, status: int) -> None:
    await ask("POST", f"/named/{status}")
    span = of(kept)
    assert span.name == "POST /named"
    attributes = {
        "http.request.method": "POST", "http.route": "/named", "http.response.status_code": status
    }  # fmt: skip
    assert span.attributes == attributes | ({"error.type": "503"} if status == 503 else {})
    assert (span.status.status_code is StatusCode.ERROR) is (status == 503)


async def test_a_path_that_nobody_knows_and_a_method_of_ones_own_are_not_told(
    kept: InMemorySpanExporter,
) -> None:
    await ask("S3CRET", f"/{SECRET}/200")
    span = of(kept)
    assert span.name == "_OTHER"
    assert span.attributes == {"http.request.method": "_OTHER", "http.response.status_code": 200}


async def test_of_an_exception_the_kind_is_told(kept: InMemorySpanExporter) -> None:
    with pytest.raises(ValueError, match=SECRET):
        await ask("GET", "/0")
    below, span = kept.get_finished_spans()
    assert span.attributes == {"http.request.method": "GET", "error.type": "ValueError"}
    assert (below.name, span.events) == ("below", ())
    kept.clear()  # what is below is not ours


@pytest.mark.parametrize("path", ["/health", "/live", "/metrics"])
async def test_upkeep_has_none(kept: InMemorySpanExporter, path: str) -> None:
    async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    app = HttpSpans(nothing, lambda path: path)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as http:
        await http.get(path)
    assert kept.get_finished_spans() == ()


def test_nothing_is_around_an_application_that_sends_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    assert traced(answer, lambda path: None) is answer
