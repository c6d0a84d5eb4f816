"""Fetching JSON from an address that a client named, without reaching anything that is not public.

A name is resolved once, every address it has must be public, and the connection goes to that address: the
name server is never asked a second time (DNS rebinding). No redirects, no proxies, no cookies.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

import httpcore
import httpx

from .._common import addresses
from .._common.addresses import AddressPolicy
from .._common.pinned_transport import PinnedTransport
from .._common.resolver import NameNotFoundError, SystemResolver, asker
from .._common.turns import Turns
from ..json_object import parse_object

TIMEOUT = 5.0
"""Seconds for everything: name, connection, TLS, answer."""
MAX_BYTES = 64 * 1024
MIN_AGE, DEFAULT_AGE, MAX_AGE = 60.0, 3600.0, 86400.0
"""Seconds for which an answer is kept: at least, when it does not say, and at most."""
CONCURRENT, SHARE = 16, 4
"""Fetches at once: of all, and of those that one address causes, whose hosts may all be slow."""
NAME = re.compile(
    r"(?=.{4,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?"
)

Resolve = Callable[[str, int], Awaitable[list[str]]]


class FetchError(Exception):
    """The document is unavailable; the message says why, in ASCII, without the document's own words."""

    def __init__(self, message: str, *, gone: bool = False) -> None:
        super().__init__(message)
        self.gone = gone
        """The host says that there is no such document, as opposed to not saying anything useful."""


class AddressRefusedError(FetchError):
    """The URL leads to an address that is not public. Nothing was sent."""


@dataclass(frozen=True, slots=True)
class Fetched:
    body: bytes
    value: dict[str, Any]
    max_age: float


class Fetcher:
    """The parameters are for tests: how names are resolved, which hosts are exempt, what connects, whom TLS
    trusts."""

    def __init__(
        self,
        *,
        resolve: Resolve | None = None,
        exempt: Collection[tuple[str, int]] = (),
        connector: httpcore.AsyncNetworkBackend | None = None,
        tls: ssl.SSLContext | None = None,
        timeout: float = TIMEOUT,
    ) -> None:
        self._resolve = resolve or SystemResolver()
        self._policy = AddressPolicy(ports=(443,), exempt=exempt)
        self._connector = connector
        self._given_tls = tls
        self._timeout = timeout
        self._turns = Turns(CONCURRENT, SHARE)

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return self._given_tls or ssl.create_default_context()

    async def get(self, url: str) -> Fetched:
        """The JSON object at an https URL on the default port. Raises FetchError."""
        parts = urlsplit(url)
        if parts.scheme != "https" or not NAME.fullmatch(parts.netloc.lower().removesuffix(":443")):
            raise AddressRefusedError("it is not an https URL of a public host name on the default port")
        try:
            async with asyncio.timeout(self._timeout), self._turns.of(asker.get()):
                return await self._get(url)
        except addresses.AddressRefusedError as error:
            raise AddressRefusedError("its host does not have a public address") from error
        except NameNotFoundError as error:
            raise FetchError("its host name cannot be resolved") from error
        except TimeoutError as error:
            raise FetchError(f"its host did not answer within {self._timeout:g} seconds") from error
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError, OSError) as error:
            raise FetchError("its host cannot be reached over https") from error

    async def _get(self, url: str) -> Fetched:
        transport = PinnedTransport(
            self._policy, resolver=self._resolve, connector=self._connector, tls=self._tls
        )
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": "mcp-oauth-gateway",
        }
        async with (
            httpx.AsyncClient(
                transport=transport, trust_env=False, follow_redirects=False, timeout=self._timeout
            ) as client,
            client.stream("GET", url, headers=headers) as response,
        ):
            if response.status_code != 200:
                gone = response.status_code in (404, 410)
                raise FetchError(f"its host answered with status {response.status_code}", gone=gone)
            content_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
            if not (
                content_type == "application/json" or re.fullmatch(r"application/[\w.-]+\+json", content_type)
            ):
                raise FetchError("its host did not answer with JSON")
            if response.headers.get("content-encoding", "identity").lower() != "identity":
                raise FetchError("its host answered compressed, although asked not to")
            body = bytearray()
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > MAX_BYTES:
                    raise FetchError(f"it is larger than {MAX_BYTES} bytes")
            try:
                value = parse_object(bytes(body))
            except ValueError as error:
                raise FetchError("it is not a JSON object") from error
            return Fetched(bytes(body), value, freshness(response.headers))


def freshness(headers: Mapping[str, str]) -> float:
    """Seconds for which an answer may be used (RFC 9111 section 4.2), within our bounds."""
    directives = {}
    for directive in headers.get("cache-control", "").lower().split(","):
        name, _, value = directive.strip().partition("=")
        directives[name] = value.strip('"')
    if "no-store" in directives or "no-cache" in directives:
        return MIN_AGE
    if "max-age" in directives:
        age = _seconds(directives["max-age"]) - _seconds(headers.get("age", "0"))
    elif "expires" in headers:
        age = _until(headers["expires"], headers.get("date", ""))
    else:
        age = DEFAULT_AGE
    return min(max(age, MIN_AGE), MAX_AGE)


def _seconds(text: str) -> float:
    return float(text[:9]) if text.isascii() and text.isdigit() else 0.0


def _until(expires: str, date: str) -> float:
    try:
        return (parsedate_to_datetime(expires) - parsedate_to_datetime(date)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return 0.0
