"""A client by the 1.x line of the official SDK, in an environment of its own: `sdk_1.py URL TOOL ARGUMENTS`.

Each line on standard input makes one call of the tool, a line on standard output says how it went."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client  # type: ignore[attr-defined,unused-ignore]


async def main(url: str, tool: str, arguments: dict[str, Any]) -> None:
    while True:  # as a host does whose session ended
        async with streamablehttp_client(url) as (read, write, _), ClientSession(read, write) as session:
            await session.initialize()
            said("ready")
            while True:
                if not await asyncio.to_thread(sys.stdin.readline):
                    return
                try:
                    result = await session.call_tool(tool, arguments)
                except Exception as error:
                    said(f"failed: {error}")
                    break
                wrong = result.isError  # type: ignore[attr-defined,unused-ignore]
                said("failed: the tool" if wrong else "ok")


def said(word: str) -> None:
    print(word, flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3])))
