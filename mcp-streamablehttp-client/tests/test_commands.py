"""The commands for people: what they print and how they end."""

import json
from typing import Any

import pytest


async def test_tools_are_listed_with_the_types_of_their_arguments(sdk_url: str, run: Any) -> None:
    finished = await run("tools", sdk_url)
    assert finished.status == 0
    assert "add a=integer b=integer\n    Add two numbers.\n" in finished.stdout


async def test_raw_prints_the_servers_json(sdk_url: str, run: Any) -> None:
    tools = json.loads((await run("tools", sdk_url, "--raw")).stdout)
    assert tools[0]["name"] == "add"


async def test_call_types_the_arguments_and_prints_the_text(sdk_url: str, run: Any) -> None:
    finished = await run("call", sdk_url, "add", "a=2", "b=40")
    assert (finished.status, finished.stdout) == (0, "42\n")


async def test_call_takes_json(sdk_url: str, run: Any) -> None:
    finished = await run("call", sdk_url, "add", "--json", '{"a": 1, "b": -3}')
    assert finished.stdout == "-2\n"


async def test_an_error_of_the_tool_is_exit_status_1(sdk_url: str, run: Any) -> None:
    finished = await run("call", sdk_url, "fail")
    assert finished.status == 1
    assert finished.stdout == ""
    assert "fail" in finished.stderr


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("nothing",), "it has: add, fail, greet, wait"),
        (("add", "a=1"), "needs b"),
        (("add", "a=1", "b=two"), "b must be of type integer"),
        (("add", "a"), "KEY=VALUE"),
        (("add", "--json", "[1]"), "must be an object"),
        (("add", "--json", "{"), "not JSON"),
    ],
)
async def test_what_is_wrong_with_a_call_is_said_in_a_line(
    words: tuple[str, ...], text: str, sdk_url: str, run: Any
) -> None:
    finished = await run("call", sdk_url, *words)
    assert finished.status == 1
    assert text in finished.stderr
    assert finished.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ("ftp://x/mcp",),
        ("https://user:secret@host/mcp",),
        ("https://host/mcp#x",),
        ("tools",),
        ("https://host/mcp", "--header", "no colon"),
        ("https://host/mcp", "--header", "Content-Type: x"),
        ("https://host/mcp", "--header-file", "/nowhere"),
        ("https://host/mcp", "--timeout", "0"),
        ("https://host/mcp", "--callback-port", "70000"),
        ("https://host/mcp", "--client-metadata-url", "http://host/x"),
        ("https://host/mcp", "--client-secret", "s"),
        ("call", "https://host/mcp", "tool", "a=1", "--json", "{}"),
    ],
)
async def test_wrong_options_end_with_status_2_before_anything_starts(
    words: tuple[str, ...], run: Any
) -> None:
    finished = await run(*words)
    assert finished.status == 2
    assert finished.stdout == ""
    assert "Error: " in finished.stderr


async def test_the_server_url_may_come_from_the_environment(sdk_url: str, run: Any) -> None:
    line = b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25",'
    line += b'"capabilities":{},"clientInfo":{"name":"x","version":"1"}}}\n'
    finished = await run(env={"MCP_SERVER_URL": sdk_url}, stdin=line)
    assert json.loads(finished.stdout)["result"]["serverInfo"]["name"] == "fixture"


async def test_without_anything_the_help_is_shown(run: Any) -> None:
    finished = await run()
    assert "Commands:" in finished.stdout + finished.stderr


async def test_status_without_any_server(run: Any) -> None:
    assert (await run("status")).stdout == "Not signed in to any server.\n"


async def test_commands_speak_the_new_era_to_a_server_that_knows_no_other(serve: Any, run: Any) -> None:
    from starlette.requests import Request
    from starlette.responses import JSONResponse

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        message = await request.json()
        if request.headers.get("mcp-protocol-version") != "2026-07-28":
            error = {"code": -32022, "message": "too old", "data": {"supported": ["2026-07-28"]}}
            answer: dict[str, Any] = {"jsonrpc": "2.0", "id": message.get("id"), "error": error}
            await JSONResponse(answer, 400)(scope, receive, send)
            return
        results: dict[str, dict[str, Any]] = {
            "server/discover": {"supportedVersions": ["2026-07-28"], "capabilities": {}},
            "tools/list": {"tools": [{"name": "hi", "inputSchema": {"type": "object"}}]},
            "tools/call": {"content": [{"type": "text", "text": request.headers.get("mcp-name")}]},
        }
        result = {"resultType": "complete", **results[message["method"]]}
        await JSONResponse({"jsonrpc": "2.0", "id": message["id"], "result": result})(scope, receive, send)

    finished = await run("call", serve(app) + "/mcp", "hi")
    assert (finished.status, finished.stdout) == (0, "hi\n")
