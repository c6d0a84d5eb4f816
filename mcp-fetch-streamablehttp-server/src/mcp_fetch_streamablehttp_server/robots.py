"""robots.txt (RFC 9309): asked at every hop, read as this server's own robot name, remembered for a while."""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

import httpx
from protego import Protego

from .body import read_start
from .cache import Answer
from .errors import FetchError
from .fetch import Fetcher, Order, origin, reason

LARGEST = 512_000  # RFC 9309 2.5 asks for at least 500 kibibytes
_AGENT_LINE = re.compile(
    r"^[^\S\n]*user(?:-|[^\S\n]+)?agent(?:[^\S\n]*:|[^\S\n])(?P<agent>[^\n#]*).*$",
    re.IGNORECASE | re.MULTILINE,
)


class Known(NamedTuple):
    until: float
    rules: Protego | str  # why the site cannot be asked, which forbids everything (RFC 9309 2.3.1.4)


class Robots:
    def __init__(
        self,
        fetcher: Fetcher,
        user_agent: str,
        *,
        seconds: float = 3600,
        failure_seconds: float = 60,
        limit: int = 500,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.fetcher = fetcher
        self.user_agent = user_agent
        self.name = user_agent.split("/")[0].lower()
        self.seconds = seconds
        self.failure_seconds = failure_seconds
        self.limit = limit
        self.clock = clock
        self._known: OrderedDict[tuple[str, bytes, int], Known] = OrderedDict()

    async def check(self, url: httpx.URL) -> None:
        """Raises FetchError when the site does not want robots at this URL, or cannot be asked."""
        if url.path == "/robots.txt":
            return  # always allowed (RFC 9309 2.2.2)
        rules = await self._rules(url)
        if isinstance(rules, str):
            raise FetchError(
                f"The robots.txt of {url.host} cannot be read, so nothing is fetched from it: {rules}"
            )
        if not rules.can_fetch(str(url), self.name):
            raise FetchError(f"{url.host} asks robots not to fetch this page (robots.txt, as {self.name}).")

    def crawl_delay(self, url: httpx.URL) -> float:
        """Seconds the site asks for between two requests, as far as its robots.txt is known."""
        known = self._known.get(origin(url))
        delay = None if known is None or isinstance(known.rules, str) else known.rules.crawl_delay(self.name)
        return max(0.0, delay or 0.0)

    async def _rules(self, url: httpx.URL) -> Protego | str:
        key = origin(url)
        known = self._known.pop(key, None)
        if known is None or known.until <= self.clock():
            rules = await self._ask(url)
            lifetime = self.failure_seconds if isinstance(rules, str) else self.seconds
            known = Known(self.clock() + lifetime, rules)
        self._known[key] = known
        while len(self._known) > self.limit:
            self._known.popitem(last=False)
        return known.rules

    async def _ask(self, url: httpx.URL) -> Protego | str:
        async def read(response: httpx.Response) -> bytes:
            return await read_start(response, LARGEST) if response.is_success else b""

        async def ask(order: Order) -> Answer:
            return await self.fetcher.ask(order, read)

        async def anywhere(hop: httpx.URL) -> None:
            """Only the address policy, which every hop passes, limits where robots.txt may come from."""

        order = Order(url.copy_with(raw_path=b"/robots.txt"), headers={"user-agent": self.user_agent})
        try:
            page = await self.fetcher.follow(order, anywhere, ask)
        except FetchError as error:
            return str(error)
        except httpx.TransportError as error:
            return f"{reason(error)}."
        return f"it answers {page.status}." if page.status >= 500 else parse(page.body, self.name)


def parse(body: bytes, name: str) -> Protego:
    """The rules for one robot. Groups of others become one group, which keeps the work linear in the size."""

    def narrowed(match: re.Match[str]) -> str:
        # The product token is matched whole (RFC 9309 2.2.1): `model` is not ModelContextProtocol.
        agent = match["agent"].split("/")[0].strip().lower()
        return f"User-agent: {agent if agent in ('*', name) else 'some-other-robot'}"

    lines = body.decode("utf-8-sig", "replace").splitlines()
    return Protego.parse(_AGENT_LINE.sub(narrowed, "\n".join(lines)))
