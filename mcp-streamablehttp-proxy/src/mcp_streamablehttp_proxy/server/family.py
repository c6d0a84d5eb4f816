"""All processes that a server process has started, also those that left its process group.

They are found by a mark in their environment, which they inherit: a container gives us no cgroup of our own,
and a subreaper would take the exits of the servers themselves from asyncio. Only on Linux.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
from pathlib import Path

VARIABLE = "MCP_PROXY_PROCESS"
_PROC = Path("/proc")
_PASSES = 10
_PAGE = os.sysconf("SC_PAGE_SIZE")


def new_mark() -> str:
    """The value of VARIABLE for one server process."""
    return secrets.token_hex(16)


def kill_marked(mark: str) -> None:
    """SIGKILL all that carry a mark. Reads all of /proc: for a thread.

    One that is being forked meanwhile is found in the next pass.
    """
    for _ in range(_PASSES):
        found = _marked(mark)
        if not found:
            return
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def _marked(mark: str) -> list[int]:
    sought = f"{VARIABLE}={mark}".encode()
    found = []
    for entry in _PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if sought in (entry / "environ").read_bytes().split(b"\0") and not _ended(entry):
                found.append(int(entry.name))
    return found


def _ended(entry: Path) -> bool:
    return (entry / "stat").read_text().rpartition(")")[2].split()[0] in "ZX"


def memory_in_use(pid: int) -> int:
    """Resident bytes of a process and of all its descendants; 0 where that cannot be known."""
    total, waiting = 0, [pid]
    while waiting:
        entry = _PROC / str(waiting.pop())
        with contextlib.suppress(OSError, ValueError, IndexError):
            total += int((entry / "statm").read_text().split()[1]) * _PAGE
            for children in entry.glob("task/*/children"):
                waiting += map(int, children.read_text().split())
    return total
