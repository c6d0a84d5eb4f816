"""Proxies named by HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY; loopback goes through none."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import h11

from .errors import NotConnectedError
from .settings import is_loopback

if TYPE_CHECKING:
    from socksio.socks5 import SOCKS5Connection

    from .http1.wire import Wire

_PORTS = {"http": 80, "socks5": 1080, "socks5h": 1080}


@dataclass(frozen=True)
class Proxy:
    """`socks` tells the two kinds apart: SOCKS 5 (RFC 1928), else HTTP."""

    host: str
    port: int
    login: tuple[str, str] | None
    socks: bool

    @property
    def headers(self) -> list[tuple[str, str]]:
        if self.login is None:
            return []
        login = base64.b64encode(":".join(self.login).encode()).decode()
        return [("Proxy-Authorization", f"Basic {login}")]

    async def tunnel(self, wire: Wire, host: str, port: int) -> None:
        """A way through to the host, which the proxy looks up; raises NotConnectedError when it refuses."""
        await (self._socks(wire, host, port) if self.socks else self._connect(wire, host, port))

    async def _connect(self, wire: Wire, host: str, port: int) -> None:
        """RFC 9110 section 9.3.6."""
        authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        protocol = h11.Connection(h11.CLIENT)
        request = h11.Request(
            method="CONNECT", target=authority, headers=[("Host", authority), *self.headers]
        )
        wire.write((protocol.send(request) or b"") + (protocol.send(h11.EndOfMessage()) or b""))
        while (event := protocol.next_event()) is h11.NEED_DATA:
            protocol.receive_data(await wire.read())
        if not isinstance(event, h11.Response) or not 200 <= event.status_code < 300:
            raise self._refused(host)

    async def _socks(self, wire: Wire, host: str, port: int) -> None:
        """RFC 1928, with user name and password by RFC 1929."""
        from socksio import ProtocolError, socks5

        protocol = socks5.SOCKS5Connection()
        method = socks5.SOCKS5AuthMethod.NO_AUTH_REQUIRED
        if self.login is not None:
            method = socks5.SOCKS5AuthMethod.USERNAME_PASSWORD
        try:
            protocol.send(socks5.SOCKS5AuthMethodsRequest([method]))
            chosen = await self._reply(wire, protocol)
            if chosen.method != method:
                raise self._refused(host)
            if self.login is not None:
                name, password = (part.encode() for part in self.login)
                protocol.send(socks5.SOCKS5UsernamePasswordRequest(name, password))
                if not (await self._reply(wire, protocol)).success:
                    raise self._refused(host)
            command = socks5.SOCKS5Command.CONNECT
            protocol.send(socks5.SOCKS5CommandRequest.from_address(command, (host, port)))
            if (await self._reply(wire, protocol)).reply_code != socks5.SOCKS5ReplyCode.SUCCEEDED:
                raise self._refused(host)
        except ProtocolError as error:
            raise self._refused(host) from error

    async def _reply(self, wire: Wire, protocol: SOCKS5Connection) -> Any:
        wire.write(protocol.data_to_send())
        return protocol.receive_data(await wire.read())

    def _refused(self, host: str) -> NotConnectedError:
        return NotConnectedError(f"The proxy {self.host}:{self.port} refused to connect to {host}.")


def proxy_for(tls: bool, host: str, port: int) -> Proxy | None:
    """The proxy for a connection, None for a direct one."""
    if is_loopback(host) or not any(name.lower().endswith("_proxy") for name in os.environ):
        return None
    from urllib import request

    named = request.getproxies_environment()
    url = named.get("https" if tls else "http") or named.get("all")
    if not url or request.proxy_bypass_environment(  # type: ignore[attr-defined]  # not in typeshed
        f"{host}:{port}"
    ):
        return None
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme not in _PORTS or not parts.hostname:
        raise NotConnectedError(
            "The proxy in HTTP_PROXY, HTTPS_PROXY or ALL_PROXY must be an http:// or socks5:// address."
        )
    login = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    socks = parts.scheme != "http"
    return Proxy(parts.hostname, parts.port or _PORTS[parts.scheme], login, socks)
