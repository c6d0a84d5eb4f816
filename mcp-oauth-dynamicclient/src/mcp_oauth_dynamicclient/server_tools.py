"""What the gateway knows of a server's tools: what the server told last, with a statement that it was sent
(endpoints/internal_identity.py). Nobody is asked for a page, and none waits for this."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

from ._common.server_tools import digested_again
from .context import Context
from .errors import StoreUnavailableError
from .store.base import Entry

log = logging.getLogger(__name__)

PATIENCE = 1.0
"""Seconds after which a page goes without."""


@dataclass(frozen=True, slots=True)
class Tool:
    name: str
    """Its title, if it has one."""
    description: str
    deletes: bool
    """Whether the server says that it may delete or overwrite."""


@dataclass(frozen=True, slots=True)
class Tools:
    """Apart by what the server says of them, which nobody has checked (MCP, Tool annotations)."""

    count: int
    reading: tuple[Tool, ...]
    changing: tuple[Tool, ...]
    """Those of which it does not say that they only read, too."""

    @property
    def unnamed(self) -> int:
        return self.count - len(self.reading) - len(self.changing)

    @property
    def words(self) -> str:
        """As `12 tools`."""
        return f"{self.count or 'no'} tool{'' if self.count == 1 else 's'}"

    @property
    def apart(self) -> str:
        """`5 only read, 7 may change something`, or `all only read`; where not all are named, of those."""
        read, change = len(self.reading), len(self.changing)
        if self.unnamed:
            return f"of the first {read + change} {read} only read, {change} may change something"
        if read and change:
            return f"{read} only read{'s' if read == 1 else ''}, {change} may change something"
        if self.count == 1:
            return "it only reads" if read else "it may change something"
        return "all only read" if read else "all may change something"


async def note(ctx: Context, resource: str, told: object) -> None:
    """Keep what the server of a resource told of its tools. Raises StoreUnavailableError."""
    kept = digested_again(told)
    if kept is not None and "/" not in ctx.resources.name(resource):
        await ctx.store.put("tools", resource, kept, expires_at=ctx.now() + ctx.settings.server_lifetime)


async def of_server(ctx: Context, resource: str) -> Tools | None:
    """A server's tools; None where they are not known, or not known in time."""
    try:
        async with asyncio.timeout(PATIENCE):
            return _read(await ctx.store.get("tools", resource))
    except (TimeoutError, StoreUnavailableError) as error:
        _without(error)
        return None


async def of_all(ctx: Context) -> dict[str, Tools]:
    """The tools of all servers by resource; what was not read in time is missing."""
    found: dict[str, Tools] = {}
    try:
        async with asyncio.timeout(PATIENCE):
            async for entry in ctx.store.list("tools"):
                if (tools := _read(entry)) is not None:
                    found[entry.key] = tools
    except (TimeoutError, StoreUnavailableError) as error:
        _without(error)
    return found


def _without(error: TimeoutError | StoreUnavailableError) -> None:
    late = isinstance(error, TimeoutError)
    reason = f"it took longer than {PATIENCE:g} s" if late else error.__cause__ or error
    log.warning("a page goes without the tools: %s", reason)


def _read(entry: Entry | None) -> Tools | None:
    kept = digested_again(entry.value) if entry is not None else None
    if kept is None:
        return None
    reading: list[Tool] = []
    changing: list[Tool] = []
    for told in kept["tools"]:
        hints: dict[str, Any] = told.get("annotations", {})
        only_reads = hints.get("readOnlyHint") is True
        deletes = not only_reads and hints.get("destructiveHint") is True
        tool = Tool(told.get("title") or told["name"], told.get("description", ""), deletes)
        (reading if only_reads else changing).append(tool)
    return Tools(kept["count"], tuple(reading), tuple(changing))
