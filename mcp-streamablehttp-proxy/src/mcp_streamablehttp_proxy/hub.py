"""All servers behind one proxy: started, swept, reloaded and closed together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Final

from .endpoint import Endpoint
from .metrics import Metrics
from .modern.dialect import open_for_sessions
from .modern.probe import Prober
from .pool import Pool
from .security import Guard
from .settings import Server, Settings, SettingsError, check

log = logging.getLogger(__name__)

_SWEEP: Final = 5.0


class Hub:
    """Endpoints by server name. Raises SettingsError for servers that contradict the settings."""

    def __init__(self, servers: Iterable[Server], settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.endpoints: dict[str, Endpoint] = {}
        self._guard = Guard(settings)
        self._sweeper: asyncio.Task[None] | None = None
        self._retiring: set[asyncio.Task[None]] = set()
        servers = tuple(servers)
        check(settings, servers)
        for server in servers:
            self._add(server)

    def _add(self, server: Server) -> Endpoint:
        metrics = self.metrics.server(server.name)
        pool = Pool(server, {"handshake": open_for_sessions, "modern": Prober().open}, metrics)
        endpoint = Endpoint(server, self.settings, self._guard, pool, metrics)
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

    def drain(self) -> None:
        """End what would never end by itself, so that only calls in flight are waited for."""
        for endpoint in self.endpoints.values():
            endpoint.drain()

    async def close(self) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sweeper
            self._sweeper = None
        await asyncio.gather(*(endpoint.close() for endpoint in self.endpoints.values()))
        if self._retiring:
            await asyncio.gather(*self._retiring, return_exceptions=True)

    async def _sweep(self) -> None:
        while True:
            shortest = min((e.server.idle_timeout for e in self.endpoints.values()), default=_SWEEP)
            await asyncio.sleep(min(_SWEEP, shortest / 2))
            for endpoint in list(self.endpoints.values()):
                endpoint.sweep()

    # reloading

    def reload(self, read: Callable[[], tuple[Server, ...]]) -> None:
        """Take over a new list of servers; one that is unchanged keeps its sessions.

        A list that cannot be read or is wrong changes nothing.
        """
        try:
            servers = read()
            check(self.settings, servers)
        except (SettingsError, OSError) as problem:
            log.error("servers not reloaded", extra={"problem": str(problem)})  # noqa: TRY400
            return
        wanted = {server.name: server for server in servers}
        for name, endpoint in list(self.endpoints.items()):
            if wanted.get(name) != endpoint.server:
                del self.endpoints[name]
                self._retire(endpoint)
        for name, server in wanted.items():
            if name not in self.endpoints:
                endpoint = self._add(server)
                if self.started:
                    endpoint.pool.warm()
        log.info("servers reloaded", extra={"servers": sorted(self.endpoints)})

    def _retire(self, endpoint: Endpoint) -> None:
        task = asyncio.create_task(endpoint.retire())
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    # health

    def troubles(self) -> dict[str, str]:
        """Reason by name, for each server that cannot be used now."""
        found = {name: endpoint.pool.trouble for name, endpoint in self.endpoints.items()}
        return {name: reason for name, reason in found.items() if reason is not None}
