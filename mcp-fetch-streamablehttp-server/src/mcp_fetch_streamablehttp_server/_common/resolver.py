"""The system's name resolution, for names that strangers choose.

A look-up cannot be given up: it keeps its thread until the name servers' time is over, long after nobody
waits for it any more. So it has threads of its own, of which whoever asks holds no more than a share.
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from functools import partial
from typing import Any

from .addresses import AddressError

THREADS = 64
SHARE = 8

asker: ContextVar[str] = ContextVar("asker", default="")
"""Whom the present work is done for: a person, or an address."""


class NameNotFoundError(AddressError):
    """The name does not resolve, now."""


class SystemResolver:
    def __init__(self, threads: int = THREADS, share: int = SHARE) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="resolver")
        self._share = share
        self._under_way: Counter[str] = Counter()

    async def __call__(self, host: str, port: int) -> list[str]:
        """The addresses of a name, as the system knows them. Raises NameNotFoundError."""
        whose = asker.get()
        if self._under_way[whose] >= self._share:
            raise NameNotFoundError(f"{host} is not looked up: too many names are, that do not answer.")
        self._under_way[whose] += 1
        loop = asyncio.get_running_loop()
        lookup = self._threads.submit(partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM))
        lookup.add_done_callback(partial(self._ended, loop, whose))
        try:
            answers = await asyncio.wrap_future(lookup)
        except (OSError, UnicodeError) as error:
            raise NameNotFoundError(f"{host} cannot be found: the name does not resolve.") from error
        return list(dict.fromkeys(str(address[0]) for *_, address in answers))

    def _ended(self, loop: asyncio.AbstractEventLoop, whose: str, _: Future[Any]) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._forget, whose)

    def _forget(self, whose: str) -> None:
        self._under_way[whose] -= 1
        if not self._under_way[whose]:
            del self._under_way[whose]
