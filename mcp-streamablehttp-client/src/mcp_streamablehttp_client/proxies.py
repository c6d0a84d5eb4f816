"""HTTP proxies named by HTTP_PROXY, HTTPS_PROXY and NO_PROXY; loopback never goes through one."""

import asyncio
import base64
import os
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import h11

from .errors import Unreachable
from .settings import is_loopback


@dataclass(frozen=True)
class Proxy:
    host: str
    port: int
    headers: list[tuple[str, str]]

    async def tunnel(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int
    ) -> None:
        """CONNECT (RFC 9110 §9.3.6); raises Unreachable when the proxy refuses."""
        authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        protocol = h11.Connection(h11.CLIENT)
        request = h11.Request(
            method="CONNECT", target=authority, headers=[("Host", authority), *self.headers]
        )
        writer.write((protocol.send(request) or b"") + (protocol.send(h11.EndOfMessage()) or b""))
        while (event := protocol.next_event()) is h11.NEED_DATA:
            protocol.receive_data(await reader.read(4096))
        if not isinstance(event, h11.Response) or not 200 <= event.status_code < 300:
            raise Unreachable(f"The proxy {self.host}:{self.port} refused to connect to {host}.")


def proxy_for(tls: bool, host: str, port: int) -> Proxy | None:
    """The proxy for a connection, None for a direct one."""
    if is_loopback(host) or not any(name.lower().endswith("_proxy") for name in os.environ):
        return None
    from urllib import request

    url = request.getproxies_environment().get("https" if tls else "http")
    if not url or request.proxy_bypass_environment(  # type: ignore[attr-defined]  # not in typeshed
        f"{host}:{port}"
    ):
        return None
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme != "http" or not parts.hostname:
        raise Unreachable("The proxy in HTTP_PROXY or HTTPS_PROXY must be an http:// address.")
    headers = []
    if parts.username:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        headers.append(("Proxy-Authorization", "Basic " + base64.b64encode(login).decode()))
    return Proxy(parts.hostname, parts.port or 80, headers)
