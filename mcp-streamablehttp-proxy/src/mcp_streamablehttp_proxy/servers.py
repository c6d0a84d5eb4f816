"""All servers behind one proxy: started, swept, reloaded and closed together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from ._common.parked_calls import ParkedCalls
from ._common.replica_forwarding import Forwarder
from ._common.replica_set import ReplicaSet
from ._common.settings import SettingsError
from .combined.combination import combining
from .combined.names import Names
from .config import Configuration
from .config.watch import changes
from .endpoint import Endpoint
from .metrics import Metrics
from .security import Guard
from .server.backing import Make
from .server.child import Child
from .server.openers import Openers
from .server.pool import Pool
from .settings import CombinedServer, RemoteServer, Server, Settings, check

log = logging.getLogger(__name__)

DEFAULT_NAME = "default"
"""Name of a single server given as a command, if it has no other."""

_SWEEP = 5.0
_WATCH = 1.0
"""Seconds between looks at the memory of servers that have a limit."""


class Servers:
    """Endpoints by server name. Raises SettingsError for servers that contradict the settings."""

    def __init__(self, servers: Iterable[Server], settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.endpoints: dict[str, Endpoint] = {}
        self.root = DEFAULT_NAME
        """Name of the server at `/mcp`; the others are at `/NAME/mcp`."""
        self.broken: Mapping[str, str] = {}
        """Reason by name, for servers of the file that cannot be served as they are written there."""
        self.replicas = ReplicaSet(settings.replicas) if settings.replicas else None
        self.forwarder = Forwarder()
        self.guard = Guard(settings)
        self._sweeper: asyncio.Task[None] | None = None
        self._source: tuple[AsyncIterator[None], Callable[[], Configuration]] | None = None
        self._follower: asyncio.Task[None] | None = None
        self._retiring: set[asyncio.Task[None]] = set()
        servers = tuple(servers)
        check(settings, servers)
        self.combined: Endpoint | None = None
        """All servers together, at /mcp."""
        for server in servers:
            self._add(server)
        self._combine()

    @property
    def _all(self) -> list[Endpoint]:
        return [*self.endpoints.values(), *([self.combined] if self.combined is not None else [])]

    def _combine(self) -> None:
        """Make the combination of the servers as they are now; sessions of an older one end."""
        if not self.settings.combine:
            return
        if self.combined is not None:
            self._retire(self.combined)
        parts = {name: one for name, one in self.endpoints.items() if one.server.combined}
        server = CombinedServer()
        names = Names({name: one.server.prefix for name, one in parts.items()})
        metrics = self.metrics.server(server.name)
        openers = Openers(ParkedCalls(), patience=server.start_timeout)
        make = combining({name: one.pool for name, one in parts.items()}, names)
        pool = Pool(server, openers, metrics, make)
        self.combined = Endpoint(server, self.settings, self.guard, pool, metrics, self.replicas)

    def _add(self, server: Server) -> Endpoint:
        if server.alone:
            self.root = server.name
        metrics = self.metrics.server(server.name)
        told = self.settings.identity_url is not None
        pool = Pool(server, Openers(ParkedCalls()), metrics, _making(server), tells_tools=told)
        endpoint = Endpoint(server, self.settings, self.guard, pool, metrics, self.replicas)
        self.endpoints[server.name] = endpoint
        return endpoint

    # life

    @property
    def started(self) -> bool:
        return self._sweeper is not None

    def start(self) -> None:
        """Begin sweeping and prewarming; called by the first request if nobody else did."""
        if self._sweeper is None:
            self._sweeper = asyncio.create_task(self._sweep())
            if self._source is not None:
                self._follower = asyncio.create_task(self._follow(*self._source))
            for endpoint in self.endpoints.values():
                endpoint.pool.warm()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Start on entry; on exit close every session and end every child."""
        self.start()
        try:
            yield
        finally:
            await self.close()

    def drain(self, grace: float | None = None) -> None:
        """End what would never end by itself, so that only calls in flight are waited for.

        Those that are not answered in `grace` seconds are answered with an error.
        """
        self.forwarder.drain()
        for endpoint in self._all:
            endpoint.drain()
        if grace is not None:
            asyncio.get_running_loop().call_later(grace, self.abandon)

    def abandon(self) -> None:
        """Answer all open calls with an error, before their connections are cut."""
        for endpoint in self._all:
            endpoint.abandon("did not answer before the proxy was shut down")

    async def close(self) -> None:
        for task in (self._sweeper, self._follower):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        self._sweeper = self._follower = None
        await self.forwarder.aclose()
        await asyncio.gather(*(endpoint.close() for endpoint in self._all))
        if self._retiring:
            await asyncio.gather(*self._retiring, return_exceptions=True)

    async def _sweep(self) -> None:
        while True:
            servers = [endpoint.server for endpoint in self.endpoints.values()]
            shortest = min((server.idle_timeout for server in servers), default=_SWEEP)
            watched = any(server.memory is not None for server in servers)
            await asyncio.sleep(min(_WATCH if watched else _SWEEP, shortest / 2))
            for endpoint in self._all:
                endpoint.sweep()

    # reloading

    def follow(self, file: Path, read: Callable[[], Configuration]) -> None:
        """Reload whenever a file is changed."""
        self._source = changes(file), read

    async def _follow(self, changed: AsyncIterator[None], read: Callable[[], Configuration]) -> None:
        async for _ in changed:
            self.reload(read)

    def reload(self, read: Callable[[], Configuration]) -> None:
        """Take over a new list of servers; one that is unchanged keeps its sessions.

        A list that cannot be read or is wrong changes nothing, nor does a broken entry for its server.
        """
        try:
            configuration = read()
            check(self.settings, configuration.servers)
        except (SettingsError, OSError) as problem:
            log.error("servers not reloaded", extra={"problem": str(problem)})  # noqa: TRY400
            return
        configuration.report()
        self.broken = configuration.broken
        wanted = {server.name: server for server in configuration.servers}
        before = dict(self.endpoints)
        for name, endpoint in list(self.endpoints.items()):
            if name not in self.broken and wanted.get(name) != endpoint.server:
                del self.endpoints[name]
                self._retire(endpoint)
        for name, server in wanted.items():
            if name not in self.endpoints:
                endpoint = self._add(server)
                if self.started:
                    endpoint.pool.warm()
        if self.endpoints != before:
            self._combine()
        log.info("servers reloaded", extra={"servers": sorted(self.endpoints)})

    def _retire(self, endpoint: Endpoint) -> None:
        task = asyncio.create_task(endpoint.retire())
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    # what is known of them

    def said_at(self, path: str) -> Mapping[str, Any]:
        """The `serverInfo` of the server whose endpoint has this path, and as `tools` a digest of them; as
        far as they are known."""
        name = self.root if path == "/mcp" else path[1:].removesuffix("/mcp")
        endpoint = self.endpoints.get(name)
        if endpoint is None:
            return {}
        tools = endpoint.pool.tools.digest
        return {**endpoint.pool.self_description, **({} if tools is None else {"tools": tools})}

    def troubles(self) -> dict[str, str]:
        """Reason by name, for each server that cannot be used now."""
        found = {name: endpoint.pool.trouble for name, endpoint in self.endpoints.items()}
        told = {name: reason for name, reason in found.items() if reason is not None}
        return {**told, **{name: why for name, why in self.broken.items() if name not in self.endpoints}}


def _making(server: Server) -> Make:
    """What its pool starts."""
    if isinstance(server, RemoteServer):
        from .remote.link import make_remote  # and httpx: five megabytes that only such a server needs

        return make_remote
    return Child
