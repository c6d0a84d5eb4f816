"""Traefik as a local run starts it, in front of servers that show what reaches them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

import httpx
import pytest

from gateway.services import Service, edge, free_port, new_internal


class Upstream:
    """Lets everybody through as the authorization server, and answers as the server `slow`."""

    def __init__(self) -> None:
        self.received: list[bytes] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                if not head.startswith((b"GET /verify ", b"GET /live ", b"GET /health ")):
                    self.received.append(head)
                    length = int(httpx.Headers(_fields(head))["content-length"])
                    self.received.append(await reader.readexactly(length))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def _fields(head: bytes) -> list[tuple[bytes, bytes]]:
    return [
        (name, value.strip()) for name, _, value in (f.partition(b":") for f in head.split(b"\r\n")[1:-2])
    ]


@pytest.fixture
async def upstream() -> AsyncIterator[tuple[Upstream, int]]:
    handler = Upstream()
    async with await asyncio.start_server(handler, "127.0.0.1", 0) as server:
        yield handler, server.sockets[0].getsockname()[1]


@pytest.fixture
async def slow_url(upstream: tuple[Upstream, int]) -> AsyncIterator[str]:
    _, behind = upstream
    port = free_port()
    services = [Service("auth", (), behind, served=False), Service("slow", (), behind)]
    traefik = edge(services, port, f"http://localhost:{port}", new_internal())
    environment = {**os.environ, **traefik.environment}
    process = await asyncio.create_subprocess_exec(*traefik.command, env=environment)
    try:
        await _until_routed(port)
        yield f"http://localhost:{port}/slow/mcp"
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), 60)


async def _until_routed(port: int) -> None:
    async with httpx.AsyncClient(timeout=60) as http:
        for _ in range(1200):
            try:
                probe = await http.post(f"http://localhost:{port}/slow/mcp", content=b"probe")
            except httpx.TransportError:
                probe = None
            if probe is not None and probe.status_code == 200:
                return
            await asyncio.sleep(0.05)
    pytest.fail("Traefik did not start")


@pytest.mark.parametrize("size", [100, 60_000])
async def test_a_server_gets_a_request_once_it_is_whole(
    upstream: tuple[Upstream, int], slow_url: str, size: int
) -> None:
    """Traefik drops an answer that comes while it still reads the request (golang/go#40747)."""
    received = upstream[0].received
    received.clear()

    async def body() -> AsyncIterator[bytes]:
        yield b"x" * (size - 1)
        await asyncio.sleep(0.3)
        assert received == []
        yield b"y"

    async with httpx.AsyncClient(timeout=60) as http:
        response = await http.post(slow_url, content=body(), headers={"Content-Length": str(size)})
    assert response.status_code == 200
    assert response.text == "{}"
    assert received[1] == b"x" * (size - 1) + b"y"


async def test_a_larger_request_still_passes(upstream: tuple[Upstream, int], slow_url: str) -> None:
    received = upstream[0].received
    received.clear()
    content = os.urandom(1_000_000)
    async with httpx.AsyncClient(timeout=60) as http:
        response = await http.post(slow_url, content=content)
    assert response.status_code == 200
    assert received[1] == content
