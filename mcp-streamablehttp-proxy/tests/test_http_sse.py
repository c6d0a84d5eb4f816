"""HTTP+SSE of 2024-11-05."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import mcp_types as types
import pytest
from mcp.client.session import ClientSession
from mcp.client.sse import sse_client
from mcp_streamablehttp_proxy._common.jsonrpc import Message
from mcp_streamablehttp_proxy._common.public_url import PublicUrl
from mcp_streamablehttp_proxy._common.settings import SettingsError
from mcp_streamablehttp_proxy.api_keys import api_keys
from mcp_streamablehttp_proxy.session.session import Session
from mcp_streamablehttp_proxy.settings import Server, Settings

from .support import SCRIPTED, Client, Command, Events, Eventually, Running, Start

HANDSHAKE: Command = (sys.executable, str(Path(__file__).parent / "servers" / "handshake.py"))
MODERN: Command = (sys.executable, str(Path(__file__).parent / "servers" / "modern.py"))
ON = Settings(sse=True)


@dataclass
class OldClient:
    """Knows nothing but the address of the stream."""

    http: httpx.AsyncClient
    events: Events
    messages: str
    headers: dict[str, str]

    async def post(self, body: object) -> httpx.Response:
        return await self.http.post(self.messages, json=body, headers=self.headers)

    async def answer(self, body: object) -> Any:
        """The next message on the stream after a request was accepted."""
        assert (await self.post(body)).status_code == 202
        return await self.events.message()

    async def initialize(self, **capabilities: Any) -> Any:
        answer = await self.answer(Client.initialization("2024-11-05", **capabilities))
        accepted = await self.post({"jsonrpc": "2.0", "method": "notifications/initialized"})
        assert accepted.status_code == 202
        return answer


@contextlib.asynccontextmanager
async def connected(proxy: Running, path: str = "/sse", **headers: str) -> AsyncIterator[OldClient]:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    async with proxy.http.stream("GET", path, headers={"accept": "text/event-stream", **sent}) as response:
        assert response.status_code == 200
        assert response.headers["content-type"] == "text/event-stream"
        events = Events(response)
        first = await events.next()
        assert first["event"] == "endpoint"
        yield OldClient(proxy.http, events, first["data"], sent)


def call(name: str, id_: int = 1, **arguments: Any) -> dict[str, Any]:
    return {
        "jsonrpc": "2.0",
        "id": id_,
        "method": "tools/call",
        "params": {"name": name, "arguments": arguments},
    }


async def test_the_stream_is_the_session(start: Start, eventually: Eventually) -> None:
    proxy = await start(settings=ON)
    async with connected(proxy) as client:
        assert client.messages.startswith("/messages?session_id=")
        initialized = await client.initialize()
        assert initialized["id"] == "init"
        assert initialized["result"]["protocolVersion"]
        answer = await client.answer(call("echo", text="hello"))
        assert (answer["id"], answer["result"]["content"][0]["text"]) == (1, "hello")
        assert proxy.alive() == 1
    await eventually(lambda: proxy.alive() == 0)
    gone = await client.post(call("echo", text="late"))
    assert gone.status_code == 404
    assert "open another" in gone.json()["error"]["message"]


async def test_every_server_has_its_own_pair_of_addresses(start: Start) -> None:
    servers = [Server(name=name, command=SCRIPTED, stop_timeout=1.0) for name in ("one", "two")]
    proxy = await start(*servers, settings=ON)
    async with connected(proxy, "/one/sse") as one, connected(proxy, "/two/sse/") as two:
        assert one.messages.startswith("/one/messages?")
        assert two.messages.startswith("/two/messages?")
        await one.initialize()
        await two.initialize()
        elsewhere = one.messages.replace("/one/", "/two/")
        assert (await proxy.http.post(elsewhere, json=call("echo"))).status_code == 404
    assert (await proxy.http.get("/three/sse")).status_code == 404


async def test_a_server_of_2026_behind_it(start: Start) -> None:
    proxy = await start(settings=ON, command=MODERN)
    async with connected(proxy) as client:
        assert (await client.initialize())["result"]["serverInfo"]
        listed = await client.answer({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
        assert listed["result"]["tools"]


async def test_all_servers_as_one(start: Start) -> None:
    servers = [Server(name=name, command=HANDSHAKE, stop_timeout=1.0) for name in ("one", "two")]
    proxy = await start(*servers, settings=Settings(sse=True, combine=True))
    async with connected(proxy) as client:
        assert client.messages.startswith("/messages?")
        await client.initialize()
        listed = await client.answer({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
        prefixes = {tool["name"].partition("_")[0] for tool in listed["result"]["tools"]}
        assert prefixes == {"one", "two"}


async def test_clients_write_the_address_that_people_use(start: Start) -> None:
    public = PublicUrl.parse("https://example.com/time/mcp")
    proxy = await start(settings=Settings(sse=True, public_url=public))
    async with connected(proxy) as client:
        assert client.messages.startswith("/time/messages?")


async def test_it_is_off_unless_asked_for(proxy: Running) -> None:
    for answer in (await proxy.http.get("/sse"), await proxy.http.post("/messages?session_id=x", json={})):
        assert answer.status_code == 404


def test_behind_the_gateway_it_is_refused() -> None:
    own = PublicUrl.parse("https://time.example.com/mcp")
    with pytest.raises(SettingsError, match="MCP_SSE"):
        Settings(sse=True, identity_url="http://traefik:8090/internal/identity", public_url=own)


async def test_methods_and_types_are_checked(start: Start) -> None:
    proxy = await start(settings=ON)
    for method, path, allow in (
        ("POST", "/sse", "GET"),
        ("GET", "/messages", "POST"),
        ("PUT", "/sse", "GET"),
    ):
        refused = await proxy.http.request(method, path)
        assert (refused.status_code, refused.headers["allow"]) == (405, allow)
    assert (await proxy.http.get("/sse", headers={"accept": "application/json"})).status_code == 406
    async with connected(proxy) as client:
        text = {"content-type": "text/plain"}
        assert (await proxy.http.post(client.messages, content="{}", headers=text)).status_code == 415
        json = {"content-type": "application/json"}
        assert (await proxy.http.post(client.messages, content="{", headers=json)).status_code == 400
        assert (await client.initialize())["result"]


@pytest.mark.parametrize(("header", "status"), [("host", 421), ("origin", 403)])
async def test_foreign_hosts_and_pages_are_refused(start: Start, header: str, status: int) -> None:
    proxy = await start(settings=ON)
    foreign = {header: "http://evil.example" if header == "origin" else "evil.example"}
    assert (await proxy.http.get("/sse", headers=foreign)).status_code == status
    async with connected(proxy) as client:
        refused = await proxy.http.post(client.messages, json=Client.initialization(), headers=foreign)
        assert refused.status_code == status
    assert proxy.alive() == 0


async def test_a_stream_is_nobody_elses(start: Start) -> None:
    keys = api_keys(("ada:0123456789abcdef", "eve:fedcba9876543210"), None)
    proxy = await start(settings=Settings(sse=True, api_keys=keys))
    assert (await proxy.http.get("/sse")).status_code == 401
    async with connected(proxy, x_api_key="0123456789abcdef") as ada:
        await ada.initialize()
        for headers, status in (({}, 401), ({"x-api-key": "fedcba9876543210"}, 404)):
            stolen = await proxy.http.post(ada.messages, json=call("echo", text="x"), headers=headers)
            assert stolen.status_code == status
        assert (await ada.answer(call("echo", text="mine")))["result"]


async def test_what_comes_before_initialize_is_answered_on_the_stream(start: Start) -> None:
    proxy = await start(settings=ON)
    async with connected(proxy) as client:
        discover = await client.answer({"jsonrpc": "2.0", "id": 1, "method": "server/discover"})
        assert discover["error"]["code"] == -32601
        early = await client.answer(call("echo", text="x"))
        assert "initialize" in early["error"]["message"]
        await client.initialize()
        again = await client.answer(Client.initialization())
        assert "already" in again["error"]["message"]


async def test_a_server_that_does_not_start_is_an_error_on_the_stream(start: Start) -> None:
    proxy = await start(settings=ON, command=(sys.executable, "-c", "raise SystemExit('no luck')"))
    async with connected(proxy) as client:
        answer = await client.answer(Client.initialization())
        assert answer["id"] == "init"
        assert "no luck" in answer["error"]["message"]
        with pytest.raises(EOFError):
            await client.events.next()


async def test_a_process_that_ends_answers_its_calls_and_ends_the_stream(start: Start) -> None:
    proxy = await start(settings=ON)
    async with connected(proxy) as client:
        await client.initialize()
        answer = await client.answer(call("die"))
        assert "default" in answer["error"]["message"]
        with pytest.raises(EOFError):
            await client.events.next()


async def test_a_shutdown_ends_idle_streams_and_answers_open_calls(start: Start) -> None:
    proxy = await start(settings=ON)
    async with connected(proxy) as idle, connected(proxy) as busy:
        await idle.initialize()
        await busy.initialize()
        # The server says something about a call that it never answers.
        asked = await busy.answer(call("ask", method="roots/list"))
        assert asked["method"] == "roots/list"
        proxy.app.hub.drain()
        with pytest.raises(EOFError):
            await idle.events.next()
        proxy.app.hub.abandon()
        assert "shut down" in (await busy.events.message())["error"]["message"]
        with pytest.raises(EOFError):
            await busy.events.next()


async def test_a_fault_of_our_own_ends_the_stream_and_its_session(
    start: Start, eventually: Eventually, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    proxy = await start(settings=ON)

    def fail(session: Session, message: Message) -> None:
        raise RuntimeError("a fault of our own")

    async with connected(proxy) as client:
        await client.initialize()
        monkeypatch.setattr(Session, "answer_subscription", fail)
        assert (await client.post(call("echo", text="x"))).status_code == 202
        with pytest.raises(EOFError):
            await client.events.next()
        assert (await client.post(call("echo", text="x"))).status_code == 404
    await eventually(lambda: proxy.alive() == 0)
    assert "a fault of our own" in caplog.text


async def test_what_waits_to_be_read_is_bounded(start: Start) -> None:
    """A server that does not answer `initialize` holds up what comes after it."""
    silent = (sys.executable, "-c", "import sys; sys.stdin.read()")
    proxy = await start(settings=ON, command=silent)
    note = {"jsonrpc": "2.0", "method": "notifications/x"}
    async with connected(proxy) as client:
        assert (await client.post(Client.initialization())).status_code == 202
        assert (await client.post([note] * 257)).status_code == 413
        assert (await client.post([note] * 255)).status_code == 202
        refused = await client.post([note, note])
        assert refused.status_code == 503
        assert refused.headers["retry-after"]


async def test_streams_are_bounded(start: Start) -> None:
    proxy = await start(settings=ON, max_sessions=1)
    async with connected(proxy):
        refused = await proxy.http.get("/sse")
        assert refused.status_code == 503
        assert refused.headers["retry-after"]


@pytest.mark.parametrize("isolation", ["session", "shared"])
async def test_the_sdk_calls_tools_hears_and_is_asked(start: Start, isolation: str) -> None:
    heard: list[float] = []

    async def name(context: Any, params: Any) -> types.ElicitResult:
        return types.ElicitResult(action="accept", content={"name": "Ada"})

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append(progress)

    proxy = await start(settings=ON, command=HANDSHAKE, isolation=isolation)
    async with (
        sse_client(f"http://127.0.0.1:{proxy.port}/sse", timeout=60) as streams,
        ClientSession(streams[0], streams[1], elicitation_callback=name) as session,
    ):
        assert (await session.initialize()).server_info.name
        greeting = await session.call_tool("test_input_required_result_elicitation", {})
        assert isinstance(greeting.content[0], types.TextContent)
        assert greeting.content[0].text == "Hello, Ada!"
        await session.call_tool("test_tool_with_progress", {}, progress_callback=hear)
        assert heard
