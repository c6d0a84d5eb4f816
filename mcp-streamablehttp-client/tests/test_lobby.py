"""The host is answered in time, whatever the server and the person do."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest
from mcp_streamablehttp_client.credentials.store import Store
from mcp_streamablehttp_client.oauth import browser
from mcp_streamablehttp_client.oauth.authorizer import Authorizer, NoAuthorization
from mcp_streamablehttp_client.settings import Settings
from starlette.requests import Request
from starlette.responses import Response

from .memory_host import MemoryHost, running
from .oauth_server import OAuth
from .support import JsonRpc, Serve
from .test_transport import MODERN, Script, legacy, opened, result


class Person:
    """Sits before the browser and signs in when told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.windows: list[str] = []
        monkeypatch.setattr(browser, "_open", self.windows.append)

    async def signs_in(self, query: str = "") -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=60) as web:
            await web.get(self.windows[-1] + query, follow_redirects=True)


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch) -> Person:
    return Person(monkeypatch)


def at_once(url: str) -> Settings:
    return Settings(url, timeout=60, first_answer=0.0)


async def told_of_changes(host: MemoryHost) -> None:
    notes = {(await asyncio.wait_for(host.outgoing.get(), 90))["method"] for _ in range(3)}
    assert notes == {f"notifications/{what}/list_changed" for what in ("tools", "prompts", "resources")}


async def test_nobody_signs_in_and_the_host_has_a_server_all_the_same(
    oauth: OAuth, tmp_path: Path, person: Person
) -> None:
    settings = at_once(oauth.url)
    async with running(settings, Authorizer(settings, Store(tmp_path))) as host:
        said = (await host.handshake())["result"]
        assert set(said["capabilities"]) == {"tools", "prompts", "resources", "completions"}
        tools = (await host.ask(1, "tools/list"))["result"]["tools"]
        assert [tool["name"] for tool in tools] == ["sign_in"]
        assert (await host.ask(2, "prompts/list"))["result"] == {"prompts": []}
        assert (await host.ask(3, "resources/templates/list"))["result"] == {"resourceTemplates": []}
        assert (await host.ask(4, "ping"))["result"] == {}
        assert person.windows[-1] in (await host.ask(5, "tools/call", {"name": "add"}))["error"]["message"]
        called = (await host.ask(6, "tools/call", {"name": "sign_in"}))["result"]
        assert person.windows[-1] in called["content"][0]["text"]
        assert "restart" in called["content"][0]["text"]
        await person.signs_in()
        await told_of_changes(host)
        tools = (await host.ask(7, "tools/list"))["result"]["tools"]
        assert {tool["name"] for tool in tools} >= {"add", "greet"}
    assert oauth.count("authorize") == 1


async def test_a_server_known_from_before_introduces_itself_in_its_own_words(
    oauth: OAuth, tmp_path: Path, person: Person
) -> None:
    store = Store(tmp_path)
    settings = at_once(oauth.url)
    async with running(settings, Authorizer(settings, store)) as host:
        await host.handshake()
        assert (await host.ask(0, "tools/call", {"name": "sign_in"}))["result"]
        await person.signs_in()
        await told_of_changes(host)
    oauth.access.clear()
    oauth.refresh.clear()
    async with running(settings, Authorizer(settings, store)) as host:
        assert (await host.handshake())["result"]["serverInfo"]["name"] == "fixture"


async def test_a_refused_sign_in_is_said_and_sign_in_tries_again(
    oauth: OAuth, tmp_path: Path, person: Person
) -> None:
    settings = at_once(oauth.url)
    async with running(settings, Authorizer(settings, Store(tmp_path))) as host:
        await host.handshake(elicitation={"url": {}})
        await host.ask(0, "tools/call", {"name": "nothing"})
        oauth.redirect_extra, oauth.drop_parameters = {"error": "access_denied"}, ("code",)
        await person.signs_in()
        oauth.redirect_extra, oauth.drop_parameters = {}, ()
        while (
            "access_denied"
            not in (answer := await host.ask(1, "tools/call", {"name": "x"}))["error"]["message"]
        ):
            await asyncio.sleep(0)
        assert "sign_in" in answer["error"]["message"]
        host.say({"id": 2, "method": "tools/call", "params": {"name": "sign_in"}})
        asked = await asyncio.wait_for(host.outgoing.get(), 90)
        assert (asked["method"], asked["params"]["mode"]) == ("elicitation/create", "url")
        assert asked["params"]["url"] == person.windows[-1]
        assert (await host.outgoing.get())["id"] == 2
        host.say({"id": asked["id"], "result": {"action": "accept"}})
        await person.signs_in()
        await told_of_changes(host)
        assert "result" in await host.ask(3, "tools/list")
    assert len(person.windows) == 2


async def test_a_modern_host_is_answered_in_time_too(oauth: OAuth, tmp_path: Path, person: Person) -> None:
    settings = Settings(oauth.url, timeout=60, first_answer=0.5)
    meta = {"_meta": MODERN}
    async with running(settings, Authorizer(settings, Store(tmp_path))) as host:
        found = (await host.ask(1, "server/discover", meta))["result"]
        assert (found["supportedVersions"], found["ttlMs"]) == (["2026-07-28"], 0)
        listed = (await host.ask(2, "tools/list", meta))["result"]
        assert [tool["name"] for tool in listed["tools"]] == ["sign_in"]
        assert (listed["ttlMs"], listed["resultType"]) == (0, "complete")
        await person.signs_in()
        while len(tools := (await host.ask(3, "tools/list", meta))["result"]["tools"]) < 2:
            await asyncio.sleep(0)
        assert "add" in {tool["name"] for tool in tools}


async def test_a_slow_server_is_waited_for_in_its_own_words(serve: Serve) -> None:
    """Nobody has to sign in: what the host wants to know waits, and is not answered with nothing."""
    release = asyncio.Event()
    loop = asyncio.get_running_loop()
    seen: list[str] = []

    async def handler(request: Request, message: JsonRpc) -> Response:
        if message and message.get("method") == "initialize":
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(release.wait(), loop))
            return opened(message)
        if message and "method" in message:
            seen.append(message["method"])
        return await legacy(request, message) or result(message, {"tools": [{"name": "own"}]})

    async with running(at_once(serve(Script(handler)) + "/mcp"), NoAuthorization()) as host:
        assert (await host.handshake())["result"]["serverInfo"]["name"] == "mcp-streamablehttp-client"
        host.say({"id": 1, "method": "tools/list"})
        release.set()
        got = [await asyncio.wait_for(host.outgoing.get(), 90) for _ in range(4)]
        (answer,) = (message for message in got if message.get("id") == 1)
        assert answer["result"] == {"tools": [{"name": "own"}]}
    assert seen[:2] == ["notifications/initialized", "tools/list"]
