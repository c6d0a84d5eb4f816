"""API keys for use without the gateway."""

from __future__ import annotations

import logging
from pathlib import Path

import httpx2
import pytest
from click.testing import CliRunner
from mcp.client.session import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp_streamablehttp_proxy._common.settings import SettingsError
from mcp_streamablehttp_proxy.api_keys import ApiKey, api_keys
from mcp_streamablehttp_proxy.cli import main
from mcp_streamablehttp_proxy.settings import Server, Settings, check

from .support import Command, Running, Start

ADA, EVE = "ada-0123456789abcdef", "eve-0123456789abcdef=="
KEYS = api_keys((f"ada:{ADA}", f"eve:{EVE}"), None)


@pytest.fixture
async def guarded(start: Start) -> Running:
    return await start(settings=Settings(api_keys=KEYS))


@pytest.mark.parametrize(
    ("headers", "known"),
    [
        ({}, None),
        ({"authorization": f"Basic {ADA}"}, None),
        ({"authorization": "Bearer wrong"}, False),
        ({"authorization": f"Bearer {ADA}x"}, False),
        ({"authorization": f"Bearer ada:{ADA}"}, False),
        ({"x-api-key": ADA[:-1]}, False),
        ({"x-user-id": "ada"}, None),
    ],
)
async def test_without_a_key_nothing_is_reached(
    guarded: Running, headers: dict[str, str], known: bool | None
) -> None:
    client = guarded.client()
    client.headers = headers
    answers = [await client.post(client.initialization()), await client.delete()]
    answers += [
        await guarded.http.get(path, headers=headers) for path in ("/", "/mcp", "/metrics", "/nowhere")
    ]
    for answer in answers:
        assert answer.status_code == 401, answer.url
        challenge = answer.headers["www-authenticate"]
        assert challenge.startswith("Bearer ")
        assert ("invalid_token" in challenge) is (known is False)
        assert "resource_metadata" not in challenge
        assert answer.json()["error"]["message"]
    assert guarded.alive() == 0


@pytest.mark.parametrize(
    "headers",
    [{"authorization": f"Bearer {EVE}"}, {"authorization": f"bearer  {EVE}"}, {"x-api-key": EVE}],
)
async def test_a_key_opens(guarded: Running, headers: dict[str, str]) -> None:
    client = guarded.client()
    client.headers = headers
    await client.initialize()
    assert await client.call("echo", text="hello") == "hello"
    assert (await guarded.http.get("/metrics", headers=headers)).status_code == 200


async def test_two_keys_at_once_are_none(guarded: Running) -> None:
    headers = [("x-api-key", ADA), ("x-api-key", EVE)]
    assert (await guarded.http.get("/", headers=headers)).status_code == 401


async def test_health_is_open_and_oauth_metadata_is_not_there(guarded: Running) -> None:
    assert (await guarded.http.get("/health")).status_code == 200
    for name in ("oauth-protected-resource/mcp", "oauth-authorization-server", "openid-configuration"):
        assert (await guarded.http.get(f"/.well-known/{name}")).status_code == 404
    assert (await guarded.http.get("/.well-known/ai-catalog.json")).status_code == 401


async def test_a_session_is_of_the_key_that_opened_it(guarded: Running) -> None:
    ada = await guarded.opened(x_api_key=ADA)
    thief = guarded.client(x_api_key=EVE, x_user_id="ada")
    thief.session = ada.session
    assert (await thief.post(thief.tool("echo", text="x"))).status_code == 404
    assert await ada.call("echo", text="mine") == "mine"


async def test_isolation_by_user_is_by_the_name_of_the_key(start: Start) -> None:
    old_and_new = api_keys((f"ada:{ADA}", "ada:another-of-the-same", f"eve:{EVE}"), None)
    proxy = await start(settings=Settings(api_keys=old_and_new), isolation="user")
    for key in (ADA, "another-of-the-same"):
        await (await proxy.opened(x_api_key=key)).call("echo", text="x")
    assert proxy.alive() == 1
    await (await proxy.opened(x_api_key=EVE)).call("echo", text="x")
    assert proxy.alive() == 2


async def test_the_sdk_gets_in_with_a_key(guarded: Running) -> None:
    async with (
        httpx2.AsyncClient(headers={"authorization": f"Bearer {ADA}"}, trust_env=False, timeout=60) as http,
        streamable_http_client(f"http://127.0.0.1:{guarded.port}/mcp", http_client=http) as streams,
        ClientSession(*streams[:2]) as session,
    ):
        assert (await session.initialize()).server_info.name == "scripted"
        await session.send_ping()


async def test_a_key_never_reaches_the_log_or_a_server(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "mcp_streamablehttp_proxy")
    settings = Settings(api_keys=KEYS)
    proxy = await start(settings=settings)
    client = await proxy.opened(x_api_key=ADA)
    for tool in ("environment", "argv", "seen"):
        assert ADA not in await client.call(tool)
    await proxy.http.get("/", headers={"x-api-key": "wrong-but-a-secret"})
    logged = "\n".join(str(vars(record)) for record in caplog.records)
    assert "refused" in logged
    assert not any(secret in logged for secret in (ADA, EVE, "wrong-but-a-secret"))
    assert ADA not in repr(settings)


@pytest.mark.parametrize(
    "text", ["", "short", "ada:", "name with blanks:0123456789abcdef", "ada:0123456789äbcdefg"]
)
def test_a_malformed_entry_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(SettingsError, match="MCP_API_KEY") as refused:
        ApiKey.parse(text)
    assert not text or text not in str(refused.value)


def test_keys_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"ada:{ADA}\neve:{EVE}\n")
    assert api_keys((), file) == KEYS
    with pytest.raises(SettingsError, match="same key"):
        api_keys((f"someone:{ADA}",), file)
    file.write_text("\n")
    with pytest.raises(SettingsError, match="holds no key"):
        api_keys((), file)


def test_what_contradicts_keys_is_refused(scripted: Command) -> None:
    with pytest.raises(SettingsError, match="MCP_TRUST_IDENTITY"):
        Settings(api_keys=KEYS, trust_identity=True)
    server = Server(name="one", command=scripted, isolation="user")
    check(Settings(api_keys=KEYS), (server,))
    with pytest.raises(SettingsError, match="name for every key"):
        check(Settings(api_keys=api_keys((ADA,), None)), (server,))


@pytest.mark.parametrize("how", ["option", "variable"])
def test_the_command_line_refuses_a_bad_key(how: str) -> None:
    arguments, environment = ["--port", "0", "--", "true"], {}
    if how == "option":
        arguments = ["--api-key", "short", *arguments]
    else:
        environment = {"MCP_API_KEY": f"ada:{ADA} short"}
    result = CliRunner().invoke(main, arguments, env=environment)
    assert result.exit_code == 2
    assert "MCP_API_KEY" in result.output
    assert ADA not in result.output
