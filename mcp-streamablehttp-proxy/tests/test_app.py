"""The application around the endpoints: mounted, measured, started from the command line."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import mcp_streamablehttp_proxy as package
import pytest
from fastapi import FastAPI
from mcp.client.session import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp_streamablehttp_proxy.app import create_app
from starlette.middleware.base import RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response

from .support import Command, Mount, Running

BOTH = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "t", "version": "1"},
    },
}


def test_the_names_of_the_earlier_package_are_there() -> None:
    for name in ("create_app", "run_server", "MCPSession", "MCPSessionManager"):
        assert getattr(package, name)
    with pytest.raises(AttributeError):
        package.nothing  # noqa: B018


def test_the_sdk_is_not_imported_at_run_time() -> None:
    code = "import sys, mcp_streamablehttp_proxy.cli; sys.exit('mcp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_earlier_pydantic_is_not_imported_at_run_time() -> None:
    """FastAPI imports it with the first argument or model of a route: a tenth of the start."""
    code = "import sys, mcp_streamablehttp_proxy.app as a; a.create_app('cat')"
    code += "; sys.exit('pydantic.v1' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_no_client_of_http_is_imported_where_all_servers_are_processes() -> None:
    code = (
        "import sys, mcp_streamablehttp_proxy.app as a; a.create_app('cat'); sys.exit('httpx' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


async def test_mounted_in_another_application(mount: Mount, scripted: Command) -> None:
    inner = create_app(list(scripted))

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with inner.hub.running():
            yield

    outer = FastAPI(lifespan=lifespan)
    outer.mount("/tools", inner)
    async with mount(outer) as running:
        client = running.client("/tools/mcp")
        await client.initialize()
        assert await client.call("echo", text="mounted") == "mounted"
        assert (await running.http.get("/tools/health")).json() == {"status": "healthy"}
    assert inner.hub.endpoints["default"].pool.children == 0


async def test_middleware_added_to_the_application_sees_the_endpoint(mount: Mount, scripted: Command) -> None:
    app = create_app(list(scripted))

    @app.middleware("http")
    async def mark(request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        response.headers["x-marked"] = "yes"
        return response

    async with mount(app) as running:
        response = await running.http.post("/mcp", json=INITIALIZE, headers=BOTH)
        assert (response.status_code, response.headers["x-marked"]) == (200, "yes")


async def test_metrics(proxy: Running) -> None:
    client = await proxy.opened()
    await client.call("echo", text="x")
    os.kill(int(await client.call("pid")), signal.SIGKILL)
    await client.post({"jsonrpc": "2.0", "id": 1, "method": "ping"})
    page = (await proxy.http.get("/metrics")).text
    for line in (
        r'mcp_proxy_child_starts_total\{server="default"\} 1\.0',
        r'mcp_proxy_child_crashes_total\{server="default"\} 1\.0',
        r'mcp_proxy_request_seconds_count\{server="default"\} [23]\.0',
        r'mcp_proxy_http_requests_total\{era="handshake",server="default",status="202"\} 1\.0',
        r'mcp_proxy_bytes_total\{direction="in",server="default"\} [1-9]',
        r'mcp_proxy_children\{server="default"\} 0\.0',
        r'mcp_proxy_children_limit\{server="default"\} 64\.0',
        r'mcp_proxy_sessions\{server="default"\} 1\.0',
        r'mcp_proxy_sessions_limit\{server="default"\} 10000\.0',
        r"process_start_time_seconds [1-9]",
    ):
        assert re.search(line, page), line


@contextlib.contextmanager
def started(*arguments: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The console script on a free port, and its address."""
    program = str(Path(sys.executable).parent / "mcp-streamablehttp-proxy")
    process = subprocess.Popen(
        [program, "--port", "0", "--log-format", "json", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    assert process.stderr is not None
    try:
        first = json.loads(process.stderr.readline())
        assert first["message"] == "listening"
        yield process, f"http://127.0.0.1:{first['port']}"
    finally:
        process.terminate()
        process.stderr.read()
        process.wait(60)
        process.stderr.close()


async def test_the_console_script_serves_a_real_server_to_the_sdk(scripted: Command) -> None:
    time = str(Path(sys.executable).parent / "mcp-server-time")
    with started("--", time, "--local-timezone", "UTC") as (_, url):
        async with (
            streamable_http_client(f"{url}/mcp") as (read, write),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            tools = await session.list_tools()
            assert {tool.name for tool in tools.tools} == {"get_current_time", "convert_time"}
            result = await session.call_tool("get_current_time", {"timezone": "Europe/Vienna"})
            assert not result.is_error
            assert "Europe/Vienna" in str(result.content)


def test_shutdown_answers_what_is_in_flight_and_leaves_no_process(scripted: Command) -> None:
    with started("--", *scripted) as (process, url), httpx.Client(base_url=url, timeout=60) as http:
        opened = http.post("/mcp", json=INITIALIZE, headers=BOTH)
        headers = {**BOTH, "mcp-session-id": opened.headers["mcp-session-id"]}
        pid = int(_call(http, headers, "pid", {}))
        with http.stream("GET", "/mcp", headers=headers) as listening:
            assert listening.status_code == 200
            request = _request("slow", {"seconds": 0.7})
            with http.stream("POST", "/mcp", headers=headers, json=request) as slow:
                process.send_signal(signal.SIGTERM)
                slow.read()
                assert "late" in slow.text
        process.wait(60)
    assert not Path(f"/proc/{pid}").exists()


def _request(name: str, arguments: object) -> dict[str, object]:
    params = {"name": name, "arguments": arguments}
    return {"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": params}


def _call(http: httpx.Client, headers: dict[str, str], name: str, arguments: object) -> str:
    response = http.post("/mcp", json=_request(name, arguments), headers=headers)
    text: str = response.json()["result"]["content"][0]["text"]
    return text


def test_sighup_reads_the_file_again(scripted: Command, tmp_path: Path) -> None:
    entry = {"command": scripted[0], "args": [scripted[1]]}
    file = tmp_path / "mcp.json"
    file.write_text(json.dumps({"mcpServers": {"one": entry}}))
    with started("--config", str(file)) as (process, url), httpx.Client(base_url=url, timeout=60) as http:
        assert http.post("/one/mcp", json=INITIALIZE, headers=BOTH).status_code == 200
        assert http.post("/two/mcp", json=INITIALIZE, headers=BOTH).status_code == 404
        file.write_text(json.dumps({"mcpServers": {"one": entry, "two": entry}}))
        process.send_signal(signal.SIGHUP)
        assert process.stderr is not None
        while json.loads(process.stderr.readline())["message"] != "servers reloaded":
            pass
        assert http.post("/two/mcp", json=INITIALIZE, headers=BOTH).status_code == 200


def test_settings_come_from_the_environment_too(scripted: Command) -> None:
    environment = {"MCP_ALLOWED_HOSTS": "mcp.example.com", "MCP_TRUST_IDENTITY": "true"}
    with started("--", *scripted, **environment) as (_, url), httpx.Client(base_url=url, timeout=60) as http:
        assert http.post("/mcp", json=INITIALIZE, headers=BOTH).status_code == 421
        headers = {**BOTH, "host": "mcp.example.com"}
        assert http.post("/mcp", json=INITIALIZE, headers=headers).status_code == 200


def _listens(url: str, address: str) -> bool:
    port = int(url.rpartition(":")[2])
    try:
        socket.create_connection((address, port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8")
def test_only_the_address_that_was_named_is_listened_on_px10(scripted: Command) -> None:
    with started("--", *scripted) as (_, url):
        assert _listens(url, "127.0.0.1")
        assert not _listens(url, "127.0.0.2")
    with started("--", *scripted, MCP_BIND_HOST="127.0.0.2") as (_, url):
        assert _listens(url, "127.0.0.2")
        assert not _listens(url, "127.0.0.1")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give either a command after -- or --config FILE"),
        (["--isolation", "user", "--", "x"], "MCP_TRUST_IDENTITY"),
        (["--prewarm", "64", "--", "x"], "prewarm"),
        (["--allowed-hosts", "a/b", "--", "x"], "MCP_ALLOWED_HOSTS"),
        (["--timeout", "0", "--", "x"], "idle_timeout"),
    ],
)
def test_a_wrong_setting_is_one_line_and_status_2(arguments: list[str], said: str) -> None:
    program = str(Path(sys.executable).parent / "mcp-streamablehttp-proxy")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_taken_port_is_one_line_and_status_2(scripted: Command) -> None:
    program = str(Path(sys.executable).parent / "mcp-streamablehttp-proxy")
    with started("--", *scripted) as (_, url):
        port = url.rpartition(":")[2]
        done = subprocess.run(
            [program, "--port", port, "--", "x"], capture_output=True, text=True, timeout=180, check=False
        )
    assert done.returncode == 2
    assert f"cannot listen on 127.0.0.1 port {port}" in done.stderr
