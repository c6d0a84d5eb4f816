"""The combination as a pool keeps it: one for each session, or for each user of 2026-07-28."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping

from .. import __version__
from .._common.channel import Around
from .._common.jsonrpc import Message
from .._common.versions import Era
from ..server.backing import Backing, Make
from ..server.pool import Pool
from ..settings import Server
from .channel import Combined
from .names import Names
from .seated import Seated

_numbers = itertools.count(1)


class Combination(Around):
    """Starts nothing itself: the servers' own pools do, when something is asked of them."""

    pid = 0
    alive = True
    junk = 0

    def __init__(
        self,
        server: Server,
        label: str,
        pools: Mapping[str, Pool],
        names: Names,
        *,
        shared: bool,
        on_end: Callable[[Backing, str], None],
    ) -> None:
        alone = None if shared else f"session {label} {next(_numbers)}"
        self._seated = {name: Seated(pool, alone) for name, pool in pools.items()}
        info = {"name": server.name, "version": __version__}
        super().__init__(Combined(server.name, self._seated, names, info))
        self.server = server
        self.label = label
        self.shared = shared
        self.era: Era = "handshake"
        self.closing = self.may_end = self.served = False
        self.started = time.monotonic()
        self.on_question: Callable[[Message], None] | None = None
        self._on_end = on_end
        self._ended = False

    @property
    def usable(self) -> bool:
        return not self.closing

    @property
    def quiet(self) -> bool:
        return True

    @property
    def tags(self) -> dict[str, object]:
        return {"server": self.server.name, "session": self.label}

    async def start(self) -> None:
        self.served = True

    async def close(self) -> None:
        self.closing = True
        for seated in self._seated.values():
            seated.close()
        if not self._ended:
            self._ended = True
            self._on_end(self, "was closed")

    def check_memory(self) -> None:
        """It is in the proxy's own."""

    def abandon(self, reason: str) -> None:
        for turn in list(self.open):
            self.expire(turn, reason)


def combining(pools: Mapping[str, Pool], names: Names) -> Make:
    """Makes combinations of these servers."""

    def make(server: Server, label: str, *, shared: bool, on_end: Callable[[Backing, str], None]) -> Backing:
        return Combination(server, label, pools, names, shared=shared, on_end=on_end)

    return make
