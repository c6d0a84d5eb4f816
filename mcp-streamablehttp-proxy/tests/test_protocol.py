"""How answers are written to a socket."""

from __future__ import annotations

import asyncio
from typing import Any, Final

INITIALIZED: Final = b'{"jsonrpc":"2.0","method":"notifications/initialized"}'


def request(method: bytes, head: dict[str, str], body: bytes = b"") -> bytes:
    lines = [method + b" HTTP/1.1", *(f"{name}: {value}".encode() for name, value in head.items())]
    return b"\r\n".join((*lines, b"content-length: %d" % len(body), b"", body))


async def connect(proxy: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", proxy.port)


async def test_head_and_body_are_one_packet(proxy: Any) -> None:
    reader, writer = await connect(proxy)
    for _ in range(3):
        writer.write(request(b"GET /health", {"host": "localhost"}))
        answer = await reader.read(65536)
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert answer.endswith(b'{"status":"healthy"}')
    writer.close()


async def test_an_answer_without_a_body_is_not_kept_back(proxy: Any) -> None:
    client = await proxy.opened()
    reader, writer = await connect(proxy)
    head = {
        "host": "localhost", "accept": "application/json", "content-type": "application/json",
        "mcp-session-id": client.session,
    }  # fmt: skip
    for method, body in ((b"POST /mcp", INITIALIZED), (b"HEAD /health", b""), (b"POST /mcp", INITIALIZED)):
        writer.write(request(method, head, body))
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 ")
    writer.close()


async def test_an_event_stream_begins_before_its_first_event(proxy: Any) -> None:
    client = await proxy.opened()
    reader, writer = await connect(proxy)
    head = {"host": "localhost", "accept": "text/event-stream", "mcp-session-id": client.session}
    writer.write(request(b"GET /mcp", head))
    assert b"text/event-stream" in await reader.readuntil(b"\r\n\r\n")
    writer.close()


async def test_a_client_that_asks_to_go_on_is_told_before_it_sends(proxy: Any) -> None:
    client = await proxy.opened()
    reader, writer = await connect(proxy)
    head = {
        "host": "localhost", "accept": "application/json", "content-type": "application/json",
        "mcp-session-id": client.session, "expect": "100-continue",
    }  # fmt: skip
    whole = request(b"POST /mcp", head, INITIALIZED)
    writer.write(whole.removesuffix(INITIALIZED))
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(INITIALIZED)
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 202 ")
    writer.close()


async def test_what_is_no_http_is_answered_all_the_same(proxy: Any) -> None:
    reader, writer = await connect(proxy)
    writer.write(b"nonsense\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
    writer.close()
