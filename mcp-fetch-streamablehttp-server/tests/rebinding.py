"""Runs inside a network of its own: a DNS server whose answer changes, a public site, and a private one.

Prints what happened as JSON. Started by test_rebinding.py; the only network here is a loopback device, which
also carries the public address.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import sys

import httpx
from mcp_fetch_streamablehttp_server._common.pinned_transport import PinnedTransport
from mcp_fetch_streamablehttp_server.errors import FetchError
from mcp_fetch_streamablehttp_server.fetch import Fetcher, Order, parse_url
from mcp_fetch_streamablehttp_server.policy import SitePolicy

PUBLIC, PRIVATE = sys.argv[1], "127.0.0.1"


class Rebinding(asyncio.DatagramProtocol):
    """Answers each A query with the next address of the list, the last for ever, for zero seconds."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)
        self.asked = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        end = data.index(b"\0", 12) + 5
        question = data[12:end]
        answers = b""
        if question[-4:-2] == b"\0\1":
            address = self.addresses[min(self.asked, len(self.addresses) - 1)]
            self.asked += 1
            answers = b"\xc0\x0c\0\1\0\1" + struct.pack("!IH", 0, 4) + socket.inet_aton(address)
        head = data[:2] + b"\x81\x80\0\1" + struct.pack("!H", 1 if answers else 0) + b"\0\0\0\0"
        self.transport.sendto(head + question + answers, addr)  # type: ignore[attr-defined]


async def run(*addresses: str) -> dict[str, object]:
    reached: list[str] = []

    def site(name: str) -> object:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            reached.append(name)
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
            await writer.drain()
            writer.close()

        return answer

    loop = asyncio.get_running_loop()
    transport, names = await loop.create_datagram_endpoint(lambda: Rebinding(*addresses), ("127.0.0.1", 53))
    public = await asyncio.start_server(site("public"), PUBLIC, 80)  # type: ignore[arg-type]
    private = await asyncio.start_server(site("private"), PRIVATE, 80)  # type: ignore[arg-type]
    policy = SitePolicy(frozenset({80}), ())
    fetcher = Fetcher(
        policy, PinnedTransport(policy), max_redirects=3, max_bytes=1000, seconds=20, max_concurrent=4
    )

    async def anywhere(url: httpx.URL) -> None:
        pass

    outcomes = []
    async with public, private:
        for _ in range(2):
            try:
                page = await fetcher.fetch(Order(parse_url("http://rebind.example/")), anywhere)
                outcomes.append(page.body.decode())
            except FetchError as error:
                outcomes.append(str(error))
        await fetcher.aclose()
    transport.close()
    return {"outcomes": outcomes, "reached": reached, "asked": names.asked}


print(json.dumps(asyncio.run(run(*sys.argv[2:]))))
