"""Counting and timing calls of tools, for Prometheus."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Meters:
    """`mcp_tool_calls_total{tool,outcome}`, `mcp_tool_seconds{tool}`, `mcp_tool_calls_open`, the process's
    own, and what a server adds to `registry`. A tool that is none of `tools` is counted as `unknown`: the
    name is a caller's word."""

    def __init__(self, tools: frozenset[str]) -> None:
        self.registry = CollectorRegistry()
        self.tools = tools
        self.calls = Counter("mcp_tool_calls", "Calls of tools", ["tool", "outcome"], registry=self.registry)
        self.seconds = Histogram("mcp_tool_seconds", "How long calls took", ["tool"], registry=self.registry)
        self.open = Gauge("mcp_tool_calls_open", "Calls under way", registry=self.registry)
        ProcessCollector(registry=self.registry)

    @asynccontextmanager
    async def call(self, tool: str) -> AsyncIterator[Call]:
        """Around one call; set `failed` on what it gives for a call that ended in a tool error."""
        name = tool if tool in self.tools else "unknown"
        call = Call()
        start = time.perf_counter()
        self.open.inc()
        try:
            yield call
        except BaseException:
            call.failed = True
            raise
        finally:
            self.open.dec()
            self.seconds.labels(name).observe(time.perf_counter() - start)
            self.calls.labels(name, "error" if call.failed else "ok").inc()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The answer to GET and HEAD /metrics."""
        body = generate_latest(self.registry)
        headers = [(b"content-type", CONTENT_TYPE.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


class Call:
    failed = False
