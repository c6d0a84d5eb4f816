"""A host for bridges: what Claude Desktop does with the command of a stdio server."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from .sessions import INITIALIZE

PATIENCE = 90
"""Seconds after which a bridge is killed that has not done what was asked of it."""


class HostError(Exception):
    """The bridge ended, or answered with an error."""


class Bridge:
    """A bridge whose session is open; `started_ms` went by until `initialize` was answered."""

    def __init__(self, process: subprocess.Popen[bytes], to: IO[bytes], of: IO[bytes], begun: float) -> None:
        self.pid = process.pid
        self._process = process
        self._to, self._of = to, of
        self._number = 0
        with self._watched():
            self._write(self._request("initialize", INITIALIZE))
            self._read(1)
        self.started_ms = (time.perf_counter() - begun) * 1000
        self._write(b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')

    def latency_ms(self, calls: int, text: str) -> list[float]:
        """One call after the other."""
        taken = []
        with self._watched():
            for _ in range(calls):
                begun = time.perf_counter()
                self._write(self._call(text))
                self._read(1)
                taken.append((time.perf_counter() - begun) * 1000)
        return taken

    def pipelined_per_second(self, calls: int, text: str) -> float:
        """All calls written at once, answers read as they come."""
        data = b"".join(self._call(text) for _ in range(calls))
        begun = time.perf_counter()
        writing = threading.Thread(target=self._write, args=(data,))
        with self._watched():
            writing.start()
            self._read(calls)
            elapsed = time.perf_counter() - begun
            writing.join()
        return calls / elapsed

    @contextmanager
    def _watched(self) -> Iterator[None]:
        watchdog = threading.Timer(PATIENCE, self._process.kill)
        watchdog.start()
        try:
            yield
        finally:
            watchdog.cancel()

    def _call(self, text: str) -> bytes:
        return self._request("tools/call", {"name": "echo", "arguments": {"text": text}})

    def _request(self, method: str, params: dict[str, Any]) -> bytes:
        self._number += 1
        message = {"jsonrpc": "2.0", "id": self._number, "method": method, "params": params}
        return json.dumps(message).encode() + b"\n"

    def _write(self, data: bytes) -> None:
        self._to.write(data)
        self._to.flush()

    def _read(self, answers: int) -> None:
        while answers:
            line = self._of.readline()
            if not line:
                raise HostError(f"the bridge ended, or was not done in {PATIENCE} s")
            if b'"result"' in line:
                answers -= 1
            elif b'"error"' in line:
                raise HostError(line[:200].decode(errors="replace"))


@contextmanager
def bridged(
    command: Sequence[str | Path], environment: Mapping[str, str], directory: str
) -> Iterator[Bridge]:
    """Run a bridge until the end of the block."""
    begun = time.perf_counter()
    process = subprocess.Popen(
        [str(part) for part in command], env=dict(environment), cwd=directory,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield Bridge(process, process.stdin, process.stdout, begun)
        with suppress(OSError):
            process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
