"""Runs inside a network of its own: a DNS server that says nothing about some names, and a site.

Prints what happened as JSON. Started by test_rebinding.py; the only network here is a loopback device, which
also carries the public address.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
import sys

import httpx
from mcp_fetch_streamablehttp_server._common.pinned_transport import PinnedTransport
from mcp_fetch_streamablehttp_server.errors import FetchError
from mcp_fetch_streamablehttp_server.fetch import Fetcher, Order, parse_url
from mcp_fetch_streamablehttp_server.policy import SitePolicy

PUBLIC = sys.argv[1]
NAMES = 40
"""More than any pool of threads here has for one caller, and than the loop's own has in all."""


class Silent(asyncio.DatagramProtocol):
    """Never answers about `silentN.example`, and about others at once."""

    def __init__(self) -> None:
        self.held: set[bytes] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        end = data.index(b"\0", 12) + 5
        question = data[12:end]
        if question[1:7] == b"silent":
            self.held.add(question[:-4])
            return
        answers = b""
        if question[-4:-2] == b"\0\1":
            answers = b"\xc0\x0c\0\1\0\1" + struct.pack("!IH", 0, 4) + socket.inet_aton(PUBLIC)
        head = data[:2] + b"\x81\x80\0\1" + struct.pack("!H", 1 if answers else 0) + b"\0\0\0\0"
        self.transport.sendto(head + question + answers, addr)  # type: ignore[attr-defined]


async def run() -> dict[str, object]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
        await writer.drain()
        writer.close()

    loop = asyncio.get_running_loop()
    _, names = await loop.create_datagram_endpoint(Silent, ("127.0.0.1", 53))
    await asyncio.start_server(answer, PUBLIC, 80)
    policy = SitePolicy(frozenset({80}), ())
    fetcher = Fetcher(
        policy, PinnedTransport(policy), max_redirects=3, max_bytes=1000, seconds=60, max_concurrent=16
    )

    async def anywhere(url: httpx.URL) -> None:
        pass

    async def get(url: str, caller: str, seconds: float | None = None) -> str:
        try:
            page = await fetcher.fetch(Order(parse_url(url)), anywhere, caller=caller, seconds=seconds)
            return page.body.decode()
        except FetchError as error:
            return str(error)

    hung = [get(f"http://silent{number}.example/", "attacker", 0.5) for number in range(NAMES)]
    told = await asyncio.gather(*hung)
    outcome = await get("http://good.example/", "victim")
    return {"victim": outcome, "attacker": sorted(set(told))[-1], "asked": len(names.held)}


async def main() -> None:
    print(json.dumps(await run()), flush=True)
    os._exit(0)  # threads that still wait for the name server are waited for otherwise


asyncio.run(main())
