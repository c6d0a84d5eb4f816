"""What is counted of calls, and that a caller's words make no series."""

from __future__ import annotations

import httpx
import pytest

from common.meters import Meters


async def scrape(meters: Meters, method: str = "GET") -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(meters)) as client:
        return await client.request(method, "http://server.example/metrics")


async def test_calls_are_counted_by_tool_and_outcome() -> None:
    meters = Meters(frozenset({"fetch"}))
    async with meters.call("fetch"):
        pass
    async with meters.call("fetch") as call:
        call.failed = True
    with pytest.raises(KeyError):
        async with meters.call("a name of the caller's"):
            raise KeyError
    text = (await scrape(meters)).text
    assert 'mcp_tool_calls_total{outcome="ok",tool="fetch"} 1.0' in text
    assert 'mcp_tool_calls_total{outcome="error",tool="fetch"} 1.0' in text
    assert 'mcp_tool_calls_total{outcome="error",tool="unknown"} 1.0' in text
    assert 'mcp_tool_seconds_count{tool="fetch"} 2.0' in text
    assert "mcp_tool_calls_open 0.0" in text
    assert "caller's" not in text


async def test_head_is_answered_like_get() -> None:
    response = await scrape(Meters(frozenset()), "HEAD")
    assert response.status_code == 200
    assert response.content == b""
    assert int(response.headers["content-length"]) > 0
