"""Notices that a file was changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

_PAUSE = 1.0
"""Seconds between looks. A look costs a microsecond and sees what notifications of the system miss: mounted
files, and editors that put a new file in the place of the old one."""


def changes(file: Path, pause: float = _PAUSE) -> AsyncIterator[None]:
    """An item for each look that finds another file than the look before, the first of which is now; a file
    that is away is waited for."""
    return _changes(file, _mark(file), pause)


async def _changes(file: Path, seen: tuple[int, int, int] | None, pause: float) -> AsyncIterator[None]:
    while True:
        await asyncio.sleep(pause)
        mark = _mark(file)
        if mark is not None and mark != seen:
            seen = mark
            yield


def _mark(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
