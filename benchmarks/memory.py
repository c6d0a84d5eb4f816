"""What a process keeps in memory, read from /proc (Linux)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path


def resident_mb(pid: int, *, without: Sequence[str] = ()) -> float:
    """Resident MB of a process and those it started, except the ones whose command line holds `without`.

    Whatever such a process started in its turn is left out with it.
    """
    return round(sum(_resident(one) for one in _tree(pid, tuple(without))) / 1024, 1)


def _tree(pid: int, without: tuple[str, ...]) -> Iterator[int]:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        if without and command[: len(without)] == list(without):
            return
        yield pid
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in (thread / "children").read_text().split():
                yield from _tree(int(child), without)
    except (FileNotFoundError, ProcessLookupError):
        return


def _resident(pid: int) -> int:
    """kB."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")), 0)
