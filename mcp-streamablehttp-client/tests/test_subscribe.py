"""`subscribe`: what changes, in both eras, until enough is seen or Ctrl-C."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Iterator

import pytest
from mcp import Client
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from .support import COMMAND, JsonRpc, Run, Serve, serving
from .test_transport import Script, opened, result

URI = "note://today"


@pytest.fixture
def modern_url() -> Iterator[str]:
    """The SDK's server, with a tool that says that a resource has changed."""
    server = MCPServer("notes")

    @server.resource(URI)
    def today() -> str:
        return "Nothing."

    @server.tool()
    async def touch(ctx: Context) -> str:
        await ctx.notify_resource_updated(URI)
        await ctx.notify_tools_changed()
        return "touched"

    with serving(lambda _: server.streamable_http_app()) as origin:
        yield f"{origin}/mcp"


class Notes(Script):
    """A server of the handshake that tells twice, on its own stream, once somebody has subscribed."""

    def __init__(self) -> None:
        super().__init__(self.answer)
        self.subscribed = asyncio.Event()

    async def answer(self, request: Request, message: JsonRpc) -> Response:
        if message is None:
            return StreamingResponse(self.told(), media_type="text/event-stream")
        match message["method"]:
            case "initialize":
                return opened(message)
            case "resources/subscribe":
                self.subscribed.set()
                return result(message, {})
            case "resources/unsubscribe":
                return result(message, {})
        return Response(status_code=202 if "id" not in message else 400)

    async def told(self) -> AsyncIterator[str]:
        await self.subscribed.wait()
        for uri in (URI, f"{URI}/\x1b]52;c;aGk=\x07"):
            note = {"method": "notifications/resources/updated", "params": {"uri": uri}}
            yield f"data: {json.dumps({'jsonrpc': '2.0', **note})}\n\n"
        await asyncio.sleep(60)


async def started(
    environment: dict[str, str], *words: str
) -> tuple[asyncio.subprocess.Process, asyncio.StreamReader]:
    """A subscription that stands."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "subscribe", *words, stdout=pipe, stderr=pipe, env=environment
    )
    assert process.stdout
    assert process.stderr
    assert b"Listening at" in await asyncio.wait_for(process.stderr.readline(), 90)
    return process, process.stdout


@pytest.mark.parametrize("uris", [(URI,), ()])
async def test_what_a_modern_server_says_is_printed_till_ctrl_c(
    uris: tuple[str, ...], modern_url: str, environment: dict[str, str]
) -> None:
    process, printed = await started(environment, modern_url, *uris)
    async with Client(modern_url) as client:
        await client.call_tool("touch", {})
        line = await asyncio.wait_for(printed.readline(), 90)
    assert line.decode() == f"{URI if uris else 'the list of tools'} has changed\n"
    process.send_signal(signal.SIGINT)
    rest, errors = await asyncio.wait_for(process.communicate(), 90)
    assert (process.returncode, rest, errors) == (0, b"", b"")


async def test_json_is_one_notification_a_line_and_a_count_ends_it(
    modern_url: str, environment: dict[str, str]
) -> None:
    process, printed = await started(environment, modern_url, URI, "--count", "1", "--json")
    async with Client(modern_url) as client:
        await client.call_tool("touch", {})
    assert json.loads(await asyncio.wait_for(printed.read(), 90))["params"]["uri"] == URI
    assert await asyncio.wait_for(process.wait(), 90) == 0


async def test_a_server_of_the_handshake_is_subscribed_to_and_unsubscribed(serve: Serve, run: Run) -> None:
    """A resource below the one subscribed to counts; nothing reaches the terminal but text."""
    server = Notes()
    url = serve(server) + "/mcp"
    finished = await run("subscribe", url, URI, "--count", "2", "--protocol", "2025-11-25")
    assert finished.status == 0
    lines = finished.stdout.splitlines()
    assert lines[0] == f"{URI} has changed"
    assert lines[1].startswith(f"{URI}/")
    assert "\x1b" not in finished.stdout
    assert server.methods().count("resources/unsubscribe") == 1


async def test_a_server_without_subscriptions_says_so(sdk_url: str, run: Run) -> None:
    finished = await run("subscribe", sdk_url, URI, "--protocol", "2025-11-25")
    assert (finished.status, finished.stdout) == (1, "")
    assert "(-326" in finished.stderr  # its own words and code
