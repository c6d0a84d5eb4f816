"""install and uninstall: the right file on each system, the one entry in it, everything else untouched."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp import Client, StdioServerParameters
from mcp_streamablehttp_client.cli.install import name_of
from mcp_streamablehttp_client.errors import ClientError
from mcp_streamablehttp_client.hosts import jsonc
from mcp_streamablehttp_client.hosts.editing import BACKUP, installed, uninstalled
from mcp_streamablehttp_client.hosts.places import HOSTS, place_of

from .support import Json, Run

URL = "https://time.example.com/mcp"
COMMAND = ["/bin/mcp-streamablehttp-client", URL]
HOME = Path("/home/ada")
WINDOWS = {"APPDATA": "/home/ada/AppData/Roaming"}

PLACES = {
    "claude-desktop": (
        ".config/Claude/claude_desktop_config.json",
        "Library/Application Support/Claude/claude_desktop_config.json",
        "AppData/Roaming/Claude/claude_desktop_config.json",
    ),
    "claude-code": (".claude.json",) * 3,
    "vscode": (
        ".config/Code/User/mcp.json",
        "Library/Application Support/Code/User/mcp.json",
        "AppData/Roaming/Code/User/mcp.json",
    ),
    "cursor": (".cursor/mcp.json",) * 3,
    "windsurf": (".codeium/windsurf/mcp_config.json",) * 3,
    "zed": (".config/zed/settings.json", ".config/zed/settings.json", "AppData/Roaming/Zed/settings.json"),
    "gemini": (".gemini/settings.json",) * 3,
}


def test_every_host_has_its_place() -> None:
    assert set(PLACES) == set(HOSTS)


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("name", PLACES)
def test_where_each_host_keeps_its_configuration(name: str, number: int) -> None:
    system = ("linux", "darwin", "win32")[number]
    environment = WINDOWS if system == "win32" else {}
    assert place_of(HOSTS[name], system, HOME, environment) == HOME / PLACES[name][number]


def test_directories_moved_by_the_environment() -> None:
    moved = {"XDG_CONFIG_HOME": "/cfg", "CLAUDE_CONFIG_DIR": "/claude"}
    assert place_of(HOSTS["zed"], "linux", HOME, moved) == Path("/cfg/zed/settings.json")
    assert place_of(HOSTS["claude-code"], "darwin", HOME, moved) == Path("/claude/.claude.json")
    assert place_of(HOSTS["vscode"], "win32", HOME, {}) == HOME / "AppData/Roaming/Code/User/mcp.json"


@pytest.mark.parametrize(
    ("name", "member", "more"),
    [
        ("claude-desktop", "mcpServers", {}),
        ("claude-code", "mcpServers", {"type": "stdio"}),
        ("vscode", "servers", {"type": "stdio"}),
        ("cursor", "mcpServers", {}),
        ("windsurf", "mcpServers", {}),
        ("zed", "context_servers", {"source": "custom"}),
        ("gemini", "mcpServers", {}),
    ],
)
def test_a_new_file_holds_the_entry_in_the_hosts_form(
    name: str, member: str, more: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "deep" / "settings.json"
    change = installed(HOSTS[name], path, "time", URL, COMMAND)
    assert change.apply() is None
    entry = {**more, "command": COMMAND[0], "args": COMMAND[1:]}
    assert json.loads(path.read_text()) == {member: {"time": entry}}


SETTINGS = """{
  // my theme
  "theme": "dark",
  "context_servers": {
    /* mine */
    "other": { "command": "x", "args": ["// no comment", "{"], },
  },
}
"""


def test_comments_order_and_other_servers_stay_and_uninstall_gives_the_file_back(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_text(SETTINGS)
    path.chmod(0o600)
    host = HOSTS["zed"]
    change = installed(host, path, "time", URL, COMMAND)
    added = [line for line in change.difference.splitlines()[2:] if line.startswith(("+", "-"))]
    assert len(added) == 7
    assert all(line.startswith("+") for line in added)
    backup = change.apply()
    assert backup == tmp_path / f"settings.json{BACKUP}"
    assert backup.read_text() == SETTINGS
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(jsonc.load(path.read_text())["context_servers"]) == ["time", "other"]
    uninstalled(host, path, URL).apply()
    assert path.read_text() == SETTINGS


def test_installing_again_changes_nothing_or_the_one_entry(tmp_path: Path) -> None:
    path, host = tmp_path / "mcp.json", HOSTS["cursor"]
    installed(host, path, "time", URL, COMMAND).apply()
    again = installed(host, path, "time", URL, COMMAND)
    assert again.before == again.after
    installed(host, path, "time", URL, [*COMMAND, "--verbose"]).apply()
    assert json.loads(path.read_text())["mcpServers"]["time"]["args"] == [URL, "--verbose"]


def test_another_servers_name_is_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    path.write_text('{"mcpServers": {"time": {"command": "x", "args": []}}}')
    with pytest.raises(ClientError, match="choose a name with --name"):
        installed(HOSTS["cursor"], path, "time", URL, COMMAND)


def test_only_this_programs_entries_are_taken_out(tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    text = json.dumps({"mcpServers": {"time": {"command": "mcp-remote", "args": [URL]}}})
    path.write_text(text)
    with pytest.raises(ClientError, match="no server"):
        uninstalled(HOSTS["cursor"], path, URL)
    assert path.read_text() == text


@pytest.mark.parametrize(
    "text", ["{", '{"a" 1}', "[]", '{"mcpServers": []}', "nonsense", '{"a": 1} x', '{"a": "\n"}']
)
def test_a_file_that_cannot_be_read_is_left_as_it_is(text: str, tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    path.write_text(text)
    with pytest.raises(ClientError, match="left as it is"):
        installed(HOSTS["cursor"], path, "time", URL, COMMAND)
    assert path.read_text() == text


ODD = {
    "nothing": b"",
    "white space": b"\r\n \t\n",
    "a mark of byte order": "\ufeff{}".encode(),
    "only a mark of byte order": "\ufeff".encode(),
    "only comments": b"// mine\n/* all of it */\n",
    "comments and commas": b'{ // a\n  "x": [1, 2,], /* b */\n  "y": "// no comment",\n}\n',
    "Windows": b'{\r\n  // a\r\n  "x": 1\r\n}\r\n',
    "one line": b'{"x":{"mcpServers":{}}}',
    "half a character": b'{"x": "\\ud800"}',
    "the same name twice": b'{"x": 1, "x": 2}',
}


@pytest.mark.parametrize("what", ODD)
@pytest.mark.parametrize("name", HOSTS)
def test_files_as_people_leave_them(name: str, what: str, tmp_path: Path) -> None:
    """The entry comes in, everything else stays, and goes out again."""
    host, path = HOSTS[name], tmp_path / "there" / "settings.json"
    path.parent.mkdir()
    path.write_bytes(ODD[what])
    before = jsonc.load(ODD[what].decode())
    change = installed(host, path, "time", URL, COMMAND)
    backup = change.apply()
    assert backup is not None
    assert backup.read_bytes() == ODD[what]
    text = path.read_bytes().decode()
    assert jsonc.load(text) == before | {host.member: {"time": host.entry(COMMAND)}}
    for comment in ("// a", "/* b */", "// mine", "\ufeff"):
        assert (comment in text) == (comment in ODD[what].decode())
    uninstalled(host, path, URL).apply()
    assert jsonc.load(path.read_bytes().decode()) == before
    assert {file.name for file in path.parent.iterdir()} == {path.name, backup.name}


def test_what_cannot_be_read_or_written_is_said(tmp_path: Path) -> None:
    circle = tmp_path / "circle.json"
    circle.symlink_to(circle)
    below_a_file = tmp_path / "file" / "settings.json"
    below_a_file.parent.write_text("")
    folder, deep, latin = tmp_path / "folder", tmp_path / "deep.json", tmp_path / "latin.json"
    folder.mkdir()
    deep.write_text("[" * 100_000)
    latin.write_bytes(b'{"x": "\xe4"}')
    for path in (circle, below_a_file, folder, deep, latin):
        with pytest.raises(ClientError):
            installed(HOSTS["cursor"], path, "time", URL, COMMAND).apply()
    assert deep.read_text() == "[" * 100_000


def test_a_link_to_a_file_not_there_yet_makes_it(tmp_path: Path) -> None:
    link, real = tmp_path / "mcp.json", tmp_path / "dotfiles" / "mcp.json"
    link.symlink_to(real)
    assert installed(HOSTS["cursor"], link, "time", URL, COMMAND).apply() is None
    assert link.is_symlink()
    assert "time" in real.read_text()


def test_a_link_stays_a_link_and_line_ends_stay(tmp_path: Path) -> None:
    real, link = tmp_path / "dotfiles.json", tmp_path / "mcp.json"
    real.write_bytes(b'{\r\n  "a": 1\r\n}\r\n')
    link.symlink_to(real)
    installed(HOSTS["cursor"], link, "time", URL, COMMAND).apply()
    assert link.is_symlink()
    assert b"\n" not in real.read_bytes().replace(b"\r\n", b"")
    uninstalled(HOSTS["cursor"], link, URL).apply()
    assert real.read_bytes() == b'{\r\n  "a": 1\r\n}\r\n'


names = st.text(st.characters(codec="utf-8"), max_size=8) | st.sampled_from(
    ["servers", "time", "//", "/*", "\\"]
)
documents = st.dictionaries(
    names,
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | names,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
        max_leaves=10,
    ),
    max_size=4,
)


@given(
    documents,
    st.dictionaries(names, st.integers(), max_size=3),
    st.sampled_from([None, 2, 4, "\t"]),
    st.sampled_from(["", " // note\n", "/* a } */"]),
    st.booleans(),
)
def test_one_member_changes_and_nothing_else(
    document: Json, servers: dict[str, int], indent: int | str | None, comment: str, trailing: bool
) -> None:
    document["servers"] = servers
    text = json.dumps(document, indent=indent, ensure_ascii=False)
    text = f"{comment}{text[:-1]}{',' if trailing else ''}{comment}}}{comment}"
    assert jsonc.load(text) == document
    path, entry = ("servers", "time"), {"command": "x", "args": ["y"]}
    changed = jsonc.put(text, path, entry)
    assert jsonc.load(changed) == document | {"servers": servers | {"time": entry}}
    assert changed.count(comment) >= text.count(comment)
    removed = jsonc.remove(changed, path)
    assert jsonc.load(removed) == document | {"servers": {k: v for k, v in servers.items() if k != "time"}}


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://time.example.com/mcp", "time"),
        ("http://localhost:8080/time/mcp", "time"),
        ("https://mcp.example.com/v1/notes/sse", "notes"),
        ("http://127.0.0.1:3000/mcp", "127-0-0-1"),
    ],
)
def test_a_server_gets_a_name(url: str, name: str) -> None:
    assert name_of(url) == name


async def test_the_entry_starts_a_bridge(
    sdk_url: str, run: Run, environment: dict[str, str], tmp_path: Path
) -> None:
    """As the host does it: the entry's command, without this shell's PATH."""
    place = tmp_path / "mcp.json"
    await run("install", "cursor", sdk_url, "--file", str(place), "--name", "fixture")
    entry = json.loads(place.read_text())["mcpServers"]["fixture"]
    server = StdioServerParameters(
        command=entry["command"], args=entry["args"], env=environment | {"PATH": "/nowhere"}
    )
    async with Client(server, mode="legacy") as client:
        assert client.server_info is not None
        assert client.server_info.name == "fixture"
        assert (await client.call_tool("add", {"a": 1, "b": 2})).structured_content == {"result": 3}


async def test_the_commands(run: Run, tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    place = place_of(HOSTS["gemini"], sys.platform, tmp_path, {})
    words = ("gemini", URL, "--scope", "mcp")
    finished = await run("install", *words, "--dry-run", env=home)
    assert finished.status == 0, finished
    assert not place.exists()
    assert "+" in finished.stdout
    finished = await run("install", *words, env=home)
    entry = json.loads(place.read_text())["mcpServers"]["time"]
    assert entry["args"][-3:] == [URL, "--scope", "mcp"]
    assert Path(entry["command"]).is_absolute()
    assert "Start gemini again." in finished.stdout
    finished = await run("uninstall", "gemini", URL, env=home)
    assert finished.status == 0, finished
    assert re.sub(r"\s", "", place.read_text()) == "{}"
    assert (await run("uninstall", "gemini", URL, env=home)).status == 1


async def test_uninstall_understands_the_words_of_install(run: Run, tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    place = place_of(HOSTS["cursor"], sys.platform, tmp_path, {})
    words = ("cursor", URL, "--header", "X-Key: abc")
    for name in ("one", "two"):
        assert (await run("install", *words, "--name", name, env=home)).status == 0
    finished = await run("uninstall", *words, "--name", "one", env=home)
    assert finished.status == 0, finished
    assert list(json.loads(place.read_text())["mcpServers"]) == ["two"]
    finished = await run("uninstall", *words, "--name", "one", env=home)
    assert finished.status == 1
    assert "named 'one'" in finished.stderr
    assert (await run("uninstall", *words, env=home)).status == 0


@pytest.mark.parametrize(
    "options", [("--nonsense",), ("--timeout", "soon"), ("--client-secret", "s"), ("another",)]
)
async def test_an_option_that_the_bridge_would_refuse_is_refused_before_it_is_in_the_file(
    run: Run, tmp_path: Path, options: tuple[str, ...]
) -> None:
    finished = await run("install", "cursor", URL, *options, env={"HOME": str(tmp_path)})
    assert finished.status == 2, finished
    assert not place_of(HOSTS["cursor"], sys.platform, tmp_path, {}).exists()


async def test_files_are_named_by_whole_paths(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host starts the bridge in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    Path("keys").write_text("X-Key: abc\n")
    place = tmp_path / "mcp.json"
    words = ("--header-file", "keys", "--header-file=keys", "--scope", "keys")
    finished = await run("install", "cursor", URL, "--file", str(place), *words)
    assert finished.status == 0, finished
    keys = str(tmp_path / "keys")
    entry = json.loads(place.read_text())["mcpServers"]["time"]
    assert entry["args"][-5:] == ["--header-file", keys, f"--header-file={keys}", "--scope", "keys"]
