"""Getting one page: each hop's address checked, redirects followed by hand, size and time bounded."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx

from .addresses import AddressPolicy
from .body import ACCEPT_ENCODING, read_body
from .errors import FetchError
from .headers import for_other_origin

REDIRECTS = {301, 302, 303, 307, 308}
LONGEST_URL = 8192
CONNECT_SECONDS = 10
DEFAULT_PORTS = {"http": 80, "https": 443}

BeforeHop = Callable[[httpx.URL], Awaitable[None]]


@dataclass(frozen=True)
class Order:
    """One request as the caller wants it."""

    url: httpx.URL
    method: str = "GET"
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None


@dataclass(frozen=True)
class Page:
    url: httpx.URL
    status: int
    content_type: str
    body: bytes
    redirects: list[str]


class Fetcher:
    """Keeps no cookies and obeys no proxy variables: nothing of one caller reaches another."""

    def __init__(
        self,
        policy: AddressPolicy,
        transport: httpx.AsyncBaseTransport,
        *,
        max_redirects: int,
        max_bytes: int,
        seconds: float,
        max_concurrent: int,
    ) -> None:
        self.policy = policy
        self.max_redirects = max_redirects
        self.max_bytes = max_bytes
        self.seconds = seconds
        self._slots = asyncio.Semaphore(max_concurrent)
        self._client = httpx.AsyncClient(
            transport=transport,
            trust_env=False,
            follow_redirects=False,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            timeout=httpx.Timeout(seconds, connect=min(CONNECT_SECONDS, seconds)),
        )

    async def fetch(self, order: Order, before_hop: BeforeHop) -> Page:
        """The page at the end of all redirects; `before_hop` may raise to stop at any of them.

        Raises FetchError. All of it, waiting for a turn included, takes at most `seconds`.
        """
        try:
            async with asyncio.timeout(self.seconds), self._slots:
                return await self._fetch(order, before_hop)
        except (TimeoutError, httpx.TimeoutException):
            raise FetchError(f"{order.url.host} did not deliver within {self.seconds:g} seconds.") from None
        except httpx.TransportError as error:
            raise FetchError(f"{order.url.host} cannot be reached: {reason(error)}.") from None

    async def _fetch(self, order: Order, before_hop: BeforeHop) -> Page:
        async def read(response: httpx.Response) -> bytes:
            return await read_body(response, self.max_bytes)

        return await self.follow(order, before_hop, read)

    async def follow(
        self, order: Order, before_hop: BeforeHop, read: Callable[[httpx.Response], Awaitable[bytes]]
    ) -> Page:
        hops: list[str] = []
        while True:
            self.check(order.url)
            await before_hop(order.url)
            response = await self._client.send(self._request(order), stream=True)
            try:
                target = response.headers.get("location")
                if response.status_code not in REDIRECTS or target is None:
                    kind = response.headers.get("content-type", "")
                    return Page(order.url, response.status_code, kind, await read(response), hops)
            finally:
                await response.aclose()
            if len(hops) == self.max_redirects:
                raise FetchError(f"The page redirects more than {self.max_redirects} times.")
            order = redirected(order, response.status_code, target)
            hops.append(str(order.url))

    def check(self, url: httpx.URL) -> None:
        """Raises Refused. The transport checks again, with the addresses, when it connects."""
        self.policy.check_host(url.raw_host.decode("ascii"), url.port or DEFAULT_PORTS[url.scheme])

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
    except (httpx.InvalidURL, ValueError, UnicodeError):
        raise FetchError("The URL is malformed.") from None


def redirected(order: Order, status: int, target: str) -> Order:
    """The next request (RFC 9110 15.4). Raises FetchError for a target that is not fetched."""
    try:
        url = parse_url(str(order.url.join(target)))
    except (httpx.InvalidURL, ValueError):
        raise FetchError("The page redirects to a malformed address.") from None
    if status == 303 or (status in (301, 302) and order.method == "POST"):
        kept = {name: value for name, value in order.headers.items() if not name.startswith("content-")}
        order = replace(order, method="GET", body=None, headers=kept)
    if origin(url) != origin(order.url):
        order = replace(order, headers=for_other_origin(order.headers))
    return replace(order, url=url)


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
