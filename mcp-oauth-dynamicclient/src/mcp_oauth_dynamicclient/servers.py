"""Which servers exist.

One source, by what is configured: the routes of the edge, read from Traefik's own API (EDGE_URL); or a list
in the settings (SERVERS), for edges that cannot be asked; or neither, and then every address of the right
shape counts as a server. Names that the edge has had are kept in the store, so a server that is away for a
while keeps its metadata and its tokens.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Callable
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Protocol

import httpx

from .errors import StoreUnavailableError
from .settings import Settings, Shape
from .store.recent import RecentStore

if TYPE_CHECKING:
    from .resources import Resources

log = logging.getLogger(__name__)

MIDDLEWARE = "server@file"
"""What every server's route passes (traefik/dynamic.yml). A route without it is no server's: pages behind it
would run in the authorization server's origin."""
FRESH = 2.0
"""Seconds for which the routes that were read last are relied on."""
QUIET = 5.0
"""Seconds after which they are read anew before anything is said: nobody has asked for a while."""
AGAIN = 0.25
"""Seconds after which a name that is not among them may have them read anew, so that a new server is found
at once and a crowd of wrong addresses costs four reads a second."""
STALE = 30.0
"""Seconds after which routes that could not be read anew no longer prove that a server does not exist."""
TIMEOUT = 2.0
MAX_PAGES = 100
PER_PAGE = 100
KEPT_FOR = 3600.0
"""Seconds between two notes in the store that a server still exists."""
_SUBDOMAIN = re.compile(r"Host\(`([^`]+)`\)")
_SEGMENT = re.compile(r"Path(?:Prefix|Regexp)?\(`\^?/([A-Za-z0-9._~-]+)")


class Presence(Enum):
    HERE = auto()
    UNHEALTHY = auto()
    """Its route is there, and none of the instances behind it is well."""
    AWAY = auto()
    """It was here before."""
    UNKNOWN = auto()
    """It does not exist."""
    UNDECIDED = auto()
    """The edge has not been asked with success yet."""


class Servers(Protocol):
    asked: bool
    """Whether anybody is asked; otherwise a server's health is not known."""

    async def presence(self, name: str) -> Presence:
        """Where a server stands. Raises StoreUnavailableError when the store would have to say."""

    async def names(self) -> list[str]:
        """Every server that is known, here or away. Raises StoreUnavailableError."""

    async def aclose(self) -> None: ...


def open_servers(
    settings: Settings, store: RecentStore, resources: Resources, now: Callable[[], float] = time.time
) -> Servers:
    if settings.edge_url is not None:
        return RoutedServers(settings, store, resources, now)
    return ListedServers(settings.servers)


class ListedServers:
    """Names from the settings; without any, every name."""

    asked = False

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = frozenset(names)

    async def presence(self, name: str) -> Presence:
        return Presence.HERE if not self._names or name in self._names else Presence.UNKNOWN

    async def names(self) -> list[str]:
        return sorted(self._names)

    async def aclose(self) -> None:
        return None


class RoutedServers:
    """What Traefik routes to now."""

    asked = True

    def __init__(
        self,
        settings: Settings,
        store: RecentStore,
        resources: Resources,
        now: Callable[[], float] = time.time,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        secret = settings.edge_secret.get_secret_value() if settings.edge_secret else ""
        # No proxy of the environment: this address is inside.
        self._http = httpx.AsyncClient(
            base_url=settings.edge_url or "",
            headers={"X-Edge-Secret": secret},
            timeout=TIMEOUT,
            trust_env=False,
            transport=transport,
        )
        self._subdomains = settings.shape is Shape.SUBDOMAINS
        self._resources = resources
        self._store = store
        self._now = now
        self._lifetime = settings.server_lifetime
        self._here: dict[str, bool] = {}
        self._read_at = float("-inf")
        self._tried_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None
        self._kept: dict[str, float] = {}
        self._failing = False

    async def presence(self, name: str) -> Presence:
        tried = time.monotonic() - self._tried_at
        if tried > (QUIET if self._here.get(name) else AGAIN):
            await asyncio.shield(self._read_soon())
        elif tried > FRESH:
            self._read_soon()
        if name in self._here:
            return Presence.HERE if self._here[name] else Presence.UNHEALTHY
        if await self._store.recent("server", name) is not None:
            never = self._read_at == float("-inf")
            return Presence.HERE if never else Presence.AWAY
        recently = time.monotonic() - self._read_at < STALE
        return Presence.UNKNOWN if recently else Presence.UNDECIDED

    async def names(self) -> list[str]:
        await asyncio.shield(self._read_soon())
        return sorted({*self._here, *[entry.key async for entry in self._store.list("server")]})

    async def aclose(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
        await self._http.aclose()

    def _read_soon(self) -> asyncio.Task[None]:
        """One read at a time, whoever asks for it."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())
        return self._reading

    async def _read(self) -> None:
        try:
            down = _down([service async for service in self._list("services")])
            here: dict[str, bool] = {}
            async for router in self._list("routers"):
                name = self._served_by(router)
                if name is not None:
                    here[name] = here.get(name, False) or _service(router) not in down
            self._here, self._read_at = here, time.monotonic()
            await self._keep(here)
        except (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError) as error:
            if not self._failing:
                log.warning("the edge's routes cannot be read: %s: %s", type(error).__name__, error)
            self._failing = True
        except StoreUnavailableError as error:
            log.warning("the names of servers cannot be kept: %s", error.__cause__)
        else:
            self._failing = False
        finally:
            self._tried_at = time.monotonic()

    async def _list(self, what: str) -> AsyncIterator[dict[str, Any]]:
        """Every page: the last one names a page before it as the next."""
        page = 1
        while page <= MAX_PAGES:
            query: dict[str, str | int] = {"page": page, "per_page": PER_PAGE}
            answer = await self._http.get(f"/api/http/{what}", params=query)
            answer.raise_for_status()
            for item in answer.json():
                yield item
            following = int(answer.headers.get("x-next-page", "1"))
            if following <= page:
                return
            page = following

    def _served_by(self, router: dict[str, Any]) -> str | None:
        """The name of the server that a route leads to, or None when it is no server's."""
        if MIDDLEWARE not in router.get("middlewares", ()) or router.get("status") != "enabled":
            return None
        rule = str(router["rule"])
        if not self._subdomains:
            found = _SEGMENT.search(rule)
            return found[1] if found else None
        for host in _SUBDOMAIN.findall(rule):
            name = self._resources.server_of_host(host)
            if name is not None:
                return name
        return None

    async def _keep(self, here: dict[str, bool]) -> None:
        now = self._now()
        for name in here:
            if now - self._kept.get(name, float("-inf")) >= KEPT_FOR:
                await self._store.put("server", name, {}, expires_at=now + self._lifetime)
                self._kept[name] = now
        self._kept = {name: at for name, at in self._kept.items() if name in here}


def _down(services: list[dict[str, Any]]) -> set[str]:
    """The services that have no instance that is well, and those that lead to them but for a fallback."""
    down = {
        str(service["name"])
        for service in services
        if (states := service.get("serverStatus")) and "UP" not in states.values()
    }
    covers = {
        str(service["name"]): _full(service["failover"]["service"], service["provider"])
        for service in services
        if "failover" in service
    }
    return down | {name for name in covers if _innermost(name, covers) in down}


def _innermost(name: str, covers: dict[str, str]) -> str:
    for _ in covers:
        name = covers.get(name, name)
    return name


def _service(router: dict[str, Any]) -> str:
    return _full(router["service"], router["provider"])


def _full(name: object, provider: object) -> str:
    """A service's full name, which leaves out the provider where that is its own."""
    return f"{name}" if "@" in f"{name}" else f"{name}@{provider}"
