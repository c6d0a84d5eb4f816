"""Getting one page: each hop's address checked, redirects followed by hand, size and time bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx

from ._common.addresses import AddressPolicy, AddressRefusedError
from ._common.resolver import NameNotFoundError, asker
from ._common.turns import Turns
from .body import ACCEPT_ENCODING, read_body
from .cache import Answer, Cache
from .errors import FetchError, RefusedError
from .headers import NEUTRAL, for_other_origin
from .manners import Manners

REDIRECTS = {301, 302, 303, 307, 308}
LONGEST_URL = 8192
CONNECT_SECONDS = 10
DEFAULT_PORTS = {"http": 80, "https": 443}

SHARES = 4
"""One caller has no more than a quarter of the places."""

BeforeHop = Callable[[httpx.URL], Awaitable[None]]


@dataclass(frozen=True)
class Order:
    """One request as the caller wants it."""

    url: httpx.URL
    method: str = "GET"
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None


Ask = Callable[[Order], Awaitable[Answer]]


@dataclass(frozen=True)
class Page:
    url: httpx.URL
    status: int
    content_type: str
    body: bytes
    redirects: list[str]
    """The addresses that sent us on, first the one that was asked for."""
    headers: Mapping[str, str] = field(default_factory=dict)


class Fetcher:
    """Keeps no cookies and obeys no proxy variables: nothing of one caller reaches another.

    What the cache holds was asked for without anything that tells one caller from another.
    """

    def __init__(
        self,
        policy: AddressPolicy,
        transport: httpx.AsyncBaseTransport,
        *,
        max_redirects: int,
        max_bytes: int,
        seconds: float,
        max_concurrent: int,
        cache_bytes: int = 0,
        per_site: int = 4,
    ) -> None:
        self.policy = policy
        self.max_redirects = max_redirects
        self.max_bytes = max_bytes
        self.seconds = seconds
        self.cache = Cache(cache_bytes)
        self.manners = Manners(per_site)
        self.delay: Callable[[httpx.URL], float] = lambda url: 0.0
        """Seconds that a site asks for between two requests."""
        self._turns = Turns(max_concurrent, max(1, max_concurrent // SHARES))
        self._client = httpx.AsyncClient(
            transport=transport,
            trust_env=False,
            follow_redirects=False,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            timeout=httpx.Timeout(seconds, connect=min(CONNECT_SECONDS, seconds)),
        )

    async def fetch(
        self, order: Order, before_hop: BeforeHop, *, caller: str = "", seconds: float | None = None
    ) -> Page:
        """The page at the end of all redirects; `before_hop` may raise to stop at any of them.

        One `caller` has no more than a share of the places. Raises FetchError. All of it, waiting for a turn
        included, takes at most `seconds`.
        """
        limit = self.seconds if seconds is None else min(seconds, self.seconds)
        asker.set(caller)
        try:
            async with asyncio.timeout(limit), self._turns.of(caller):
                return await self.follow(order, before_hop, self._ask_politely)
        except (TimeoutError, httpx.TimeoutException) as error:
            raise FetchError(f"{order.url.host} did not deliver within {limit:g} seconds.") from error
        except httpx.TransportError as error:
            raise FetchError(f"{order.url.host} cannot be reached: {reason(error)}.") from error

    async def follow(self, order: Order, before_hop: BeforeHop, ask: Ask) -> Page:
        hops: list[str] = []
        while True:
            self.check(order.url)
            await before_hop(order.url)
            answer = await ask(order)
            target = answer.headers.get("location")
            if answer.status not in REDIRECTS or target is None:
                kind = answer.headers.get("content-type", "")
                return Page(order.url, answer.status, kind, answer.body, hops, answer.headers)
            if len(hops) == self.max_redirects:
                raise FetchError(f"The page redirects more than {self.max_redirects} times.")
            hops.append(str(order.url))
            order = redirected(order, answer.status, target)

    async def _ask_politely(self, order: Order) -> Answer:
        """From the cache where that may be; else by the site's leave."""
        key = cache_key(order)
        if key is not None and (fresh := self.cache.fresh(key)) is not None:
            return fresh
        conditions = {} if key is None else self.cache.conditions(key)
        asked = replace(order, headers={**order.headers, **conditions})
        site = order.url.netloc.decode("ascii")
        async with self.manners.visit(site, self.delay(order.url)):
            answer = await self.ask(asked, self._read)
        self.manners.told(site, answer.status, answer.headers.get("retry-after"))
        if key is None:
            return answer
        if answer.status == 304 and conditions:
            return self.cache.renewed(key, answer.headers) or await self.ask(order, self._read)
        self.cache.keep(key, answer)
        return answer

    async def _read(self, response: httpx.Response) -> bytes:
        return await read_body(response, self.max_bytes)

    async def ask(self, order: Order, read: Callable[[httpx.Response], Awaitable[bytes]]) -> Answer:
        """One request, one answer; the body of a redirect is not read."""
        response = await self._send(order)
        try:
            leads_on = response.status_code in REDIRECTS and "location" in response.headers
            body = b"" if leads_on or order.method == "HEAD" else await read(response)
            return Answer(response.status_code, dict(response.headers), body)
        finally:
            await response.aclose()

    def check(self, url: httpx.URL) -> None:
        """Raises RefusedError. The transport checks again, with the addresses, when it connects."""
        try:
            self.policy.check_host(url.raw_host.decode("ascii"), url.port or DEFAULT_PORTS[url.scheme])
        except AddressRefusedError as error:
            raise RefusedError(str(error)) from error

    async def _send(self, order: Order) -> httpx.Response:
        try:
            return await self._client.send(self._request(order), stream=True)
        except AddressRefusedError as error:
            raise RefusedError(str(error)) from error
        except NameNotFoundError as error:
            raise FetchError(str(error)) from error

    def _request(self, order: Order) -> httpx.Request:
        headers = {"accept": "text/markdown, text/html, application/xhtml+xml, */*;q=0.8"} | order.headers
        headers["accept-encoding"] = ACCEPT_ENCODING
        return self._client.build_request(order.method, order.url, headers=headers, content=order.body)

    async def aclose(self) -> None:
        await self._client.aclose()


def parse_url(text: str) -> httpx.URL:
    """An absolute http or https URL without user, password and fragment. Raises FetchError."""
    if len(text) > LONGEST_URL:
        raise FetchError(f"The URL is longer than {LONGEST_URL} characters.")
    if any(character.isspace() or not character.isprintable() for character in text) or "\\" in text:
        raise FetchError(
            "The URL contains spaces, backslashes or characters that cannot be printed; encode them."
        )
    try:
        url = httpx.URL(text)
        if url.scheme not in DEFAULT_PORTS:
            raise FetchError("Only http:// and https:// addresses are fetched.")
        if not url.raw_host:
            raise FetchError("The URL names no host.")
        if url.userinfo or "@" in url.netloc.decode("ascii"):
            raise FetchError("The URL carries a user name or password; leave them out.")
        return url.copy_with(fragment=None)
    except (httpx.InvalidURL, ValueError, UnicodeError) as error:
        raise FetchError("The URL is malformed.") from error


def redirected(order: Order, status: int, target: str) -> Order:
    """The next request (RFC 9110 15.4). Raises FetchError for a target that is not fetched."""
    try:
        url = parse_url(str(order.url.join(target)))
    except (httpx.InvalidURL, ValueError) as error:
        raise FetchError("The page redirects to a malformed address.") from error
    if status == 303 or (status in (301, 302) and order.method == "POST"):
        kept = {name: value for name, value in order.headers.items() if not name.startswith("content-")}
        order = replace(order, method="GET", body=None, headers=kept)
    if origin(url) != origin(order.url):
        order = replace(order, headers=for_other_origin(order.headers))
    return replace(order, url=url)


def cache_key(order: Order) -> tuple[str, ...] | None:
    """What tells requests apart that may share an answer; None where the caller sent something of its own.

    Everything that we send and an answer may vary by is in it (RFC 9111 4.1).
    """
    if order.method not in ("GET", "HEAD") or order.body is not None or order.headers.keys() - NEUTRAL:
        return None
    return (
        order.method,
        str(order.url),
        *(f"{name}: {order.headers[name]}" for name in sorted(order.headers)),
    )


def origin(url: httpx.URL) -> tuple[str, bytes, int]:
    return url.scheme, url.raw_host, url.port or DEFAULT_PORTS[url.scheme]


def reason(error: httpx.TransportError) -> str:
    if isinstance(error, httpx.TimeoutException):
        return "it does not answer in time"
    if isinstance(error, httpx.ConnectError):
        return (
            "its certificate is not valid for it" if "CERTIFICATE" in str(error) else "the connection failed"
        )
    if isinstance(error, httpx.ProtocolError):
        return "it does not speak HTTP properly"
    return "the connection broke"
