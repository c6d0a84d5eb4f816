"""Several servers from one file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from mcp_streamablehttp_proxy.config import read_servers
from mcp_streamablehttp_proxy.settings import Server, Settings, SettingsError, check


def write(path: Path, **servers: object) -> Path:
    path.write_text(json.dumps({"mcpServers": servers}))
    return path


def test_the_claude_desktop_form_is_read(tmp_path: Path) -> None:
    file = write(
        tmp_path / "mcp.json",
        time={"command": "mcp-server-time", "args": ["--local-timezone", "UTC"], "env": {"A": "1"}},
        off={"command": "x", "disabled": True},
        tuned={"command": "y", "isolation": "shared", "maxChildren": 3, "idleTimeout": 7.5},
    )
    time, tuned = read_servers(file, {"prewarm": 1})
    assert time == Server(
        name="time", command=("mcp-server-time", "--local-timezone", "UTC"), env={"A": "1"}, prewarm=1
    )
    assert (tuned.isolation, tuned.max_children, tuned.idle_timeout) == ("shared", 3, 7.5)


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({}, "server bad: command must be a text"),
        ({"url": "http://x"}, "server bad: command must be a text"),
        ({"command": "x", "args": "no"}, "server bad: args must be a list"),
        ({"command": "x", "env": {"A": 1}}, "server bad: env must be an object of texts"),
        ({"command": "x", "maxChildern": 3}, "server bad: unknown option maxChildern"),
        ({"command": "x", "isolation": "none"}, "isolation must be session, user or shared"),
        ({"command": "x", "prewarm": 99}, "prewarm .99. must be below max_children"),
        ({"command": "x", "cwd": "/no/such/place"}, "cwd /no/such/place is not a directory"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, entry: object, reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        read_servers(write(tmp_path / "mcp.json", bad=entry), {})


@pytest.mark.parametrize("text", ["", "[]", '{"mcpServers": {}}', '{"mcpServers": []}'])
def test_a_file_without_servers_is_a_mistake(tmp_path: Path, text: str) -> None:
    (tmp_path / "mcp.json").write_text(text)
    with pytest.raises(SettingsError, match=r"mcp\.json"):
        read_servers(tmp_path / "mcp.json", {})


def test_isolation_by_user_needs_a_trusted_identity() -> None:
    server = Server(name="x", command=("x",), isolation="user")
    with pytest.raises(SettingsError, match="MCP_TRUST_IDENTITY"):
        check(Settings(), (server,))
    check(Settings(trust_identity=True), (server,))


async def test_each_server_has_its_path_and_a_broken_one_stops_nobody(start: Any, scripted: Any) -> None:
    proxy = await start(
        Server(name="good", command=scripted, stop_timeout=1), Server(name="bad", command=("no-such-thing",))
    )
    good, bad = proxy.client("/good/mcp"), proxy.client("/bad/mcp")
    await good.initialize()
    assert (await bad.post(bad.initialization())).status_code == 502
    assert await good.call("echo", text="fine") == "fine"
    health = await proxy.http.get("/health")
    assert (health.status_code, health.json()["status"]) == (200, "degraded")
    assert list(health.json()["servers"]) == ["bad"]
    assert (await proxy.http.get("/bad/health")).status_code == 503
    assert (await proxy.http.get("/good/health")).status_code == 200
    assert (await proxy.http.get("/none/health")).status_code == 404
    assert (await proxy.client("/none/mcp").post({})).status_code == 404


async def test_reloading_keeps_what_did_not_change(start: Any, scripted: Any, tmp_path: Path) -> None:
    plain = {"command": scripted[0], "args": [scripted[1]], "stopTimeout": 1}
    file = write(tmp_path / "mcp.json", stays=plain, goes=plain)
    proxy = await start(*read_servers(file, {}))
    stays = proxy.client("/stays/mcp")
    await stays.initialize()
    write(file, stays=plain, comes=plain)
    proxy.app.hub.reload(lambda: read_servers(file, {}))
    assert await stays.call("echo", text="same session") == "same session"
    await proxy.client("/comes/mcp").initialize()
    assert (await proxy.client("/goes/mcp").post({})).status_code == 404
    file.write_text("broken")
    proxy.app.hub.reload(lambda: read_servers(file, {}))
    assert await stays.call("echo", text="still") == "still"


def test_the_environment_of_a_server_is_an_allow_list() -> None:
    server = Server(name="x", command=("x",), env={"TOKEN": "t"})
    inherited = {"PATH": "/bin", "SECRET": "s", **{"HOME": os.sep}}
    assert server.environment(inherited) == {"PATH": "/bin", "HOME": "/", "TOKEN": "t"}
