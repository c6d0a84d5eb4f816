"""What the page at / says is wrong: looked at every few seconds by the local run itself, by what costs next
to nothing; no process is started for it, and no server called. What `just doctor` found stands a while."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from mcp_oauth_dynamicclient.settings import Settings
from mcp_streamablehttp_client._common.hop import Verdict

from .doctor_client import unwell
from .doctor_machine import check_database, check_disk, check_processes
from .doctor_refusals import check_refusals, end_of
from .doctor_servers import known_servers
from .state import Running, State, write_private

LOOK = 5.0
"""Seconds between looks."""
STANDS = 600.0
"""Seconds for which the findings of a whole walk are shown."""
SEEN_ANYWAY = ("process", "disk")
"""Hops of which a look sees all that a walk does, and newer."""


async def watch(state: State, settings: Settings) -> None:
    """Look again and again, until it is cancelled."""
    began = time.time()
    told: list[Verdict] | None = None
    while True:
        now = await asyncio.to_thread(look, state, settings)
        now += [verdict for verdict in walked(state, began) if verdict not in now]
        if now != told:
            with suppress(OSError):  # a full disk: what was told before stands
                write(state.findings, now)
                told = now
        await asyncio.sleep(LOOK)


def look(state: State, settings: Settings) -> list[Verdict]:
    """What is wrong, without a call of any server."""
    running = state.running()
    if running is None or not running.ready:
        return []
    found = [*check_processes(state, running), *_servers(state, running), check_disk(state.folder)]
    if settings.store_url.startswith("sqlite:"):
        found.append(check_database(settings.store_url, running))
    with suppress(OSError):
        log = state.logs / "auth.log" if settings.audit_log == "-" else Path(settings.audit_log)
        found += check_refusals(end_of(log))
    return _ill(found)


def _servers(state: State, running: Running) -> list[Verdict]:
    """One that does not answer is told by its process."""
    known = known_servers(state, running, silent="")
    return [
        unwell(name, server, "it is not well", server.ill) for name, server in known.items() if server.ill
    ]


def walked(state: State, began: float) -> list[Verdict]:
    """What the last whole walk found since this run began, and a look would not see."""
    try:
        at = state.walked.stat().st_mtime
        hops = json.loads(state.walked.read_text())["hops"]
    except (OSError, ValueError):
        return []
    found = [Verdict(**hop) for hop in hops] if at > max(began, time.time() - STANDS) else []
    return [verdict for verdict in _ill(found) if verdict.hop not in SEEN_ANYWAY]


def write(file: Path, found: Sequence[Verdict]) -> None:
    """Write what was found, for the file's owner only: it says who was refused. Raises OSError."""
    write_private(file, json.dumps({"hops": [asdict(verdict) for verdict in found]}))


def _ill(found: Sequence[Verdict]) -> list[Verdict]:
    return [verdict for verdict in found if verdict.state in ("wrong", "warning")]
