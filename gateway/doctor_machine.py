"""What the doctor sees on this machine of a local run: processes, port, edge, disk and database."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

from mcp_oauth_dynamicclient.settings import Settings
from mcp_streamablehttp_client._common.hop import Verdict, well

from .doctor_ask import CONNECT_SECONDS
from .doctor_troubles import trouble
from .health import edge_health, own_health
from .state import Running, State

LEAST_FREE = 100 * 2**20
"""Bytes."""
TRIES, PAUSE = 5, 1.0
"""How often a health check is asked, and the seconds between."""
LOCKED_FOR = 5.0
"""Seconds that a lock on the database may last."""


def check_processes(state: State, running: Running | None) -> Iterator[Verdict]:
    if running is None:
        what = (
            "no gateway of this folder runs" if not state.locked() else "the gateway has only begun to start"
        )
        yield trouble("starting" if state.locked() else "not running", what)
        return
    sound = True
    if not running.ready:
        yield trouble("starting", "the gateway is starting")
    for name, service in running.services.items():
        how = process_state(service.pid)
        if how in ("T", "t"):
            what = f"the process {service.pid} of {name} is stopped"
            yield trouble("process is stopped", what, pid=service.pid)
        elif how in ("", "Z"):
            yield trouble("process ended", f"{name} does not run: {service.ended or 'it ended'}", name=name)
        elif service.ended:
            what = f"{name} {service.ended}, and was started again"
            yield trouble("process was started again", what, name=name)
        else:
            continue
        sound = False
    for name, problem in running.problems.items():
        yield trouble("server missing", f"{name} is not served", problem, name=name)
        sound = False
    if sound:
        yield well("process", f"{len(running.services)} processes run")


def process_state(pid: int) -> str:
    """The letter of proc(5); empty where there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        if Path("/proc/self/stat").exists():
            return ""
    with suppress(OSError):
        os.kill(pid, 0)
        return "S"
    return ""


async def check_health(running: Running, settings: Settings) -> AsyncIterator[Verdict]:
    """The port, the authorization server behind it, and the edge between them."""
    try:
        _, writer = await asyncio.wait_for(
            asyncio.open_connection("127.0.0.1", running.port), CONNECT_SECONDS
        )
        writer.close()
        yield well("port", f"{running.port} answers")
    except (OSError, TimeoutError) as problem:
        yield trouble("port", f"nobody answers at port {running.port}", str(problem))
        return
    auth = running.services.get("auth")
    if auth is None:
        return
    said = await _patiently(lambda: own_health(auth.port), auth.pid)
    if said == "healthy":
        yield well("authorization server", "healthy")
    elif said is None:
        if process_state(auth.pid) not in ("", "Z", "T", "t"):
            yield trouble("process hangs", "the authorization server does not answer", name="auth")
        return
    else:
        yield trouble("store is away", "the authorization server cannot serve", said)
    if await _patiently(lambda: edge_health(running.port, settings.issuer), auth.pid) == "healthy":
        yield well("edge", "leads to the authorization server")
    elif said == "healthy":
        metadata = f"{settings.issuer}/.well-known/oauth-authorization-server"
        yield trouble("edge", f"the edge does not lead {metadata} to the authorization server")


async def _patiently(ask: Callable[[], str | None], pid: int) -> str | None:
    """A busy machine gets some time; a process that cannot answer gets none."""
    for _ in range(TRIES):
        said = await asyncio.to_thread(ask)
        if said is not None or process_state(pid) in ("", "Z", "T", "t"):
            return said
        await asyncio.sleep(PAUSE)
    return None


def check_disk(folder: Path, *, writable: bool = True) -> Verdict:
    """`writable` is whether whoever asks has to be able to write there."""
    free = shutil.disk_usage(folder).free
    if free < LEAST_FREE:
        return trouble("disk", f"{free // 2**20} MiB are free", folder=folder)
    if writable and not os.access(folder, os.W_OK):
        return trouble("folder", f"{folder} cannot be written", folder=folder)
    return well("disk", f"{free / 2**30:.1f} GiB are free at {folder}")


def check_database(url: str, running: Running | None) -> Verdict:
    """The verdict on an SQLite store: there, the one that is in use, and not locked."""
    file = Path(url.removeprefix("sqlite:///"))
    auth = running.services.get("auth") if running else None
    if not file.exists() or (auth is not None and str(file) in _deleted(auth.pid)):
        what = f"the database {file} was deleted" + (" while it is in use" if auth else "")
        return trouble("database wiped", what)
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=rw", uri=True, timeout=LOCKED_FOR)) as database:
            database.isolation_level = None
            # Only who asks for the lock that writers take learns that somebody keeps it; nothing is written.
            database.execute("BEGIN IMMEDIATE")
            database.execute("ROLLBACK")
    except sqlite3.Error as problem:
        if "locked" in str(problem):
            holders = [pid for pid in _holding(file) if auth is None or pid != auth.pid]
            named = ", ".join(f"process {pid} ({_command(pid)})" for pid in holders) or "a process"
            what = f"the database has been locked for {LOCKED_FOR:.0f} s"
            return trouble("store is locked", what, str(problem), file=file, holders=named)
        if "readonly" in str(problem) or "unable to open" in str(problem):
            return trouble("folder", f"{file} cannot be written", str(problem), folder=file.parent)
        return trouble("store is away", f"the database {file} cannot be used", str(problem))
    return well("store", "the database can be read and written")


def _deleted(pid: int) -> set[str]:
    """Files that the process has open although they were deleted."""
    return {name.removesuffix(" (deleted)") for name in _open_files(pid) if name.endswith(" (deleted)")}


def _holding(file: Path) -> list[int]:
    names = {str(file), f"{file}-wal", f"{file}-shm"}
    everybody = (int(entry.name) for entry in Path("/proc").glob("[0-9]*"))
    return [pid for pid in everybody if pid != os.getpid() and names & set(_open_files(pid))]


def _open_files(pid: int) -> Iterator[str]:
    with suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                yield str(entry.readlink())


def _command(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return "?"
