#!/usr/bin/env python3
"""What stands for the programs of a person in an empty container; nothing beside Python is needed.

`page BEGINS` prints the line that a server's page shows and that begins so. `host` starts the entry that the
page shows for stdio hosts, as Claude Desktop does, and prints the names of its tools. `healthy URL` returns
when it is.
"""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

PAGE = "http://localhost:8080/time/mcp"
WITHIN = 180


def shown() -> list[str]:
    """What the page has in boxes to copy."""
    asked = urllib.request.Request(PAGE, headers={"Accept": "text/html"})
    try:
        with urllib.request.urlopen(asked, timeout=90) as answer:
            page = answer.read().decode()
    except urllib.error.HTTPError as answer:  # the page is what a browser gets with the challenge
        page = answer.read().decode()
    return [
        html.unescape(code) for code in re.findall(r"<pre[^>]*><code>(.*?)</code></pre>", page, re.DOTALL)
    ]


def page(begins: str) -> None:
    lines = {line for box in shown() for line in box.splitlines() if line.startswith(begins)}
    (line,) = lines
    print(line)


def host() -> None:
    entries = [json.loads(box) for box in shown() if box.startswith("{")]
    (entry,) = (found for of in entries for found in of["mcpServers"].values() if "command" in found)
    command = [entry["command"], *entry["args"]]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as bridge:
        assert bridge.stdin is not None
        assert bridge.stdout is not None
        about = {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "claude-ai", "version": "0.1.0"},
        }
        said: list[dict[str, Any]] = []
        for message in (
            {"id": 1, "method": "initialize", "params": about},
            {"method": "notifications/initialized"},
            {"id": 2, "method": "tools/list"},
        ):
            print(json.dumps({"jsonrpc": "2.0", **message}), file=bridge.stdin, flush=True)
            while "id" in message and (not said or said[-1].get("id") != message["id"]):
                said.append(json.loads(bridge.stdout.readline()))
        bridge.stdin.close()
    print(*(tool["name"] for tool in said[-1]["result"]["tools"]))


def healthy(url: str) -> None:
    deadline = time.monotonic() + WITHIN
    while True:
        try:
            urllib.request.urlopen(url, timeout=30).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return


if __name__ == "__main__":
    programs: dict[str, Callable[..., None]] = {"page": page, "host": host, "healthy": healthy}
    programs[sys.argv[1]](*sys.argv[2:])
