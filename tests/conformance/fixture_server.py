"""What the suite calls, as a server over stdio; over HTTP it is the stateful server's `--conformance`."""

from __future__ import annotations

import anyio
from mcp_echo_streamablehttp_server_stateful.conformance import server, whole


async def main() -> None:
    whole()
    await server.run_stdio_async()


if __name__ == "__main__":
    anyio.run(main)
