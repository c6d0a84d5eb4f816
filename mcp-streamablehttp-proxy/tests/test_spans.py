"""Spans of requests: under which parent, what they tell, and what the server is told of them."""

from __future__ import annotations

import pytest
from mcp_streamablehttp_proxy._common import jsonrpc
from mcp_streamablehttp_proxy._common.channel import ChannelError, Turn
from mcp_streamablehttp_proxy._common.jsonrpc import Message
from mcp_streamablehttp_proxy.spans import Spans, spans
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

TRACE, SPAN = "ab" * 16, "cd" * 8
PARENT = f"00-{TRACE}-{SPAN}-01"


class Traced:
    def __init__(self) -> None:
        self._kept = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self._kept))
        self.tracer = provider.get_tracer("test")
        self.spans = Spans("time", self.tracer)

    def call(self, turn: Turn, outcome: str = "ok") -> ReadableSpan:
        """The span of a turn, which ends with it."""
        self.spans.open(turn, lambda _: outcome)
        assert self._kept.get_finished_spans() == ()
        turn.settle(turn.message.answered(b"{}"))
        [span] = self._kept.get_finished_spans()
        self._kept.clear()
        return span


def turn(**meta: object) -> Turn:
    message = Message.request("tools/call", {"name": "now", "arguments": {"a": "s3cret"}, "_meta": meta})
    return Turn(message, None, principal="ada")  # type: ignore[arg-type]


def told(turn: Turn) -> dict[str, object]:
    return {name: jsonrpc.decode(value) for name, value in turn.message.meta.items()}


def test_it_is_off_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    assert spans("time") is None


@pytest.mark.parametrize("outcome", ["ok", "input_required", "tool_error", "failed"])
def test_what_a_span_tells(outcome: str) -> None:
    span = Traced().call(turn(), outcome)
    good = outcome in ("ok", "input_required")
    assert (span.name, span.kind) == ("tools/call now", SpanKind.SERVER)
    assert (span.status.status_code is StatusCode.ERROR) is not good
    assert span.attributes == {
        "mcp.method.name": "tools/call",
        "gen_ai.tool.name": "now",
        "mcp.server.name": "time",
        "user.id": "ada",
        **({} if good else {"error.type": outcome}),
    }
    assert "s3cret" not in span.to_json()


def test_the_server_is_told_the_span_and_keeps_the_rest() -> None:
    traced, asked = Traced(), turn(traceparent=PARENT, tracestate="a=b", progressToken=7)
    span = traced.call(asked)
    assert span.context is not None
    assert span.parent is not None
    assert (span.context.trace_id, span.parent.span_id) == (int(TRACE, 16), int(SPAN, 16))
    assert told(asked) == {
        "traceparent": f"00-{TRACE}-{span.context.span_id:016x}-01",
        "tracestate": "a=b",
        "progressToken": 7,
    }
    assert bytes(asked.message.params["arguments"]) == b'{"a":"s3cret"}'


def test_below_the_http_request_unless_the_client_has_another_trace() -> None:
    traced = Traced()
    with traced.tracer.start_as_current_span("POST /mcp") as http:
        here = http.get_span_context()
        nearer = traced.call(turn(traceparent=f"00-{here.trace_id:032x}-{SPAN}-01"))
        unsaid = traced.call(turn())
        other = traced.call(turn(traceparent=PARENT))
    for span in (nearer, unsaid):
        assert span.parent is not None
        assert (span.parent.span_id, span.links) == (here.span_id, ())
    assert other.parent is not None
    assert (other.parent.trace_id, other.parent.span_id) == (int(TRACE, 16), int(SPAN, 16))
    assert [link.context.span_id for link in other.links] == [here.span_id]


@pytest.mark.parametrize("meta", [{"traceparent": "no"}, {"traceparent": 7}, {"tracestate": ["x"]}])
def test_what_is_no_trace_begins_one(meta: dict[str, object]) -> None:
    asked = turn(**meta)
    span = Traced().call(asked)
    assert span.parent is None
    assert span.context is not None
    assert str(told(asked)["traceparent"]).startswith(
        f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-"
    )


def test_a_name_that_is_no_text_is_told_as_text() -> None:
    name = "\\ud800" + "x" * 1000
    message = jsonrpc.parse(
        f'{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{name}"}}}}'.encode()
    )
    span = Traced().call(Turn(message, None))  # type: ignore[arg-type]
    assert span.attributes is not None
    assert span.attributes["gen_ai.tool.name"] == "?" + "x" * 127


def test_a_subscription_has_none() -> None:
    traced, before = Traced(), Message.request("subscriptions/listen")
    asked = Turn(before, None, background=True)  # type: ignore[arg-type]
    traced.spans.open(asked, lambda _: "ok")
    asked.settle(ChannelError("ended"))
    assert asked.message is before
