"""A FastMCP server: `PORT oauth` with its in-memory authorization server, `PORT sse` with HTTP+SSE,
`PORT stateless` without sessions."""

from __future__ import annotations

import sys

from fastmcp import FastMCP  # type: ignore[import-not-found]  # in an environment of its own
from fastmcp.server.auth.providers.in_memory import (  # type: ignore[import-not-found]
    InMemoryOAuthProvider,
)
from mcp.server.auth.settings import ClientRegistrationOptions


def main() -> None:
    port, kind = int(sys.argv[1]), sys.argv[2]
    auth = None
    if kind == "oauth":
        auth = InMemoryOAuthProvider(
            base_url=f"http://localhost:{port}",
            client_registration_options=ClientRegistrationOptions(enabled=True),
        )
    server = FastMCP("fastmcp", auth=auth)

    @server.tool  # type: ignore[untyped-decorator]
    def greet(name: str) -> str:
        return f"Hello, {name}!"

    options = {"stateless_http": True} if kind == "stateless" else {}
    server.run(transport="sse" if kind == "sse" else "http", port=port, show_banner=False, **options)


main()
