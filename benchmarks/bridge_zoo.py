"""The bridge and mcp-remote in front of servers that others wrote: does the first call get its answer?"""

from __future__ import annotations

import itertools
import json
import os
import queue
import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

from gateway.node import NODE, installed

from .bridge import REMOTE_VERSION
from .report import Report, Row, note
from .servers import BIN
from .sessions import INITIALIZE, MODERN, PREFIX
from .zoo.servers import SERVERS, Server, Started

PATIENCE = 60.0
"""Seconds until the first call has to be answered, with the sign-in."""
ENVELOPE = {
    "_meta": {
        f"{PREFIX}protocolVersion": MODERN,
        f"{PREFIX}clientInfo": INITIALIZE["clientInfo"],
        f"{PREFIX}clientCapabilities": {},
    }
}
_ADDRESS = re.compile(r"https?://\S+/authorize\?\S+")


class UnansweredError(Exception):
    """Why the call was not answered, in the bridge's or the server's own words."""


def measure() -> Report:
    remote = installed("mcp-remote", REMOTE_VERSION) / "dist" / "proxy.js"
    bridges: dict[str, Sequence[str | Path]] = {
        f"this {version('mcp-streamablehttp-client')}": (BIN / "mcp-streamablehttp-client",),
        f"mcp-remote {REMOTE_VERSION}": (NODE, remote),
    }
    rows = []
    for server in SERVERS:
        figures: dict[str, float] = {}
        failed: dict[str, str] = {}
        with server.started() as there:
            for name, command in bridges.items():
                note(f"{server.name}: {name}")
                try:
                    options = server.remote_options if name.startswith("mcp-remote") else ()
                    figures[f"{name}, s"] = round(
                        first_call([*command, there.url, *options], server, there), 2
                    )
                except UnansweredError as problem:
                    failed[f"{name}, s"] = str(problem)
        rows.append(Row(server.name, server.version, figures, failed))
    return Report("bridge-zoo", "seconds from the start to the first call's answer, sign-in included", rows)


def first_call(command: Sequence[str | Path], server: Server, there: Started) -> float:
    """Seconds until the server's tool answered its host. Raises UnansweredError."""
    tool, arguments, words = server.tool
    with tempfile.TemporaryDirectory() as home:
        host = Host(command, home, there.visit, ENVELOPE if server.host == "modern" else {})
        try:
            host.introduce()
            result = host.call(tool, arguments)
            if words not in json.dumps(result, ensure_ascii=False):
                raise UnansweredError(f"another answer: {json.dumps(result)[:200]}")
            return time.monotonic() - host.begun
        finally:
            host.end()


class Host:
    """A stdio host of the handshake, or with an envelope of 2026-07-28, whose person visits every address
    a bridge prints, and says yes."""

    def __init__(
        self,
        command: Sequence[str | Path],
        home: str,
        visit: Callable[[str], None],
        envelope: Mapping[str, Any],
    ) -> None:
        self._visit = visit
        self._envelope = envelope
        self.begun = time.monotonic()
        environment = {"PATH": os.environ["PATH"], "HOME": home, "BROWSER": "true", "NO_COLOR": "1"}
        self._process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=environment, cwd=home,
        )  # fmt: skip
        self._numbers = itertools.count(10)
        self._lines: queue.Queue[bytes | None] = queue.Queue()
        self._said: list[str] = []
        self._visited: set[str] = set()
        streams = ((self._read, self._process.stdout), (self._watch, self._process.stderr))
        self._threads = [threading.Thread(target=target, args=(stream,)) for target, stream in streams]
        for thread in self._threads:
            thread.start()

    def say(self, message: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise UnansweredError(self._last_words()) from error

    def ask(self, identifier: int, method: str, params: Mapping[str, Any]) -> Any:
        self.say({"id": identifier, "method": method, "params": params})
        return self._answer(identifier)

    def introduce(self) -> None:
        if self._envelope:
            self.call_again("server/discover", {})
        else:
            self.ask(1, "initialize", INITIALIZE)
            self.say({"method": "notifications/initialized"})

    def call(self, tool: str, arguments: Mapping[str, str]) -> Any:
        return self.call_again("tools/call", {"name": tool, "arguments": arguments})

    def call_again(self, method: str, params: Mapping[str, Any]) -> Any:
        """The result of a request, made again while the bridge says that a sign-in goes on."""
        while True:
            try:
                return self.ask(next(self._numbers), method, {**params, **self._envelope})
            except UnansweredError as problem:
                if "sign" not in str(problem).lower() or time.monotonic() - self.begun > PATIENCE:
                    raise
                time.sleep(0.2)

    def end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for thread in self._threads:
            thread.join()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            with suppress(OSError):  # what was not read by a bridge that is gone
                if stream is not None:
                    stream.close()

    def _answer(self, identifier: int) -> Any:
        while True:
            try:
                line = self._lines.get(timeout=max(0.1, PATIENCE - (time.monotonic() - self.begun)))
            except queue.Empty as error:
                raise UnansweredError(f"no answer within {PATIENCE:g} s; {self._last_words()}") from error
            if line is None:
                raise UnansweredError(self._last_words())
            message = json.loads(line)
            if message.get("id") != identifier or "method" in message:
                continue
            if "error" in message:
                raise UnansweredError(str(message["error"].get("message"))[:200])
            return message["result"]

    def _read(self, stream: IO[bytes]) -> None:
        for line in stream:
            if line.strip().startswith(b"{"):
                self._lines.put(line)
        self._lines.put(None)

    def _watch(self, stream: IO[bytes]) -> None:
        for line in stream:
            text = line.decode(errors="replace").strip()
            self._said.append(text)
            for address in _ADDRESS.findall(text):
                if address not in self._visited:
                    self._visited.add(address)
                    threading.Thread(target=self._visit, args=(address,), daemon=True).start()

    def _last_words(self) -> str:
        said = [line for line in self._said if line]
        return f"the bridge ended: {said[-1][:200]}" if said else "the bridge ended without a word"
