"""Every tool of our own servers, by the Inspector's command line and by the SDK's client, in both eras."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from mcp.client import Client

from gateway.node import NODE, installed

INSPECTOR = "2.12.0"
ERAS = {"legacy": "legacy", "modern": "2026-07-28"}
"""The Inspector's word for an era, and the SDK's."""
JSON = dict[str, Any]
Call = Callable[..., Awaitable[JSON]]
"""A tool's result by name and arguments."""


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        robots = self.path == "/robots.txt"
        body = b"<html><body><h1>A heading</h1><p>and a paragraph</p></body></html>"
        self.send_response(404 if robots else 200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def page() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as site:
        thread = Thread(target=site.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{site.server_port}/"
        site.shutdown()
        thread.join()


@contextmanager
def served(place: Path, name: str, *options: str) -> Iterator[str]:
    """The program as it is installed, on a free port."""
    command = (str(Path(sys.executable).with_name(name)), "--port", "0", *options)
    with subprocess.Popen(command, cwd=place, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        line = next(line for line in process.stderr if "Listening on " in line)
        drained = Thread(target=process.stderr.read)
        drained.start()
        try:
            yield line.rsplit(" ", 1)[1].strip()
        finally:
            process.terminate()
            drained.join()


@pytest.fixture(scope="module")
def urls(page: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    place = tmp_path_factory.mktemp("native")
    site = page.removeprefix("http://").rstrip("/")
    with (
        served(place, "mcp-echo-streamablehttp-server-stateless") as stateless,
        served(place, "mcp-echo-streamablehttp-server-stateful") as stateful,
        served(
            place, "mcp-fetch-streamablehttp-server", "--allow-hosts", site, "--allowed-ports", "*"
        ) as fetch,
    ):
        yield {"stateless": stateless, "stateful": stateful, "fetch": fetch}


# What each tool is asked, and words of its answer.

DIAGNOSTIC: dict[str, tuple[JSON, str]] = {
    "printHeader": ({}, "user-agent"),
    "bearerDecode": ({"includeRaw": True}, "No bearer token"),
    "authContext": ({}, "nobody"),
    "requestTiming": ({}, "ms"),
    "corsAnalysis": ({}, "Origin"),
    "environmentDump": ({"showSecrets": True}, "MCP_PORT"),
    "healthProbe": ({}, "healthy"),
    "whoIStheGOAT": ({}, "greatest of all time"),
    "whichHop": ({}, "edge"),
    "tryDelay": ({"seconds": 0.01}, "Waited"),
    "tryError": ({"kind": "tool", "message": "as it was asked"}, "as it was asked"),
    "trySize": ({"size": 12}, ""),
    "tryProgress": ({"steps": 2, "pause": 0}, "2"),
    "tryLog": ({"level": "info", "count": 2}, "2"),
}


def text(result: JSON) -> str:
    return "\n".join(part["text"] for part in result["content"] if part["type"] == "text")


async def stateless(call: Call, page: str) -> set[str]:
    assert text(await call("echo", message="schön")) == "schön"
    results = await asyncio.gather(*(call(name, **arguments) for name, (arguments, _) in DIAGNOSTIC.items()))
    for (name, (_, words)), result in zip(DIAGNOSTIC.items(), results, strict=True):
        assert words.lower() in text(result).lower(), (name, text(result))
        assert result.get("isError", False) is (name == "tryError"), (name, result)
    return {"echo", *DIAGNOSTIC}


async def stateful(call: Call, page: str) -> set[str]:
    made = await call("echo", message="kept", handle="new")
    handle = made["structuredContent"]["handle"]
    assert text(await call("replayLastEcho", handle=handle)) == "kept"
    info = await call("sessionInfo", handle=handle)
    assert info["structuredContent"]["kind"] == "handle"
    return {"replayLastEcho", "sessionInfo"} | await stateless(call, page)


async def fetch(call: Call, page: str) -> set[str]:
    assert "# A heading" in text(await call("fetch", url=page))
    return {"fetch"}


DRIVERS = {"stateless": stateless, "stateful": stateful, "fetch": fetch}


# The clients.


async def inspect(url: str, era: str, *arguments: str) -> JSON:
    """One run of the Inspector's command line; what it prints on success or failure."""
    program = (
        installed("@modelcontextprotocol/inspector", INSPECTOR) / "clients" / "cli" / "build" / "index.js"
    )
    command = (str(NODE), str(program), url, "--protocol-era", era, "--format", "json", "--quiet", *arguments)
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    assert output, errors.decode()
    result: JSON = json.loads(output)["result"]
    return result


def by_inspector(url: str, era: str) -> Call:
    few = asyncio.Semaphore(3)

    async def call(name: str, **arguments: Any) -> JSON:
        given = ("--tool-name", name, "--tool-args-json", json.dumps(arguments))
        async with few:
            return await inspect(url, era, "--method", "tools/call", *given)

    return call


@asynccontextmanager
async def by_sdk(url: str, era: str) -> AsyncIterator[tuple[Client, Call]]:
    async with Client(url, mode=ERAS[era]) as client:

        async def call(name: str, **arguments: Any) -> JSON:
            result = await client.call_tool(name, arguments)
            return result.model_dump(mode="json", by_alias=True)

        yield client, call


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("server", DRIVERS)
async def test_every_tool_answers_the_sdks_client(
    server: str, era: str, urls: dict[str, str], page: str
) -> None:
    async with by_sdk(urls[server], era) as (client, call):
        listed = {tool.name for tool in (await client.list_tools()).tools}
        assert await DRIVERS[server](call, page) == listed


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("server", DRIVERS)
async def test_every_tool_answers_the_inspector(
    server: str, era: str, urls: dict[str, str], page: str
) -> None:
    # --strict: ends with a status of its own when a schema would trouble some client.
    listed = await inspect(urls[server], era, "--method", "tools/list", "--strict")
    assert await DRIVERS[server](by_inspector(urls[server], era), page) == {
        tool["name"] for tool in listed["tools"]
    }


@pytest.mark.parametrize("era", ERAS)
async def test_fetchs_prompt_comes_through_the_inspector(era: str, urls: dict[str, str], page: str) -> None:
    got = await inspect(
        urls["fetch"],
        era,
        "--method",
        "prompts/get",
        "--prompt-name",
        "fetch",
        "--prompt-args",
        f"url={page}",
    )
    assert page in json.dumps(got["messages"])
