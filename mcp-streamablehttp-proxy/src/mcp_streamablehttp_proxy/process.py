"""One operating-system process group that speaks lines on stdin and stdout."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import signal
from collections.abc import Callable
from typing import Final, cast

from .framing import LineSplitter, Oversize
from .settings import MIB, Server

log = logging.getLogger(__name__)

MAX_UNREAD_INPUT: Final = 64 * MIB
"""Bytes that may wait for a server that does not read its stdin."""

_STDERR_LINE: Final = 8192
_OUTPUT_AFTER_EXIT: Final = 1.0


class SpawnError(Exception):
    """The command could not be started. The text says why, without the environment."""


class Process(asyncio.SubprocessProtocol):
    """A running command: own session and process group, stderr drained to the log.

    `on_line` gets every stdout line; `on_exit` is called once, after the last line, with a
    sentence that says how the process ended.
    """

    def __init__(
        self,
        server: Server,
        label: str,
        on_line: Callable[[bytes | Oversize], None],
        on_exit: Callable[[str], None],
    ) -> None:
        self._server = server
        self.label = label
        self._on_line = on_line
        self._on_exit = on_exit
        self._transport: asyncio.SubprocessTransport | None = None
        self._stdin: asyncio.WriteTransport | None = None
        self._unwritten: list[bytes] = []
        self._stdout = LineSplitter(server.max_line)
        self._stderr = LineSplitter(_STDERR_LINE)
        self._ended = asyncio.Event()
        self._finished = False
        self.pid = 0

    async def start(self) -> None:
        server = self._server
        loop = asyncio.get_running_loop()
        limits = _limits(server)
        try:
            transport, _ = await loop.subprocess_exec(
                lambda: self,
                *server.command,
                env=server.environment(os.environ),
                cwd=server.cwd,
                start_new_session=True,
                preexec_fn=limits,
            )
        except OSError as problem:
            raise SpawnError(f"{server.command[0]}: {problem.strerror or problem}") from None
        except (ValueError, RuntimeError) as problem:
            raise SpawnError(f"{server.command[0]}: {problem}") from None
        self._transport = transport
        self.pid = transport.get_pid()
        self._stdin = cast(asyncio.WriteTransport, transport.get_pipe_transport(0))

    @property
    def unread(self) -> int:
        """Bytes written that the server has not read yet."""
        return 0 if self._stdin is None else self._stdin.get_write_buffer_size()

    def write(self, line: bytes, *, at_once: bool = False) -> None:
        """Send one line, at once or with all others of this turn of the loop. Silently lost when the
        process has ended: `on_exit` tells."""
        if self._stdin is not None and not self._ended.is_set():
            if self._server.log_bodies:
                self._log("to server", line)
            if self._unwritten:
                self._unwritten += (line, b"\n")
            elif at_once:
                self._stdin.write(line + b"\n")
            else:
                self._unwritten += (line, b"\n")
                asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        """Write what came in one turn of the loop at once: that wakes the server once, too."""
        if self._unwritten and self._stdin is not None and not self._ended.is_set():
            self._stdin.write(b"".join(self._unwritten))
        self._unwritten.clear()

    async def stop(self) -> None:
        """End the whole group: stdin closed, then SIGTERM, then SIGKILL, within `stop_timeout`."""
        if self._transport is None or self._stdin is None:
            return
        self._flush()
        self._stdin.close()
        patience = self._server.stop_timeout
        for seconds, number in ((patience * 0.2, signal.SIGTERM), (patience * 0.8, signal.SIGKILL)):
            try:
                async with asyncio.timeout(seconds):
                    await self._ended.wait()
                return
            except TimeoutError:
                self._signal(number)
        await self._ended.wait()

    def kill(self) -> None:
        """SIGKILL the whole group at once."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self.pid:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    # asyncio.SubprocessProtocol

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == 1:
            for line in self._stdout.feed(data):
                if self._server.log_bodies:
                    self._log("from server", line)
                self._on_line(line)
        else:
            for line in self._stderr.feed(data):
                self._log("stderr", line)

    def process_exited(self) -> None:
        # What the leader started must not outlive it, nor keep its pipes open.
        self._signal(signal.SIGKILL)
        asyncio.get_running_loop().call_later(_OUTPUT_AFTER_EXIT, self._finish)

    def connection_lost(self, exc: Exception | None) -> None:
        self._finish()

    def _finish(self) -> None:
        if self._finished:
            return
        self._finished = True
        if (line := self._stdout.rest()) is not None:
            self._on_line(line)
        if (line := self._stderr.rest()) is not None:
            self._log("stderr", line)
        self._ended.set()
        if self._transport is not None:
            self._on_exit(_ending(self._transport.get_returncode()))
            self._transport.close()

    def _log(self, event: str, line: bytes | Oversize) -> None:
        kept = line.head + b" [...]" if isinstance(line, Oversize) else line
        text = kept.decode("utf-8", "replace")
        if text.strip():
            extra = {"server": self._server.name, "session": self.label, "pid": self.pid}
            log.info(event, extra={**extra, "text": text})


def _ending(code: int | None) -> str:
    if code is None:
        return "closed its output"
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"was ended by {signal.Signals(-code).name}"
    return f"exited with status {code}"


def _limits(server: Server) -> Callable[[], None] | None:
    """What the new process does between fork and exec; None when nothing is limited."""
    wanted = [
        (which, value)
        for which, value in (
            (resource.RLIMIT_AS, server.memory),
            (resource.RLIMIT_CPU, server.cpu),
        )
        if value is not None
    ]
    if not wanted:
        return None

    def apply() -> None:
        for which, value in wanted:
            resource.setrlimit(which, (value, value))

    return apply
