"""What people complain about elsewhere (the table in the README), where no other file has its test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from mcp.server import MCPServer
from mcp_streamablehttp_client import __version__
from starlette.types import ASGIApp

from .oauth_server import OAuth
from .support import Run, Serve, StartBridge, sdk_server
from .test_oauth import change_tokens
from .test_which_era import OneEra


def older() -> ASGIApp:
    return MCPServer("older").sse_app()


@pytest.mark.parametrize(
    ("server", "path"),
    [(older, "/sse"), (lambda: OneEra(modern=True), "/mcp"), (sdk_server, "/mcp")],
    ids=["HTTP+SSE", "2026-07-28 only", "the SDK's"],
)
async def test_nothing_is_said_while_transports_are_tried(
    server: Callable[[], ASGIApp], path: str, serve: Serve, bridge: StartBridge
) -> None:
    """A host shows stderr as errors of the server (mcp-remote #196)."""
    host = await bridge(serve(server()) + path)
    assert "result" in await host.handshake()
    host.request(1, "tools/list")
    assert "result" in await host.answer(1)
    assert (await host.close())[1] == ""


async def test_an_upgrade_is_no_new_sign_in(oauth: OAuth, run: Run, environment: dict[str, str]) -> None:
    """No version is in a path, and what a later version wrote beside the tokens is no fault (mcp-remote
    keeps a folder for each version)."""
    await run("login", oauth.url)
    files = list(Path(environment["CREDENTIAL_STORAGE_PATH"]).rglob("*"))
    assert files
    assert not [file for file in files if __version__ in str(file.relative_to(file.parents[1]))]
    change_tokens(environment, added_by_a_later_version={"a": 1})
    assert (await run("tools", oauth.url)).status == 0
    assert oauth.count("authorize") == 1
