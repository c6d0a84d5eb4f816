"""`./justw run` in a world of its own, on SQLite or Redis, and everything that can be done to it."""

from __future__ import annotations

import asyncio
import json
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from gateway.services import BIN
from gateway.state import State
from tests.conftest import Gateway, LocalRun, free_port
from tests.local.test_expired import issue

from . import world
from .client import IDLE
from .place import COUNTING, GONE_WITHIN, LASTS, STEP, Blow, EdgeWatch, descendants, is_counting, signalled
from .record import Record

SERVED = ("auth", "count", "echo-stateful", "echo-stateless")
CLOCKED = (
    "mcp-oauth-server",
    "mcp-streamablehttp-proxy",
    "mcp-echo-streamablehttp-server-stateful",
    "mcp-echo-streamablehttp-server-stateless",
)
"""Programs whose clock can be moved. Traefik is linked statically and keeps the machine's."""
STEPS = ("-300s", "-40s", "+40s", "+300s")
DISK_MB = 256
START_WITHIN = 480.0
KEPT = re.compile(
    r"(auth|echo)\.db(-wal|-shm)?|logs|edge|redis|lock|secret|run\.out|(servers|mcp|findings)\.json|tmp"
)
"""What is in the folder of a run that has ended."""


@dataclass
class LocalPlace:
    folder: Path
    record: Record
    store: str
    """`sqlite` or `redis`."""

    revoked_within = 0.0

    def __post_init__(self) -> None:
        self._run = LocalRun(free_port(), self.folder, start_within=START_WITHIN)
        self._state = State(self.folder)
        self._written = self.folder.with_name("written")  # on a disk that is never full
        self._offset = self.folder.with_name("clock")
        self._temporary = self.folder / "tmp"
        self._redis = Redis(self.folder / "redis", record=self.record)
        self._issuer = f"http://localhost:{self._run.port}"
        self._edge = EdgeWatch(self.record, self._issuer, lambda: self._pid("traefik"))

    @property
    def store_url(self) -> str:
        return self._redis.url if self.store == "redis" else f"sqlite:///{self.folder / 'auth.db'}"

    async def start(self) -> Gateway:
        world.disk(self.folder, DISK_MB)
        self._temporary.mkdir()
        self._give_them_a_clock()
        if self.store == "redis":
            await self._redis.start()
        servers = self.folder / "mcp.json"
        entry = {"command": sys.executable, "args": [str(COUNTING), str(self._written)], "idleTimeout": IDLE}
        servers.write_text(json.dumps({"mcpServers": {"count": entry}}))
        await asyncio.to_thread(
            lambda: self._run.start(
                str(servers),
                STORE_URL=self.store_url,
                BRIDGE_ON_PYPI="true",
                REGISTRATIONS_PER_HOUR="1000000",
                TMPDIR=str(self._temporary),
            )
        )
        return Gateway(self._issuer, self._issuer + "/{name}/mcp", self._run.password(), self.folder)

    async def stop(self) -> None:
        self._edge.stop()
        await self._sessions_end()
        status = await asyncio.to_thread(self._run.stop)
        if status != 0:
            self.record.violated(f"the run ended with status {status}")
        await self._redis.stop()
        await self._processes_end()
        for command in world.processes().values():
            self.record.violated(f"a process is left: {command}")
        for port in world.listening():
            self.record.violated(f"port {port} is still open")
        left = [path.name for path in self.folder.iterdir() if not KEPT.fullmatch(path.name)]
        for name in (*left, *(path.name for path in self._temporary.iterdir())):
            self.record.violated(f"a file is left: {name}")
        world.no_disk(self.folder)

    def executed(self) -> list[str]:
        return self._written.read_text().splitlines() if self._written.exists() else []

    async def expired(self, resource: str) -> str:
        return await issue(self._run, resource, lambda: time.time() - 7200, store_url=self.store_url)

    # blows

    def blow(self, choice: random.Random) -> Blow:
        lasts = choice.uniform(*LASTS)
        names = ("traefik", *SERVED, *(("redis",) if self.store == "redis" else ()))
        what = choice.choice(
            ("kill", "kill", "end", "pause", "pause", "cut", "cut", "child", "fill", "clock")
        )
        name, answer, step = choice.choice(names), choice.choice(("DROP", "REJECT")), choice.choice(STEPS)
        match what:
            case "kill":
                return Blow(what, name, lambda: self._end(name, signal.SIGKILL))
            case "end":
                return Blow(what, name, lambda: self._end(name, signal.SIGTERM))
            case "pause":
                return Blow(what, name, lambda: self._pause(name, lasts))
            case "cut":
                return Blow(f"cut off ({answer})", name, lambda: self._cut(name, answer, lasts))
            case "child":
                return Blow("kill a child of", "count", lambda: self._kill_child(choice))
            case "fill":
                return Blow("fill the disk of", "all", lambda: self._fill(lasts))
        return Blow(f"move by {step} the clock of", "all", lambda: self._move_clock(step, lasts))

    async def _end(self, name: str, number: signal.Signals) -> bool:
        pid = self._pid(name)
        if not pid:
            return False
        self.record.ended[name] += 1
        if name == "traefik":
            self._edge.ended(pid)
        return signalled(pid, number)

    async def _pause(self, name: str, lasts: float) -> bool:
        pid = self._pid(name)
        if not pid or not signalled(pid, signal.SIGSTOP):
            return False
        try:
            await asyncio.sleep(lasts)
        finally:
            signalled(pid, signal.SIGCONT)
        return True

    async def _cut(self, name: str, answer: str, lasts: float) -> bool:
        running = self._state.running()
        port = self._redis.port if name == "redis" else running.services[name].port if running else 0
        if not port:
            return False
        world.cut(port, answer)
        try:
            await asyncio.sleep(lasts)
        finally:
            world.mend(port, answer)
        return True

    async def _kill_child(self, choice: random.Random) -> bool:
        found = [pid for pid in descendants(self._pid("count")) if is_counting(pid)]
        if not found:
            return False
        self.record.ended["count"] += 1
        return signalled(choice.choice(found), signal.SIGKILL)

    async def _fill(self, lasts: float) -> bool:
        room = self.folder / "room"
        try:
            await asyncio.to_thread(_fill_with, room)
            await asyncio.sleep(lasts)
        finally:
            room.unlink()
        return True

    async def _move_clock(self, step: str, lasts: float) -> bool:
        """As an operator does who sets it, and somebody who sets it back."""
        self.record.clock_steps += 1
        self._set_clock(step)
        try:
            await asyncio.sleep(lasts)
        finally:
            self.record.clock_steps += 1
            self._set_clock("+0s")
        return True

    def _pid(self, name: str) -> int:
        if name == "redis":
            return self._redis.pid
        running = self._state.running()
        return running.services[name].pid if running and name in running.services else 0

    # what is left

    async def _sessions_end(self) -> None:
        """Nobody uses them any more: sessions and processes of the counting server end by themselves."""
        running = self._state.running()
        assert running is not None, self._run.text()[-3000:]
        url = f"http://127.0.0.1:{running.services['count'].port}/metrics"
        deadline = time.monotonic() + GONE_WITHIN
        async with httpx.AsyncClient(trust_env=False, timeout=GONE_WITHIN) as http:
            while True:
                page = ""
                with suppress(httpx.HTTPError):
                    page = (await http.get(url)).text
                counted = re.findall(
                    r'^mcp_proxy_(?:sessions|children)\{server="count"\} (\S+)', page, re.MULTILINE
                )
                held = [pid for pid in world.processes() if is_counting(pid)]
                if not held and counted and set(counted) == {"0.0"}:
                    return
                if time.monotonic() > deadline:
                    self.record.violated(
                        f"sessions and processes that stay: {counted}, {len(held)} processes"
                    )
                    return
                await asyncio.sleep(0.5)

    async def _processes_end(self) -> None:
        """Those of the browser and of Redis may take their time."""
        deadline = time.monotonic() + GONE_WITHIN
        while (world.processes() or world.listening()) and time.monotonic() < deadline:
            await asyncio.sleep(STEP)

    # clocks

    def _set_clock(self, step: str) -> None:
        """In one step: the file is read whenever a program asks for the time."""
        draft = self._offset.with_name("clock.draft")
        draft.write_text(step)
        draft.replace(self._offset)

    def _give_them_a_clock(self) -> None:
        """Each program is started with libfaketime, which reads how far the clock is moved from one file."""
        library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
        self._set_clock("+0s")
        settings = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._offset),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_RESET": "1",
        }
        given = " ".join(f"{name}={shlex.quote(value)}" for name, value in settings.items())
        for name in CLOCKED:
            itself, started = self.folder.with_name(f"{name}.real"), self.folder.with_name(name)
            shutil.copy(BIN / name, itself)
            started.write_text(f'#!/bin/sh\nexport {given}\nexec {shlex.quote(str(itself))} "$@"\n')
            started.chmod(0o755)
            world.in_its_place(BIN / name, started)


class Redis:
    """A redis-server that has each write on its disk before it answers; started again whenever it ends."""

    def __init__(self, folder: Path, record: Record) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.pid = 0
        self._folder = folder
        self._record = record
        self._keeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._folder.mkdir()
        self._keeper = asyncio.create_task(self._keep())
        while True:
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.close()
                return
            await asyncio.sleep(0.05)

    async def stop(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeper

    async def _keep(self) -> None:
        safe = ("--appendonly", "yes", "--appendfsync", "always", "--save", "")
        place = ("--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self._folder))
        while True:
            process = await asyncio.create_subprocess_exec(
                "redis-server", *place, *safe, stdout=subprocess.DEVNULL
            )
            self.pid = process.pid
            try:
                await process.wait()
            except asyncio.CancelledError:
                process.terminate()
                await process.wait()
                raise
            self._record.counts["redis-server started again"] += 1
            await asyncio.sleep(1)


def _fill_with(room: Path) -> None:
    with room.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 4096)
