"""Clients of the official SDK, of both its lines."""

from __future__ import annotations

import asyncio
import contextlib
import json
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from benchmarks.servers import virtualenv
from benchmarks.zoo.servers import SDK_1

MODERN = "2026-07-28"
Json = dict[str, Any]


@contextlib.asynccontextmanager
async def connected(url: str, mode: Any, user: str = "", **options: Any) -> AsyncIterator[Client]:
    """Version 2, in the handshake era (`legacy`) or the modern one."""
    headers = {"x-user-id": user} if user else {}
    async with (
        httpx2.AsyncClient(headers=headers, trust_env=False, timeout=120) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode, **options) as client,
    ):
        yield client


class OldClient:
    """Version 1, in a process of its own; it initializes again when a call failed."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def line(self) -> str:
        assert self._process.stdout is not None
        return (await self._process.stdout.readline()).decode().strip()

    async def call(self) -> str:
        """How one call went; after one that failed a new session is there."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        said = await self.line()
        if said.startswith("failed"):
            assert await self.line() == "ready"
        return said


@contextlib.asynccontextmanager
async def old_client(url: str, tool: str, arguments: Json) -> AsyncIterator[OldClient]:
    python = virtualenv(f"mcp-{SDK_1}", f"mcp=={SDK_1}") / "python"
    script = str(Path(__file__).parent / "sdk_1.py")
    process = await asyncio.create_subprocess_exec(
        python, script, url, tool, json.dumps(arguments), stdin=PIPE, stdout=PIPE
    )
    client = OldClient(process)
    try:
        assert await client.line() == "ready"
        yield client
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
