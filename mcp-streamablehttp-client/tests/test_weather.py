"""An HTTP answer is not the protocol's verdict: every status at every hop, and what must survive it.

After the fault is over the next call works, and no second browser window was opened for it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from fastapi.responses import Response
from mcp_streamablehttp_client import at_most_once, handshake
from mcp_streamablehttp_client.credentials.store import Store
from mcp_streamablehttp_client.oauth import browser, sign_in
from mcp_streamablehttp_client.oauth.authorizer import Authorizer
from mcp_streamablehttp_client.settings import Settings
from starlette.requests import Request

from .memory_host import MemoryHost, bridged, running
from .oauth_server import OAuth
from .support import JsonRpc, Serve
from .test_transport import Script, legacy, opened, result

STATUSES = [
    *(200, 204, 301, 302, 303, 304, 307, 308, 400, 401, 402, 403, 404, 405, 406, 408, 409, 410, 413, 415),
    *(421, 422, 425, 426, 429, 431, 451, 500, 501, 502, 503, 504, 520),
]
BODIES = [
    (b"<html>Just a moment...</html>", "text/html"),
    (b"", None),
    (b"upstream connect error", "text/plain"),
    (b'{"detail": "rate limited"}', "application/json"),
]
HOPS: dict[str, Callable[[str, str], bool]] = {
    "metadata": lambda method, path: path.startswith("/.well-known/"),
    "registration": lambda method, path: path == "/register",
    "token": lambda method, path: path == "/token",
    "POST": lambda method, path: (method, path) == ("POST", "/mcp"),
    "GET": lambda method, path: (method, path) == ("GET", "/mcp"),
    "DELETE": lambda method, path: (method, path) == ("DELETE", "/mcp"),
}


class Weather:
    """A fault of the way to one server."""

    def __init__(self, oauth: OAuth, status: int) -> None:
        self._oauth = oauth
        body, kind = BODIES[status % len(BODIES)]
        empty = status in (204, 304)
        headers = {"Location": "/sign-in"} if status in (301, 302, 303) else {}
        self._answer = Response(b"" if empty else body, status, headers, None if empty else kind)
        self.met = 0

    def at(self, hop: str) -> None:
        self.met = 0

        def fault(method: str, path: str) -> Response | None:
            if not HOPS[hop](method, path):
                return None
            self.met += 1
            return self._answer

        self._oauth.fault = fault

    def over(self) -> None:
        self._oauth.fault = lambda method, path: None


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The browser windows opened; in each the person says yes at once. There are no pauses."""
    opened: list[str] = []

    def open_window(url: str) -> None:
        opened.append(url)
        httpx.get(url, follow_redirects=True, trust_env=False, timeout=60)

    monkeypatch.setattr(browser, "_open", open_window)
    monkeypatch.setattr(sign_in, "REDEEM_PAUSES", (0.0,))
    monkeypatch.setattr(at_most_once, "PAUSES", (0.0, 0.0))
    monkeypatch.setattr(handshake, "_pause", lambda retry_ms, failures: 0.01)
    return opened


async def works(host: MemoryHost, call: str) -> None:
    answer = await host.ask(call, "tools/call", {"name": "add", "arguments": {"a": 1, "b": 2}})
    assert answer.get("result", {}).get("structuredContent") == {"result": 3}, answer


@pytest.mark.parametrize("status", STATUSES)
async def test_no_status_at_any_hop_costs_more_than_the_call_it_meets(
    status: int, oauth: OAuth, tmp_path: Path, windows: list[str]
) -> None:
    weather = Weather(oauth, status)
    authorizer = Authorizer(Settings(oauth.url), Store(tmp_path))
    async with running(Settings(oauth.url, timeout=60), authorizer) as host:
        weather.at("registration")
        assert "error" in await host.handshake()
        assert (weather.met > 0, windows) == (True, [])
        weather.at("token")
        assert "error" in await host.handshake()
        assert (weather.met, len(windows)) == (2, 1)
        weather.over()
        assert "result" in await host.handshake()

        for hop in ("metadata", "token", "POST"):
            if hop != "POST":
                oauth.access.clear()
            weather.at(hop)
            await host.ask(hop, "tools/call", {"name": "add", "arguments": {"a": 1, "b": 2}})
            assert weather.met, hop
            weather.over()
            await works(host, f"after {hop}")

        weather.at("GET")
        assert "result" in await host.handshake()
        await works(host, "without a stream")
        assert weather.met
        weather.over()
        await works(host, "with a stream")
        weather.at("DELETE")
    assert weather.met
    assert len(windows) == 1


async def test_the_stream_comes_back_after_the_weather(
    oauth: OAuth, tmp_path: Path, windows: list[str]
) -> None:
    weather = Weather(oauth, 403)
    streams = threading.Event()
    async with running(Settings(oauth.url), Authorizer(Settings(oauth.url), Store(tmp_path))) as host:
        weather.at("GET")
        assert "result" in await host.handshake()
        await works(host, "call")

        def asked(method: str, path: str) -> None:
            if method == "GET":
                streams.set()

        oauth.fault = asked
        assert await asyncio.to_thread(streams.wait, 10)


@pytest.mark.parametrize(
    ("error", "status", "kept"),
    [
        ("invalid_grant", 400, False),
        ("invalid_client", 401, False),
        ("unauthorized_client", 400, False),
        ("invalid_grant", 403, True),
        ("invalid_grant", 500, True),
        ("temporarily_unavailable", 400, True),
        ("invalid_scope", 400, True),
        (None, 401, True),
    ],
)
async def test_a_refresh_token_is_given_up_on_the_protocols_own_word_only(
    error: str | None, status: int, kept: bool, oauth: OAuth, tmp_path: Path, windows: list[str]
) -> None:
    """RFC 6749 section 5.2."""
    store = Store(tmp_path)
    async with running(Settings(oauth.url), Authorizer(Settings(oauth.url), store)) as host:
        assert "result" in await host.handshake()
        await works(host, "before")
        tokens = store.tokens(oauth.origin, oauth.url)
        assert tokens is not None
        oauth.access.clear()
        body = f'{{"error": "{error}"}}' if error else "{}"
        once = [Response(body, status, media_type="application/json")]
        oauth.fault = lambda method, path: once.pop() if path == "/token" and once else None
        answer = await host.ask("during", "tools/list")
        assert ("error" in answer) == kept
        if kept:
            assert store.tokens(oauth.origin, oauth.url) == tokens
        await works(host, "after")
        assert len(windows) == (1 if kept else 2)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, '{"jsonrpc":"2.0","id":null,"error":{"code":-32001,"message":"Session not found"}}'),
        (404, "session not found\n"),
        (404, ""),
        (
            400,
            '{"jsonrpc":"2.0","id":null,"error":{"code":-32000,'
            '"message":"Bad Request: No valid session ID provided"}}',
        ),
        (
            400,
            '{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"Server not initialized"}}',
        ),
    ],
    ids=["python", "go", "bare", "typescript", "typescript-2"],
)
async def test_a_restarted_server_is_met_with_a_new_handshake_in_whatever_words_it_says_so(
    status: int, body: str, serve: Serve
) -> None:
    live = ["s1"]

    async def handler(request: Request, message: JsonRpc) -> Response:
        if message and message.get("method") == "initialize":
            return opened(message, live[0])
        if request.headers.get("mcp-session-id") != live[0]:
            return Response(body, status)
        return await legacy(request, message) or result(message, {"session": live[0]})

    script = Script(handler)
    async with bridged(serve(script) + "/mcp") as host:
        await host.ask(0, "resources/subscribe", {"uri": "x:y"})
        await host.ask(1, "logging/setLevel", {"level": "info"})
        live[0] = "s2"
        answer = await host.ask(2, "tools/call", {"name": "x"})
        assert answer["result"] == {"session": "s2"}
        again = script.methods()[script.methods().index("tools/call") :]
        assert [method for method in again if method not in ("GET", "ping")] == [
            *("tools/call", "initialize", "notifications/initialized"),
            *("resources/subscribe", "logging/setLevel", "tools/call"),
        ]


async def test_a_bare_404_on_the_way_ends_neither_the_session_nor_runs_a_call_twice(serve: Serve) -> None:
    ingress = [False]

    async def handler(request: Request, message: JsonRpc) -> Response:
        if message and message.get("method") == "tools/call" and ingress[0]:
            return Response("404 page not found\n", 404)
        if message and message.get("method") == "initialize":
            return opened(message)
        return await legacy(request, message) or result(message, {})

    script = Script(handler)
    async with bridged(serve(script) + "/mcp") as host:
        ingress[0] = True
        assert "404" in (await host.ask(1, "tools/call"))["error"]["message"]
        ingress[0] = False
        assert "result" in await host.ask(2, "tools/call")
        assert script.methods().count("tools/call") == 2
        assert script.methods().count("initialize") == 1


async def test_an_initialized_notification_that_got_lost_is_told_before_the_next_call(serve: Serve) -> None:
    down = [True]

    async def handler(request: Request, message: JsonRpc) -> Response:
        if message and message.get("method") == "notifications/initialized" and down[0]:
            down[0] = False
            return Response(status_code=503)
        return await legacy(request, message) or result(message, {})

    script = Script(handler)
    async with bridged(serve(script) + "/mcp") as host:
        await host.ask(1, "tools/list")
    posts = [method for method in script.methods() if method not in ("GET", "DELETE")]
    assert posts == ["initialize", *["notifications/initialized"] * 2, "tools/list"]


async def test_a_session_that_cannot_be_opened_again_is_opened_at_the_next_call(serve: Serve) -> None:
    """The server says that it does not know the session, and is then gone for a moment."""
    live, down = ["s1"], [False]

    async def handler(request: Request, message: JsonRpc) -> Response:
        if message and message.get("method") == "initialize":
            return Response(status_code=502) if down[0] else opened(message, live[0])
        if request.headers.get("mcp-session-id") != live[0]:
            return Response("Session not found", 404)
        return await legacy(request, message) or result(message, {})

    async with bridged(serve(Script(handler)) + "/mcp") as host:
        live[0], down[0] = "s2", True
        for identifier in range(3):
            assert "502" in (await host.ask(identifier, "tools/list"))["error"]["message"]
        down[0] = False
        assert "result" in await host.ask("after", "tools/list")


async def test_a_ping_keeps_the_session_and_finds_out_when_it_is_lost(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handshake, "PING_SECONDS", 0.02)
    live, reopened = ["s1"], threading.Event()

    async def handler(request: Request, message: JsonRpc) -> Response:
        if message and message.get("method") == "initialize":
            if live[0] == "s2":
                reopened.set()
            return opened(message, live[0])
        if request.headers.get("mcp-session-id") != live[0]:
            return Response("Session not found", 404)
        return await legacy(request, message) or result(message, {})

    script = Script(handler)
    async with bridged(serve(script) + "/mcp") as host:
        assert "result" in await host.ask(1, "tools/list")
        while "ping" not in script.methods():
            await asyncio.sleep(0.01)
        live[0] = "s2"
        assert await asyncio.to_thread(reopened.wait, 20)
        assert "result" in await host.ask(2, "tools/list")
