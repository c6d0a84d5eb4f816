"""The proxy as people run it: a process of its own, on a free port of 127.0.0.1."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

COMMAND = Path(sys.executable).parent / "mcp-streamablehttp-proxy"
START_WITHIN = 120.0
STOP_WITHIN = 60.0


@dataclass(frozen=True)
class ProxyProcess:
    pid: int
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def proxy_process(log: Path, *arguments: str) -> Iterator[ProxyProcess]:
    """Run `mcp-streamablehttp-proxy --port 0 ARGUMENTS`, its log in a file, until the block ends."""
    command = [str(COMMAND), "--port", "0", "--log-format", "json", *arguments]
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            yield ProxyProcess(process.pid, _port(process, log), log)
        finally:
            process.terminate()
            try:
                process.wait(STOP_WITHIN)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    deadline = time.monotonic() + START_WITHIN
    while process.poll() is None and time.monotonic() < deadline:
        line, complete, _ = log.read_text().partition("\n")
        if complete:
            return int(json.loads(line)["port"])
        time.sleep(0.02)
    raise RuntimeError(f"the proxy did not start:\n{log.read_text()}")
