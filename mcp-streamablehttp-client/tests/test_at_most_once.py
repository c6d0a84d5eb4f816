"""A connection that breaks, at every byte: nothing runs twice that must not, and every call gets
exactly one answer (RFC 9110 section 9.2.2)."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator

import pytest
from mcp_streamablehttp_client import at_most_once
from mcp_streamablehttp_client.at_most_once import REPEATABLE, repeatable
from mcp_streamablehttp_client.http1 import client, pool
from mcp_streamablehttp_client.jsonrpc import encode, parse

from .cutting import Cut, CuttingServer, cutting
from .memory_host import MemoryHost, bridged
from .support import Json, JsonRpc

MODERN = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}
ONCE = ("tools/call", "tasks/cancel", "x/unknown")
SAFE = [method for method in REPEATABLE if not method.startswith("notifications/")]
UNKNOWN = "not known"


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(at_most_once, "PAUSES", (0, 0))
    monkeypatch.setattr(client, "REFUSED_PAUSES", (0, 0, 0))


def cuts(request_bytes: int, answer_bytes: int, step: int) -> Iterator[Cut]:
    for reset in (False, True):
        for at in range(0, request_bytes, step):
            yield Cut("request", at, reset)
        for at in range(0, answer_bytes + 1, step):
            yield Cut("answer", at, reset)


async def sizes(server: CuttingServer, host: MemoryHost, method: str, params: Json) -> tuple[int, int]:
    """Bytes of the request and its answer; as a side effect there is a kept connection."""
    assert "result" in await host.ask(10_000, method, params)
    return server.request_bytes, server.answer_bytes


@pytest.mark.parametrize("form", ["length", "chunked", "events"])
@pytest.mark.parametrize("era", ["handshake", "modern"])
async def test_a_tool_call_never_runs_twice_wherever_the_connection_breaks(era: str, form: str) -> None:
    params: Json = {"name": "pay", "arguments": {"amount": 1}}
    if era == "modern":
        params["_meta"] = MODERN
    async with cutting() as server, bridged(f"http://127.0.0.1:{server.port}/mcp") as host:
        server.form = form
        for number, cut in enumerate(cuts(*await sizes(server, host, "tools/call", params), 1), 10_001):
            if number % 2:
                await host.ask(number * 100_000, "ping", {"_meta": params.get("_meta")})  # a kept connection
            server.executed.clear()
            server.cut = cut
            answer = await host.ask(number, "tools/call", params)
            assert server.executed["tools/call"] == (cut.of == "answer"), cut
            if "result" not in answer:
                assert UNKNOWN in answer["error"]["message"], cut
            elif not (cut.of == "answer" and cut.at > server.answer_bytes // 2):
                pytest.fail(f"a result out of nothing: {cut}")
        assert server.kept > 100


@pytest.mark.parametrize("method", ONCE[1:])
async def test_what_is_not_in_the_table_is_treated_like_a_tool_call(method: str) -> None:
    async with cutting() as server, bridged(f"http://127.0.0.1:{server.port}/mcp") as host:
        for number, cut in enumerate(cuts(*await sizes(server, host, method, {}), 11), 10_001):
            server.executed.clear()
            server.cut = cut
            await host.ask(number, method)
            assert server.executed[method] == (cut.of == "answer"), cut


@pytest.mark.parametrize("method", SAFE)
async def test_what_is_safe_is_sent_again_and_answered(method: str) -> None:
    async with cutting() as server, bridged(f"http://127.0.0.1:{server.port}/mcp") as host:
        for number, cut in enumerate(cuts(*await sizes(server, host, method, {}), 11), 10_001):
            server.cut = cut
            assert "result" in await host.ask(number, method), cut


async def test_eight_idle_connections_that_all_break_make_no_second_execution() -> None:
    """The reported case: a POST was repeated over every idle connection."""
    async with cutting() as server, bridged(f"http://127.0.0.1:{server.port}/mcp") as host:
        for number in range(8):
            host.say({"id": number, "method": "ping"})
        assert {(await host.outgoing.get())["id"] for _ in range(8)} == set(range(8))
        server.executed.clear()
        server.cut = Cut("answer", 0, reset=True)
        answer = await host.ask("call", "tools/call", {"name": "pay"})
        assert UNKNOWN in answer["error"]["message"]
        assert server.executed["tools/call"] == 1


async def test_a_tool_call_does_not_use_a_connection_that_was_idle_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with cutting() as server, bridged(f"http://127.0.0.1:{server.port}/mcp") as host:
        await host.ask(1, "ping")
        kept = server.kept
        await host.ask(2, "tools/call")
        assert server.kept == kept + 1
        monkeypatch.setattr(pool, "TRUSTED_SECONDS", -1.0)
        await host.ask(3, "tools/call")
        assert server.kept == kept + 1
        await host.ask(4, "ping")
        assert server.kept == kept + 2


async def test_a_refused_connection_is_tried_again_even_for_a_tool_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The server restarts: nothing was sent, so nothing can happen twice."""
    server = CuttingServer()
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    async with bridged(f"http://127.0.0.1:{server.port}/mcp") as host:
        listener.close()
        server.cut = Cut("answer", 0, reset=True)
        await host.ask(1, "tools/call")
        back: list[asyncio.Server] = []
        pauses = iter([0.0] * 2)

        async def meanwhile(seconds: float) -> None:
            if next(pauses, None) is None:
                back.append(await asyncio.start_server(server.serve, "127.0.0.1", server.port))

        monkeypatch.setattr(client, "pause", meanwhile)
        server.executed.clear()
        assert "result" in await host.ask(2, "tools/call")
        assert server.executed["tools/call"] == 1
    for again in back:
        again.close()


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"method": "tools/list", "id": 1}, True),
        ({"method": "tools/call", "id": 1}, False),
        ({"method": "notifications/progress"}, False),
        ({"method": "unheard/of", "id": 1}, False),
        ({"id": 1, "result": {}}, True),
        ({"method": "prompts/get", "id": 1, "params": {"inputResponses": {}}}, False),
        ({"method": "resources/read", "id": 1, "params": {"requestState": "x"}}, False),
        ([{"method": "tools/list", "id": 1}, {"method": "ping", "id": 2}], True),
        ([{"method": "tools/list", "id": 1}, {"method": "tools/call", "id": 2}], False),
    ],
)
def test_the_table_of_methods(message: JsonRpc, expected: bool) -> None:
    assert repeatable(parse(encode(message))) is expected


def test_every_reason_is_given() -> None:
    assert all(reason for reason in REPEATABLE.values())
    assert not set(ONCE) & set(REPEATABLE)
    assert len(list(itertools.chain(ONCE, REPEATABLE))) == len({*ONCE, *REPEATABLE})
