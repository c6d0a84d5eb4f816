"""A full disk stops neither a service nor the run that reads what it says."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from gateway.process import Process
from gateway.services import Service

FULL = Path("/dev/full")
"""Takes nothing, and says that there is no space left (Linux)."""
LINES = 2000
"""More than a pipe holds that nobody reads."""


async def test_a_service_whose_log_cannot_be_written_is_read_all_the_same() -> None:
    program = f"for number in range({LINES}): print(number, 'x' * 100)"
    last = asyncio.Event()

    def show(_: str, line: str) -> None:
        if line.startswith(f"{LINES - 1} "):
            last.set()

    process = Process(Service("talker", (sys.executable, "-c", program), 0), FULL, show)
    await process.start()
    try:
        await asyncio.wait_for(last.wait(), 60)
        assert await asyncio.wait_for(process.wait(), 60) == 0
    finally:
        await process.stop()
