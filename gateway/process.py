"""One child process of a local run: its own process group, its output in a log file and on the screen."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from . import local_settings
from .services import Service
from .supervisor import GRACE, dying_with_this_process

LOG_AT_MOST = 10 * 2**20
"""Bytes of a log file; what is older is in the file beside it."""


class StartError(Exception):
    """The gateway cannot start; the message says why in a sentence."""


class Process:
    def __init__(self, service: Service, log: Path, show: Callable[[str, str], None]) -> None:
        self.service = service
        self.last_lines: deque[str] = deque(maxlen=15)
        self._log = log
        self._show = show
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Raises OSError when the program cannot be started."""
        environment = {**local_settings.machine(os.environ), **self.service.environment}
        self._process = await asyncio.create_subprocess_exec(
            *dying_with_this_process(self.service.command),
            env={**environment, "PYTHONUNBUFFERED": "1"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            limit=2**20,
        )
        self._reader = asyncio.create_task(self._read(self._process))

    @property
    def pid(self) -> int:
        return 0 if self._process is None else self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def wait(self) -> int:
        assert self._process is not None
        return await self._process.wait()

    async def stop(self) -> None:
        """End the whole process group: SIGTERM, and after GRACE seconds SIGKILL."""
        if self._process is None:
            return
        if self.running:
            self._signal(signal.SIGTERM)
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._process.wait(), GRACE)
        self._signal(signal.SIGKILL)
        await self._process.wait()
        if self._reader is not None:
            await asyncio.wait([self._reader], timeout=1)
            self._reader.cancel()

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while True:
            try:
                line = await process.stdout.readline()
            except ValueError:  # a line over the limit: asyncio has dropped it
                line = b"(a line of over 1 MiB was left out)\n"
            if not line:
                return
            with suppress(OSError):  # a full disk: whoever is not read from stops at the next line
                self._keep(line)
            text = line.decode(errors="replace").rstrip()
            self.last_lines.append(text)
            self._show(self.service.name, text)

    def _keep(self, line: bytes) -> None:
        with self._log.open("ab", buffering=0) as log:
            log.write(line)
            full = log.tell() > LOG_AT_MOST
        if full:
            self._log.replace(self._log.with_suffix(".log.1"))
