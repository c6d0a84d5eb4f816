"""One operating-system process that speaks lines on stdin and stdout, and all that it starts."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import signal
from collections.abc import Callable, Mapping
from typing import cast

from ..settings import MIB, Server
from ..wire.lines import LineSplitter, Oversize
from .family import VARIABLE, kill_marked, memory_in_use, new_mark
from .link import LinkError
from .stderr import StderrLog

log = logging.getLogger(__name__)

MAX_UNREAD_INPUT = 64 * MIB
"""Bytes that may wait for a server that does not read its stdin."""

_OUTPUT_AFTER_EXIT = 1.0
_EXIT_AFTER_CLOSE = 0.5
"""Seconds from a closed pipe to the end of the process that closed it, if it ends by itself."""


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
        self.pid = 0
        self._on_line = on_line
        self._on_exit = on_exit
        self._transport: asyncio.SubprocessTransport | None = None
        self._stdin: asyncio.WriteTransport | None = None
        self._unwritten: list[bytes] = []
        self._stdout = LineSplitter(server.max_line)
        self._stderr = StderrLog(lambda: self.tags)
        self._mark = new_mark()
        self._ended = asyncio.Event()
        self._stopping = False
        self._finished = False
        self._fault: str | None = None
        self._sweeping: asyncio.Task[None] | None = None

    @property
    def tags(self) -> Mapping[str, object]:
        return {"server": self._server.name, "session": self.label, "pid": self.pid}

    @property
    def running(self) -> bool:
        return self.pid != 0

    @property
    def last_words(self) -> str:
        """The last line on stderr, as text that may be shown."""
        return self._stderr.last

    @property
    def memory(self) -> int:
        """Bytes in use, its descendants' included."""
        return memory_in_use(self.pid) if self.pid else 0

    async def start(self) -> None:
        """Raises LinkError."""
        server = self._server
        loop = asyncio.get_running_loop()
        try:
            transport, _ = await loop.subprocess_exec(
                lambda: self,
                *server.command,
                env={**server.environment(os.environ), VARIABLE: self._mark},
                cwd=server.cwd,
                start_new_session=True,
                preexec_fn=_preparation(server, loop),
            )
        except OSError as problem:
            raise LinkError(f"{server.command[0]}: {problem.strerror or problem}") from problem
        except (ValueError, RuntimeError) as problem:
            raise LinkError(f"{server.command[0]}: {problem}") from problem
        self._transport = transport
        self.pid = transport.get_pid()
        self._stdin = cast(asyncio.WriteTransport | None, transport.get_pipe_transport(0))

    @property
    def _reads(self) -> bool:
        """Whether something can be written; uvloop raises for a pipe that is closed."""
        return self._stdin is not None and not self._ended.is_set() and not self._stdin.is_closing()

    @property
    def unread(self) -> int:
        """Bytes written that the server has not read yet."""
        return self._stdin.get_write_buffer_size() if self._stdin is not None and self._reads else 0

    def write(self, line: bytes, *, at_once: bool = False) -> None:
        """Send one line, at once or with all others of this turn of the loop. Silently lost when the
        process has ended: `on_exit` tells."""
        if self._stdin is None or not self._reads:
            return
        if self._server.log_bodies:
            self._log("to server", line)
        if at_once and not self._unwritten:
            self._stdin.write(line + b"\n")
            return
        if not self._unwritten:
            asyncio.get_running_loop().call_soon(self._flush)
        self._unwritten += (line, b"\n")

    def _flush(self) -> None:
        """Write what came in one turn of the loop at once: that wakes the server once, too."""
        if self._unwritten and self._stdin is not None and self._reads:
            self._stdin.write(b"".join(self._unwritten))
        self._unwritten.clear()

    async def stop(self) -> None:
        """End all of it: stdin closed, then SIGTERM, then SIGKILL, within `stop_timeout`."""
        if self._transport is None:
            return
        self._stopping = True
        self._flush()
        if self._stdin is not None:
            self._stdin.close()
        patience = self._server.stop_timeout
        for seconds, number in ((patience * 0.2, signal.SIGTERM), (patience * 0.8, signal.SIGKILL)):
            try:
                async with asyncio.timeout(seconds):
                    await self._ended.wait()
                break
            except TimeoutError:
                self._signal(number)
        await self._ended.wait()
        if self._sweeping is not None:
            await asyncio.wait({self._sweeping})

    def kill(self) -> None:
        """SIGKILL the whole group at once."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self.pid:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    # asyncio.SubprocessProtocol

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd != 1:
            self._stderr.feed(data)
            return
        for line in self._stdout.feed(data):
            if self._server.log_bodies:
                self._log("from server", line)
            self._on_line(line)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if fd != 2 and not self._stopping and not self._ended.is_set():
            what = "closed its stdout" if fd else "closed its stdin"
            asyncio.get_running_loop().call_later(_EXIT_AFTER_CLOSE, self._deaf, what)

    def _deaf(self, what: str) -> None:
        """It lives on, but nobody can talk with it."""
        if not self._ended.is_set() and not self._stopping:
            self._fault = self._fault or what
            self.kill()

    def process_exited(self) -> None:
        # What the leader started must not outlive it, nor keep its pipes open.
        self._signal(signal.SIGKILL)
        loop = asyncio.get_running_loop()
        self._sweeping = loop.create_task(asyncio.to_thread(kill_marked, self._mark))
        loop.call_later(_OUTPUT_AFTER_EXIT, self._finish)

    def connection_lost(self, exc: Exception | None) -> None:
        self._finish()

    def _finish(self) -> None:
        if self._finished:
            return
        self._finished = True
        if (line := self._stdout.rest()) is not None:
            self._on_line(line)
        self._stderr.close()
        self._ended.set()
        if self._transport is not None:
            self._on_exit(self._fault or _ending(self._transport.get_returncode()))
            self._transport.close()

    def _log(self, event: str, line: bytes | Oversize) -> None:
        kept = line.head + b" [...]" if isinstance(line, Oversize) else line
        log.info(event, extra={**self.tags, "text": kept.decode("utf-8", "replace")})


def _ending(code: int | None) -> str:
    if code is None:
        return "closed its output"
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"was ended by {signal.Signals(-code).name}"
    return f"exited with status {code}"


def _preparation(server: Server, loop: asyncio.AbstractEventLoop) -> Callable[[], None] | None:
    """What the new process does between fork and exec; None when there is nothing to do.

    uvloop lets it inherit copies of its pipes, and of what else is open: a server that closed its stdin
    would still hold it open.
    """
    seconds, leaky = server.cpu, type(loop).__module__.startswith("uvloop")
    if seconds is None and not leaky:
        return None

    def prepare() -> None:
        if seconds is not None:
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        if leaky:
            for name in os.listdir("/dev/fd"):  # noqa: PTH208 - the least that can be done after a fork
                if int(name) > 2:
                    with contextlib.suppress(OSError):
                        os.set_inheritable(int(name), False)

    return prepare
