"""Starting what is measured: one process each, on a free loopback port, ended with the block."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SCRATCH = ROOT / ".gateway" / "bench"
BIN = Path(sys.executable).parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(
    *command: str | Path, port: int, environment: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Iterator[int]:
    """Run a server until the end of the block; its port, once it accepts connections."""
    with started(*command, port=port, environment=environment, cwd=cwd):
        yield port


@contextmanager
def started(
    *command: str | Path, port: int, environment: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """The same for those who want the process; what it started itself ends with it."""
    with tempfile.TemporaryFile() as log:
        base = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
        process = subprocess.Popen(
            [str(part) for part in command], env=base | dict(environment or {}), cwd=cwd,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        try:
            _wait(process, port, log.fileno())
            yield process
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait(process: subprocess.Popen[bytes], port: int, log: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    written = os.pread(log, 4000, 0).decode(errors="replace")
    raise RuntimeError(f"{process.args!r} did not start:\n{written}")


@contextmanager
def redis() -> Iterator[int]:
    """A redis-server without persistence; its port."""
    with tempfile.TemporaryDirectory() as directory:
        port = free_port()
        options = ("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", directory)
        with running("redis-server", *options, port=port):
            yield port


def virtualenv(name: str, *requirements: str) -> Path:
    """The bin folder of an environment with these packages, made on first use."""
    place = SCRATCH / name
    done = place / "complete"
    wanted = "\n".join(requirements)
    if not done.exists() or done.read_text() != wanted:
        subprocess.run([BIN / "uv", "venv", "-q", "--clear", "--python", sys.executable, place], check=True)
        subprocess.run(
            [BIN / "uv", "pip", "install", "-q", "--python", place / "bin" / "python", *requirements],
            check=True,
        )
        done.write_text(wanted)
    return place / "bin"
