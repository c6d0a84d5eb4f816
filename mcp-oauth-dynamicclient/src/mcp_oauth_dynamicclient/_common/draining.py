"""An end that a load balancer sees coming, so that no request meets a closed port."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

import uvicorn

from .telemetry import flush

if TYPE_CHECKING:
    from types import FrameType

NOTICE = 2.0
"""Seconds before the end is said: whoever replaced this process was well a moment ago, and a load balancer
that asks every second has yet to see that."""
_LAST = (b"connection", b"close")
"""RFC 9112 section 9.6."""


class DrainingServer(uvicorn.Server):
    """A server that on SIGTERM goes on answering for `drain` seconds and only then ends.

    `say_so` is called after the first two of them: from then on a health check is to say 503, so that the
    load balancer leaves this process out while it still answers. Every answer meanwhile ends its connection:
    one that was kept would go on to this process, also where a name has led to others since, and a health
    check on it would take all of them for ending. A second signal, or SIGINT, ends it at once.
    """

    def __init__(self, config: uvicorn.Config, drain: float, say_so: Callable[[], None]) -> None:
        super().__init__(config)
        self._seconds = drain
        self._say_so = say_so
        self._draining = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if sig != signal.SIGTERM or not self._seconds or self._draining:
            self.end(sig, frame)
            return
        self._draining = True
        self.config.encoded_headers = [*self.config.encoded_headers, _LAST]
        self.server_state.default_headers = [*self.server_state.default_headers, _LAST]
        loop = asyncio.get_running_loop()
        # From a signal handler: only this wakes the loop.
        loop.call_soon_threadsafe(loop.call_later, min(NOTICE, self._seconds), self._say_so)
        loop.call_soon_threadsafe(loop.call_later, self._seconds, self.end, sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        flush()  # blocks a loop that has nothing left to do; what follows is the signal's own end

    def end(self, sig: int, frame: FrameType | None) -> None:
        """Take no more connections, finish what is under way."""
        super().handle_exit(sig, frame)
