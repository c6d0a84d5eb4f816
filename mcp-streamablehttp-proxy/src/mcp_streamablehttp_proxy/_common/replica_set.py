"""Which replicas of this service there are now, which of them this is, and which one a user belongs to."""

from __future__ import annotations

import asyncio
import logging
import math
import socket
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from .replica_seal import ReplicaSeal
from .settings import SettingsError, comma_list

log = logging.getLogger(__name__)

FRESH = 3.0
"""Seconds for which an answer of the DNS is used."""
PATIENCE = 2.0
"""Seconds that the DNS has to answer; until it does, the replicas known last are taken."""
_SHORTEST = 32

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""The addresses of a name. Raises OSError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaSettings:
    """How a service with several replicas is set up; every replica has the same."""

    secret: bytes = field(repr=False)
    names: tuple[tuple[str, int], ...]
    """DNS names, each with the port: every address of every name is a replica."""
    port: int
    """Where this replica listens."""
    address: str | None = None
    """This replica's own address and port, where it cannot find out."""


def replica_settings(
    replicas: str | None, address: str | None, secret: str | None, secret_file: str | None, port: int
) -> ReplicaSettings | None:
    """The settings; None for a single instance, when none of the settings is there. Raises SettingsError."""
    if not (replicas or address or secret or secret_file):
        return None
    if secret_file:
        try:
            secret = Path(secret_file).read_text("utf-8").strip()
        except (OSError, ValueError) as error:
            raise SettingsError(f"MCP_REPLICA_SECRET_FILE cannot be read: {error}") from error
    if not replicas:
        raise SettingsError("MCP_REPLICAS must name the replicas, such as tasks.time:3000")
    if not secret or len(secret.encode()) < _SHORTEST:
        raise SettingsError(
            "MCP_REPLICAS needs MCP_REPLICA_SECRET_FILE or MCP_REPLICA_SECRET, "
            f"at least {_SHORTEST} characters that this service's replicas share with nobody else; "
            "`openssl rand -hex 32` makes one"
        )
    names = tuple(_name(entry) for entry in comma_list(replicas))
    if address:
        address = _place(*_split(address, "MCP_REPLICA_ADDRESS"))
    elif not port:
        raise SettingsError("MCP_REPLICAS needs a fixed MCP_PORT, or this replica's own MCP_REPLICA_ADDRESS")
    return ReplicaSettings(secret=secret.encode(), names=names, port=port, address=address or None)


def _name(entry: str) -> tuple[str, int]:
    return _split(entry, "MCP_REPLICAS")


def _split(entry: str, setting: str) -> tuple[str, int]:
    host, _, port = entry.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise SettingsError(f"{setting} must be a name or address with its port, not {entry!r}")
    return host.strip("[]"), int(port)


class ReplicaSet:
    """Asks the DNS when an answer is needed and the last one is old; never in the background."""

    def __init__(
        self,
        settings: ReplicaSettings,
        resolve: Resolve | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.seal = ReplicaSeal(settings.secret)
        self._settings = settings
        self._resolve = resolve or resolved
        self._clock = clock
        self._asked = -math.inf
        self._asking = asyncio.Lock()
        self._places: dict[tuple[str, int], tuple[str, ...]] = {}
        self._own = settings.address

    async def own(self) -> str | None:
        """This replica's address as the others know it; None while that cannot be found out."""
        if self._own is None:
            await self.members()
        return self._own

    async def members(self) -> tuple[str, ...]:
        """The addresses of all replicas, this one's too once the DNS has it."""
        return await self._members(self._clock() - FRESH)

    async def has(self, place: str) -> bool:
        """Whether the DNS names this address: it is asked once more for one that it did not name, since a
        replica may have come this moment."""
        started = self._clock()
        return place in await self.members() or place in await self._members(started)

    async def _members(self, asked_after: float) -> tuple[str, ...]:
        async with self._asking:
            if self._asked <= asked_after:
                started = self._clock()
                await asyncio.gather(*(self._look_up(name) for name in self._settings.names))
                self._asked = started
        places = tuple(sorted({place for known in self._places.values() for place in known}))
        if self._own is None:
            self._own = own_address(places, self._settings.port)
        return places

    async def ranking(self, key: str) -> list[str]:
        """The replicas in the order in which they are this key's: by rendezvous hashing, so that one that
        comes or goes moves only the keys that are its own."""
        return ranked(await self.members(), key, self.seal)

    async def _look_up(self, name: tuple[str, int]) -> None:
        host, port = name
        try:
            async with asyncio.timeout(PATIENCE):
                found = await self._resolve(host, port)
        except (OSError, TimeoutError) as error:
            log.warning("the replicas named %s cannot be looked up: %s", host, error or "no answer in time")
        else:
            self._places[name] = tuple(_place(address, port) for address in found)


def ranked(places: Iterable[str], key: str, seal: ReplicaSeal) -> list[str]:
    return sorted(places, key=lambda place: seal.weight(place, key), reverse=True)


async def resolved(host: str, port: int) -> list[str]:
    """The addresses of a name, as the system knows them. Raises OSError."""
    answers = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in answers]


def own_address(places: tuple[str, ...], port: int) -> str | None:
    """The address from which this machine would speak to the first of the replicas; sends nothing."""
    for place in places:
        host, _, other = place.rpartition(":")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((host.strip("[]"), int(other)))
                return _place(str(probe.getsockname()[0]), port)
        except OSError:
            continue
    return None


def _place(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
