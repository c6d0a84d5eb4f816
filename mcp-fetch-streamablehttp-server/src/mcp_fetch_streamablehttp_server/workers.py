"""The processes that read bodies: started when there is something to read, ended when idle or too long at it.

No page is computed on in the server's own process, so none can make another caller wait beyond its deadline.
"""

from __future__ import annotations

import asyncio
import json
import logging
import struct
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Self

from prometheus_client import CollectorRegistry, Gauge

from ._common.turns import Turns
from .errors import FetchError
from .reading.document import Document, UnreadableError
from .reading.read import Job
from .worker import document_of, job_head

_LONGEST_ANSWER = 64 * 1024 * 1024
log = logging.getLogger(__name__)


class WorkerEndedError(Exception):
    """The kernel or the process itself put an end to it; the answer is lost."""


class Workers:
    """`size` processes; one caller has at most all but one of them, so that another always finds one."""

    def __init__(self, size: int, idle_seconds: float = 60) -> None:
        self.idle_seconds = idle_seconds
        self.started = 0
        self._turns = Turns(size, max(1, size - 1))
        self._idle: list[Worker] = []
        self._ending: set[asyncio.Task[int]] = set()

    def count_in(self, registry: CollectorRegistry) -> None:
        """Show the idle processes, and how many were started, as metrics."""
        running = Gauge(
            "mcp_fetch_workers_idle", "Processes that wait for something to read", registry=registry
        )
        running.set_function(lambda: len(self._idle))
        started = Gauge("mcp_fetch_workers_started", "Processes started so far", registry=registry)
        started.set_function(lambda: self.started)

    async def read(self, body: bytes, job: Job, caller: str) -> Document:
        """Raises FetchError. Cancelled at a deadline, it ends the process that was at work."""
        async with self._turns.of(caller):
            try:
                return await self._attempt(body, job)
            except WorkerEndedError:
                log.warning("a reading process ended at %s", job.url)
            try:
                return await self._attempt(body, replace(job, plain=True))
            except WorkerEndedError as error:
                raise FetchError(
                    "The page takes more time or memory to read than one page is given."
                ) from error

    async def _attempt(self, body: bytes, job: Job) -> Document:
        worker = await self._worker()
        try:
            document = await worker.read(body, job)
        except UnreadableError as error:
            self._rest(worker)
            raise FetchError(str(error)) from error
        except BaseException:
            self._end(worker)
            raise
        self._rest(worker)
        return document

    async def _worker(self) -> Worker:
        while self._idle:
            worker = self._idle.pop()
            worker.stay()
            if not worker.ended:
                return worker
            self._end(worker)
        self.started += 1
        return await Worker.start()

    def _rest(self, worker: Worker) -> None:
        def leave() -> None:
            self._idle.remove(worker)
            self._end(worker)

        self._idle.append(worker)
        worker.leave_after(self.idle_seconds, leave)

    def _end(self, worker: Worker) -> None:
        worker.end()
        ending = asyncio.create_task(worker.process.wait())
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    async def aclose(self) -> None:
        idle, self._idle = self._idle, []
        for worker in idle:
            self._end(worker)
        await asyncio.gather(*self._ending)


class Worker:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self._leaving: asyncio.TimerHandle | None = None

    @classmethod
    async def start(cls) -> Self:
        # Isolated, and without the server's environment: a page that breaks out finds no secret in it.
        module = f"{__package__}.worker"
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-m", module, env={"LC_ALL": "C.UTF-8"},
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            limit=1024 * 1024,
        )  # fmt: skip
        return cls(process)

    @property
    def ended(self) -> bool:
        return (
            self.process.returncode is not None or self.process.stdout is None or self.process.stdout.at_eof()
        )

    async def read(self, body: bytes, job: Job) -> Document:
        """Raises WorkerEndedError, UnreadableError."""
        assert self.process.stdin is not None and self.process.stdout is not None  # noqa: PT018
        head = json.dumps(job_head(job) | {"parts": [len(body)]}).encode()
        try:
            self.process.stdin.write(b"".join((struct.pack("!I", len(head)), head, body)))
            await self.process.stdin.drain()
            source = self.process.stdout
            (length,) = struct.unpack("!I", await source.readexactly(4))
            answer = json.loads(await source.readexactly(min(length, _LONGEST_ANSWER)))
            lengths = answer.pop("parts")
            if sum(lengths) > _LONGEST_ANSWER:
                raise WorkerEndedError
            text, image = [await source.readexactly(length) for length in lengths]
        except (asyncio.IncompleteReadError, ConnectionError, ValueError) as error:
            raise WorkerEndedError from error
        return document_of(answer, text, image)

    def stay(self) -> None:
        if self._leaving is not None:
            self._leaving.cancel()

    def leave_after(self, seconds: float, leave: Callable[[], None]) -> None:
        self._leaving = asyncio.get_running_loop().call_later(seconds, leave)

    def end(self) -> None:
        self.stay()
        if self.process.returncode is None:
            self.process.kill()
