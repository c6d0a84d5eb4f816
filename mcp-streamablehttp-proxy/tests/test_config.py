"""Several servers from one file."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from mcp_streamablehttp_proxy._common.settings import SettingsError
from mcp_streamablehttp_proxy.config import Configuration, read_servers
from mcp_streamablehttp_proxy.config.names import address_name
from mcp_streamablehttp_proxy.config.schema import schema
from mcp_streamablehttp_proxy.settings import RemoteServer, Server, Settings, check

from .support import Command, Eventually, Start


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
    time, tuned = read_servers(file, {"prewarm": 1}).servers
    assert time == Server(
        name="time", command=("mcp-server-time", "--local-timezone", "UTC"), env={"A": "1"}, prewarm=1
    )
    assert (tuned.isolation, tuned.max_children, tuned.idle_timeout) == ("shared", 3, 7.5)


def test_remote_servers_are_read_in_every_clients_form(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t0p\n")
    file = write(
        tmp_path / "mcp.json",
        cursor={"url": "https://a.example/mcp", "headers": {"Authorization": "Bearer ${file:token}"}},
        vscode={"type": "http", "url": "https://a.example/mcp"},
        windsurf={"serverUrl": "https://a.example/${PLACE}"},
        gemini={"httpUrl": "https://a.example/mcp", "timeout": 5},
        old={"type": "sse", "url": "https://a.example/sse", "isolation": "shared", "env": {"A": "1"}},
    )
    found = {one.name: one for one in read_servers(file, {}, environment={"PLACE": "here"}).servers}
    assert all(isinstance(one, RemoteServer) for one in found.values())
    assert found["cursor"] == RemoteServer(
        name="cursor", url="https://a.example/mcp", headers={"Authorization": "Bearer t0p"}
    )
    assert found["vscode"] == RemoteServer(name="vscode", url="https://a.example/mcp", transport="http")
    assert found["windsurf"] == RemoteServer(name="windsurf", url="https://a.example/here")
    assert found["old"] == RemoteServer(
        name="old", url="https://a.example/sse", transport="sse", isolation="shared"
    )
    assert "t0p" not in repr(found)


def test_one_server_of_a_file_is_served_as_if_it_were_given_as_a_command(tmp_path: Path) -> None:
    file = write(tmp_path / "mcp.json", time={"command": "time"}, git={"command": "git"}, bad={"command": 1})
    found = read_servers(file, {})
    assert found.only("git", file).servers == (Server(name="git", command=("git",), alone=True),)
    broken = found.only("bad", file)
    assert (broken.servers, list(broken.broken)) == ((), ["bad"])
    with pytest.raises(SettingsError, match="no server is called nobody"):
        found.only("nobody", file)


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({}, "server bad: command must be a text"),
        ({"url": 1}, "server bad: url must be a text"),
        ({"url": "ftp://x/"}, "server bad: url must be an http:// or https:// address"),
        ({"url": "http://"}, "server bad: url must be an http:// or https:// address"),
        ({"url": "http://ada:s3cret@x/"}, "server bad: url must hold no user name"),
        (
            {"url": "http://x/", "memory": 10**9},
            "memory is of a process; a remote server has none",
        ),
        ({"url": "http://x/", "headers": []}, "server bad: headers must be an object of texts"),
        ({"url": "http://x/", "headers": {"Host": "y"}}, "server bad: header Host is the proxy's own"),
        (
            {"url": "http://x/", "headers": {"Mcp-Session-Id": "y"}},
            "header Mcp-Session-Id is the",
        ),
        ({"url": "http://x/", "headers": {"A": "b\nc: d"}}, "header 'A' must have a name and a value"),
        ({"url": "http://x/", "headers": {"A b": "c"}}, "header 'A b' must have a name and a value"),
        ({"command": "x", "args": "no"}, "server bad: args must be a list"),
        ({"command": "x", "env": {"A": [1]}}, "server bad: env must be an object of texts"),
        ({"command": "x", "env": ["A"]}, "server bad: env must be an object of texts"),
        ({"command": "x", "args": [{}]}, "server bad: args must be a list"),
        ({"command": "x", "envFile": 3}, "server bad: envFile must be a text"),
        (
            {"command": "x", "envFile": "none.env"},
            "server bad: envFile .*none.env cannot be read: No such file",
        ),
        (
            {"command": "x", "env": {"A": "${input:key}"}},
            "server bad: ${input:key} is something that only an editor",
        ),
        ({"command": "x", "env": {"A": "${NOT_SET_HERE}"}}, "server bad: variable NOT_SET_HERE is not set"),
        ({"command": "x", "args": ["${env:NOT_SET_HERE}"]}, "server bad: variable NOT_SET_HERE is not set"),
        ({"command": "x", "args": ["${1%x}"]}, "server bad: ${1%x} is not known here; write $${1%x}"),
        (
            {"command": "x", "env": {"A": "${file:none}"}},
            "server bad: ${file:none} cannot be read: No such file",
        ),
        ({"command": "x", "stateless": 1}, "server bad: stateless must be true or false"),
        ({"command": "x", "isolation": "none"}, "isolation must be session, user or shared"),
        ({"command": "x", "prewarm": 99}, "prewarm (99) must be below max_children"),
        ({"command": "x", "cwd": "/no/such/place"}, "cwd /no/such/place is not a directory"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, entry: object, reason: str) -> None:
    with pytest.raises(SettingsError, match=reason if ".*" in reason else re.escape(reason)):
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


async def test_each_server_has_its_path_and_a_broken_one_stops_nobody(
    start: Start, scripted: Command
) -> None:
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


async def test_reloading_keeps_what_did_not_change(start: Start, scripted: Command, tmp_path: Path) -> None:
    plain = {"command": scripted[0], "args": [scripted[1]], "stopTimeout": 1}
    file = write(tmp_path / "mcp.json", stays=plain, goes=plain)
    proxy = await start(*read_servers(file, {}).servers)
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


# files of other programs

CLAUDE_DESKTOP = """{
  "mcpServers": {
    "filesystem": {
      "command": "npx",
      "args": ["-y", "@modelcontextprotocol/server-filesystem", "/home/me/Desktop"]
    },
    "My Notes": {"command": "uvx", "args": ["notes"], "env": {"PORT": 8123, "DEBUG": true, "OLD": null}}
  },
  "globalShortcut": "Ctrl+Space"
}"""
CLAUDE_CODE = """{
  "mcpServers": {
    "db": {
      "type": "stdio",
      "command": "${TOOLS:-/opt}/db",
      "args": ["--dsn", "${DSN}", "--mode", "${MODE:-read only}"],
      "env": {"KEY": "${API_KEY}"},
      "timeout": 60000
    }
  }
}"""
VS_CODE = """{
  // what VS Code asks for
  "inputs": [{"type": "promptString", "id": "key", "description": "API key", "password": true}],
  "servers": {
    "asks": {"type": "stdio", "command": "npx", "args": ["x"], "env": {"KEY": "${input:key}"}},
    "plain": {
      "type": "stdio", "command": "node", "args": ["${workspaceFolder}/server.js", "http://a//b"],
      "envFile": "${workspaceFolder}/.env", /* beside the code */
      "dev": {"watch": "src/**"},
    },
  },
}"""
CURSOR = """{
  "mcpServers": {
    "home": {"command": "python", "args": ["${userHome}${/}tool.py"], "env": {"KEY": "${env:API_KEY}"}}
  }
}"""
CLINE = """{
  "mcpServers": {
    "time": {
      "command": "uvx", "args": ["mcp-server-time"], "autoApprove": ["now"], "alwaysAllow": [],
      "disabled": false, "timeout": 60, "_comment": "mine", "transportType": "stdio"
    },
    "paused": {"command": "uvx", "args": ["x"], "disabled": true}
  }
}"""
SUPERGATEWAY = """{
  "mcpServers": {
    "supermachineExampleNpx": {"command": "npx", "args": ["-y", "supergateway", "--sse", "https://x.example/sse"]}
  }
}"""
ENVIRONMENT = {"HOME": "/home/me", "DSN": "db://x", "API_KEY": "k"}


def read_text(folder: Path, text: str) -> Configuration:
    folder.mkdir(exist_ok=True)
    (folder / "mcp.json").write_text(text)
    return read_servers(folder / "mcp.json", {}, environment=ENVIRONMENT)


@pytest.mark.parametrize("text", [CLAUDE_DESKTOP, CLAUDE_CODE, CURSOR, CLINE, SUPERGATEWAY])
def test_the_schema_takes_what_is_read(text: str) -> None:
    jsonschema.validate(json.loads(text), schema())


def test_the_schema_names_every_option_and_is_published() -> None:
    published = Path(__file__).parent.parent / "servers.schema.json"
    if published.exists():  # not beside an installed wheel
        assert json.loads(published.read_text()) == schema()
    printed = subprocess.run(
        [sys.executable, "-m", "mcp_streamablehttp_proxy", "--config-schema"], check=True, capture_output=True
    )
    assert json.loads(printed.stdout) == schema()
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"mcpServers": {"x": {"command": "x", "isolation": "none"}}}, schema())


def test_claude_desktop(tmp_path: Path) -> None:
    read = read_text(tmp_path, CLAUDE_DESKTOP)
    files, notes = read.servers
    assert files.command == ("npx", "-y", "@modelcontextprotocol/server-filesystem", "/home/me/Desktop")
    assert (notes.name, notes.env) == ("My-Notes", {"PORT": "8123", "DEBUG": "true"})
    assert read.notes == (f"{tmp_path}/mcp.json: server 'My Notes' is served as My-Notes",)


def test_claude_code(tmp_path: Path) -> None:
    (server,) = read_text(tmp_path, CLAUDE_CODE).servers
    assert server.command == ("/opt/db", "--dsn", "db://x", "--mode", "read only")
    assert server.env == {"KEY": "k"}


def test_vs_code(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("# mine\nexport TOKEN='a b'\nRAW=${HOME}\n")
    read = read_text(tmp_path / ".vscode", VS_CODE)
    (plain,) = read.servers
    assert plain.command == ("node", f"{tmp_path}/server.js", "http://a//b")
    assert plain.env == {"TOKEN": "a b", "RAW": "${HOME}"}
    assert "only an editor can ask" in read.broken["asks"]
    assert read.notes == (f"{tmp_path}/.vscode/mcp.json: ignored dev (plain)",)


def test_cursor(tmp_path: Path) -> None:
    (server,) = read_text(tmp_path, CURSOR).servers
    assert server.command == ("python", "/home/me/tool.py")
    assert server.env == {"KEY": "k"}


def test_cline_with_one_warning_for_what_is_unknown(tmp_path: Path) -> None:
    read = read_text(tmp_path, CLINE)
    assert [server.name for server in read.servers] == ["time"]
    (note,) = read.notes
    for key in ("autoApprove", "alwaysAllow", "timeout", "_comment", "transportType"):
        assert f"{key} (time)" in note


def test_supergateway(tmp_path: Path) -> None:
    (server,) = read_text(tmp_path, SUPERGATEWAY).servers
    assert server.command[2:] == ("supergateway", "--sse", "https://x.example/sse")


def test_an_option_that_is_nearly_known_is_named(tmp_path: Path) -> None:
    read = read_text(tmp_path, '{"mcpServers": {"x": {"command": "x", "maxChildern": 3}}}')
    assert "maxChildern (x, did you mean maxChildren?)" in read.notes[0]


def test_a_secret_comes_from_a_file_and_is_in_no_message(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret\n")
    text = '{"mcpServers": {"x": {"command": "x", "env": {"A": "Bearer ${file:token}", "B": "$${A}"}}}}'
    read = read_text(tmp_path, text)
    assert read.servers[0].env == {"A": "Bearer s3cret", "B": "${A}"}
    assert "s3cret" not in str(read.notes)


@pytest.mark.parametrize(
    ("name", "taken", "expected"),
    [
        ("time", (), "time"),
        ("My Notes", (), "My-Notes"),
        ("My Notes", ("My-Notes",), "My-Notes-2"),
        ("Caf\xe9 / b\xfccher", (), "Cafe-bucher"),
        ("\u6642\u9593", ("server",), "server-2"),
        ("../x", (), "x"),
        ("a" * 99, (), "a" * 60),
    ],
)
def test_a_name_becomes_an_address(name: str, taken: tuple[str, ...], expected: str) -> None:
    assert address_name(name, taken) == expected


def test_a_name_that_fits_is_never_taken_by_one_that_does_not(tmp_path: Path) -> None:
    file = write(tmp_path / "mcp.json", **{"my notes": {"command": "a"}, "my-notes": {"command": "b"}})
    assert {s.name: s.command[0] for s in read_servers(file, {}).servers} == {
        "my-notes-2": "a",
        "my-notes": "b",
    }


async def test_a_changed_file_is_read_by_itself_and_a_broken_entry_changes_nothing(
    start: Start, scripted: Command, tmp_path: Path, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    plain = {"command": scripted[0], "args": [scripted[1]], "stopTimeout": 1}
    file = write(tmp_path / "mcp.json", stays=plain)
    proxy = await start()
    hub = proxy.app.hub
    await hub.close()
    hub.follow(file, lambda: read_servers(file, {}, hub.settings))
    hub.start()
    file.write_text(json.dumps({"mcpServers": {"stays": plain, "other": plain}}))
    await eventually(lambda: sorted(hub.endpoints) == ["other", "stays"])
    stays = proxy.client("/stays/mcp")
    await stays.initialize()
    with caplog.at_level(logging.ERROR):
        strange = {**plain, "args": ["${NOT_SET_HERE}"]}
        write(file, other=plain, stays=strange, worse={"args": []}, mine={**plain, "isolation": "user"})
        await eventually(lambda: "worse" in hub.broken)
    assert sorted(hub.endpoints) == ["other", "stays"]
    assert await stays.call("echo", text="same session") == "same session"
    assert "MCP_TRUST_IDENTITY" in hub.broken["mine"]
    health = await proxy.http.get("/health")
    assert (health.status_code, sorted(health.json()["servers"])) == (200, ["mine", "worse"])
    assert "command must be a text" in (await proxy.http.get("/worse/health")).json()["reason"]
    assert {record.server for record in caplog.records} >= {"stays", "worse", "mine"}  # type: ignore[attr-defined]
