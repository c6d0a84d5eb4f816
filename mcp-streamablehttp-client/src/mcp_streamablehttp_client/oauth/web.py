"""HTTP for the OAuth side: httpx, no redirects, small answers, bounded time, no way inside.

The metadata of a server on the internet may not lead to this machine or its network: every
connection goes to an address that was checked. A server that is itself inside may.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx

from .. import USER_AGENT
from .._common.addresses import AddressError, AddressPolicy, is_public
from .._common.pinned_transport import NameNotFoundError, PinnedTransport
from ..errors import DiscoveryError, NotConnectedError, NotNowError, SignInError
from ..http1 import tls_context
from ..proxies import proxy_for
from ..retry_after import retry_after
from ..settings import Settings, is_loopback

MAX_ANSWER_BYTES = 256 * 1024
SECONDS = 30.0


class Answer(NamedTuple):
    """`document` is the JSON object of an answer, None when it is something else; `retry_after`
    is in seconds; `dpop_nonce` is for the next proof (RFC 9449 section 8)."""

    status: int
    document: dict[str, Any] | None
    retry_after: float | None = None
    dpop_nonce: str | None = None

    @property
    def is_weather(self) -> bool:
        """Whether this says nothing about what was asked: overload, a timeout, a gateway's page."""
        return self.status >= 500 or self.status in (408, 425, 429)


class Web:
    """Exchanges on behalf of one MCP server."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._server = urlsplit(settings.server_url)
        self._inside: bool | None = None

    @property
    def server_url(self) -> str:
        return self.settings.server_url

    async def exchange(
        self,
        method: str,
        url: str,
        *,
        form: dict[str, str] | None = None,
        body: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Raises NotNowError when there is no answer, DiscoveryError when the address is forbidden."""
        host = httpx.URL(url).netloc.decode()
        fields = {"Accept": "application/json"} | (headers or {})
        try:
            async with (
                asyncio.timeout(SECONDS),
                self.client(url) as http,
                http.stream(method, url, data=form, json=body, headers=fields) as response,
            ):
                content = b""
                async for chunk in response.aiter_bytes():
                    content += chunk
                    if len(content) > MAX_ANSWER_BYTES:
                        raise SignInError(f"{host} sent too long an answer.")
                wait = retry_after(response.headers.get("retry-after"))
                nonce = response.headers.get("dpop-nonce")
                return Answer(response.status_code, _object(content), wait, nonce)
        except NameNotFoundError as problem:
            raise NotNowError(f"{problem}") from problem
        except AddressError as refusal:
            raise DiscoveryError(f"The metadata of {self.server_url} leads inside: {refusal}") from refusal
        except (httpx.TimeoutException, TimeoutError) as silence:
            raise NotNowError(f"{host} did not answer within {SECONDS:g} s.") from silence
        except (httpx.HTTPError, httpx.InvalidURL, NotConnectedError) as problem:
            raise NotNowError(f"{host} cannot be reached.") from problem

    @asynccontextmanager
    async def client(self, url: str) -> AsyncIterator[httpx.AsyncClient]:
        """Reaches what this address may reach, by the way it has to go."""
        parts = urlsplit(url)
        tls = tls_context(self.settings.trust) if parts.scheme == "https" else None
        port = parts.port or (443 if tls else 80)
        common: dict[str, Any] = {
            "timeout": SECONDS,
            "follow_redirects": False,
            "headers": {"User-Agent": USER_AGENT},
        }
        through_proxy = proxy_for(tls is not None, parts.hostname or "", port) is not None
        if through_proxy or await self._server_is_inside():
            # a proxy looks names up itself and keeps to its own rules
            client = httpx.AsyncClient(verify=tls or False, trust_env=through_proxy, **common)
        else:
            policy = AddressPolicy(ports=None, exempt=self._own())
            client = httpx.AsyncClient(transport=PinnedTransport(policy, tls=tls), **common)
        async with client:
            yield client

    def _own(self) -> frozenset[tuple[str, int]]:
        default = 443 if self._server.scheme == "https" else 80
        return frozenset({(self._server.hostname or "", self._server.port or default)})

    async def _server_is_inside(self) -> bool:
        """Whether the MCP server, which the person chose, is on this machine or its network."""
        if self._inside is None:
            host = self._server.hostname or ""
            self._inside = is_loopback(host) or not await _all_public(host, self._server.port or 443)
        return self._inside


async def _all_public(host: str, port: int) -> bool:
    """A name that does not resolve counts as public: then nothing inside is reached for it."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return True
    return all(is_public(str(address[0])) for *_, address in found)


def _object(content: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
