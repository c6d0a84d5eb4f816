"""How answers are written to a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, cast
from unittest.mock import Mock

from mcp_streamablehttp_proxy.protocol import KeepAlive

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


class Clock:
    """An event loop with one timer, whose time is told to it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> Clock:
        self.timers.append((when, callback))
        return self

    def cancel(self) -> None:
        self.timers.clear()

    def create_task(self) -> None: ...

    def advance(self, now: float) -> None:
        self.now = now
        due = [callback for when, callback in self.timers if when <= now]
        self.timers = [(when, callback) for when, callback in self.timers if when > now]
        for callback in due:
            callback()


def test_an_idle_connection_ends_when_its_time_is_over_and_not_before() -> None:
    clock, ended = Clock(), Mock()
    alive = KeepAlive(cast(Any, clock))
    for at in (0.0, 4.0, 8.0):  # three answers, each before the last one's time is over
        clock.advance(at)
        alive.call_later(5, ended).cancel()
    alive.call_later(5, ended)
    assert len(clock.timers) == 1
    clock.advance(12.9)
    ended.assert_not_called()
    clock.advance(13.0)
    ended.assert_called_once()
    assert not clock.timers


def test_a_connection_in_the_middle_of_a_request_is_not_idle() -> None:
    clock, ended = Clock(), Mock()
    alive = KeepAlive(cast(Any, clock))
    alive.call_later(5, ended).cancel()
    clock.advance(100.0)
    ended.assert_not_called()
    alive.call_later(5, ended)
    clock.advance(105.0)
    ended.assert_called_once()


def test_a_connection_that_is_gone_leaves_no_timer() -> None:
    clock, ended = Clock(), Mock()
    alive = KeepAlive(cast(Any, clock))
    alive.call_later(5, ended)
    alive.end()
    assert not clock.timers
