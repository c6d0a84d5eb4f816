"""The whole gateway as `./justw run` starts it, and its person: a browser, an account and a password."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from ..servers import ROOT, free_port

PATIENCE = 120.0


@contextmanager
def local_run() -> Iterator[tuple[str, str]]:
    """Its origin and the password of `admin`, once it says that it is ready."""
    port = free_port()
    with TemporaryDirectory() as state:
        said = Path(state, "said")
        environment = {**os.environ, "PORT": str(port), "GATEWAY_STATE": state, "COLUMNS": "200"}
        with said.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "gateway.run"],
                cwd=ROOT, env=environment, stdout=output, stderr=output,
            )  # fmt: skip
        try:
            yield f"http://localhost:{port}", _password(process, said)
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def approve(address: str, password: str) -> None:
    """In a Chromium of its own: approve the consent page, sign in. The bridge says what came of it."""
    subprocess.run(
        [sys.executable, "-m", "tests.e2e.approve", address],
        env={**os.environ, "GATEWAY_PASSWORD": password},
        cwd=ROOT, check=False, timeout=60, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def _password(process: subprocess.Popen[bytes], said: Path) -> str:
    deadline = time.monotonic() + PATIENCE
    while "Ready after" not in (text := said.read_text()):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the gateway did not start:\n{text}")
        time.sleep(0.1)
    if (found := re.search(r"password (\S+)", text)) is None:
        raise RuntimeError(f"the gateway names no password:\n{text}")
    return found[1]
