"""What a server says reaches a terminal as text, never as instructions; tried on a real pty, since
click strips escapes from pipes."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import unicodedata
from pathlib import Path

import mcp_streamablehttp_client
from hypothesis import given
from hypothesis import strategies as st
from mcp_streamablehttp_client.terminal import escaped, is_safe, one_line, plain
from starlette.requests import Request
from starlette.responses import Response

from .support import COMMAND, JsonRpc, Serve
from .test_transport import Script, events, legacy, result

ATTACKS = [
    "\x1b]52;c;ZXZpbA==\x07",
    "\x1b]0;title\x07",
    "\x1b[2J\x1b[H",
    "\x9b31m",
    "\x90q\x9c",
    "\u202egnp.exe",
    "\u2066x\u2069",
    "a\rb",
    "\u2028",
    "\U000e0041",
    "\ud800",
    "\x7f\x08\x00",
]
SOURCE = Path(mcp_streamablehttp_client.__file__).parent


@given(st.lists(st.one_of(st.text(st.characters()), st.sampled_from(ATTACKS))).map("".join))
def test_nothing_that_controls_a_terminal_passes(text: str) -> None:
    for shown in (plain(text), one_line(text), escaped(text)):
        assert all(is_safe(character) for character in shown)
        shown.encode()
        for character in set(shown) - {"\n", "\t"}:
            assert unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp")
            assert unicodedata.bidirectional(character) not in (
                "LRE",
                "RLE",
                "LRO",
                "RLO",
                "PDF",
                "LRI",
                "RLI",
            )
    assert "\n" not in one_line(text)


@given(st.dictionaries(st.text(st.characters()), st.text(st.characters())))
def test_escaped_json_says_the_same(value: dict[str, str]) -> None:
    assert json.loads(escaped(json.dumps(value, ensure_ascii=False))) == value


def test_scripts_and_emoji_stay_readable() -> None:
    for text in ("Grüße, 世界", "می‌خواهم", "👩‍🚀 ❤️", "a\tb\n"):
        assert plain(text) == text


def test_all_output_passes_the_one_printer() -> None:
    for path in SOURCE.rglob("*.py"):
        if path.name != "terminal.py" and "_common" not in path.parts:
            found = re.findall(
                r"\bprint\(|click\.s?echo|\.secho\(|std(?:out|err)\.write|click\.style", path.read_text()
            )
            assert not found, path


async def on_a_terminal(*words: str, environment: dict[str, str]) -> bytes:
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *words,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment | {"TERM": "xterm-256color"},
    )
    os.close(theirs)
    seen = b""
    loop = asyncio.get_running_loop()
    while True:
        try:
            chunk = await asyncio.wait_for(loop.run_in_executor(None, os.read, ours, 65536), 90)
        except OSError:  # EIO: the other side is closed
            break
        if not chunk:
            break
        seen += chunk
    os.close(ours)
    await process.wait()
    return seen


async def test_a_hostile_server_on_a_real_terminal(serve: Serve, environment: dict[str, str]) -> None:
    attack = "".join(text for text in ATTACKS if text != "\ud800")

    async def handler(request: Request, message: JsonRpc) -> Response:
        if usual := await legacy(request, message):
            return usual
        if message["method"] == "tools/list":
            schema = {"type": "object", "properties": {attack: {"type": "string"}}}
            tool = {"name": f"evil{attack}", "description": attack, "inputSchema": schema}
            return result(message, {"tools": [tool, {"name": "t", "inputSchema": {"type": "object"}}]})
        token = message["params"]["_meta"]["progressToken"]
        notes = {"progressToken": token, "progress": 1, "total": 2, "message": f"[bold]{attack}"}
        note = {"jsonrpc": "2.0", "method": "notifications/progress", "params": notes}
        value = {"content": [{"type": "text", "text": attack}], "structuredContent": {attack: attack}}
        answer = {"jsonrpc": "2.0", "id": message["id"], "result": value}
        return events(*(f"data: {json.dumps(part)}\n\n" for part in (note, answer)))

    url = serve(Script(handler)) + "/mcp"
    for words in (
        ("tools", url),
        ("tools", url, "--json"),
        ("call", url, "t"),
        ("call", url, attack.replace("\0", "")),
    ):
        seen = await on_a_terminal(*words, environment=environment)
        assert seen
        assert b"\x1b[2J" not in seen
        own = re.sub(rb"\x1b\[(\?25[hl]|1A|2K|[0-9;]*m)", b"", seen)  # styles, and the bar's
        assert b"\x1b" not in own, words
        assert all(is_safe(character) for character in own.decode().replace("\r", "")), words
