"""Opening a connection: directly or through a proxy."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl

from .._common.addresses import literal
from ..errors import NotConnectedError
from ..proxies import proxy_for
from ..trust import Trust
from .connection import Connection
from .target import Target
from .tls import tls_context
from .wire import Wire

CONNECT_SECONDS = 20.0
NEXT_ADDRESS_SECONDS = 0.25
"""After so long the other address family is tried beside the first (RFC 8305 section 5)."""
_PROBES = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}


async def connected(target: Target, trust: Trust) -> Connection:
    """Raises NotConnectedError."""
    proxy = proxy_for(target.tls, target.host, target.port)
    context = tls_context(trust) if target.tls else None
    wire = Wire()
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            if proxy is None:
                await _open(wire, target.host, target.port, context)
            else:
                await _open(wire, proxy.host, proxy.port, None)
                if context is not None or proxy.socks:
                    await proxy.tunnel(wire, target.host, target.port)
                if context is not None:
                    await wire.start_tls(context, target.host)
            return Connection(wire, proxy)
    except BaseException as error:
        wire.close()
        if isinstance(error, ssl.SSLCertVerificationError):
            raise NotConnectedError(
                f"The certificate of {target.authority} is not trusted: {error.verify_message}.",
                passing=False,
            ) from error
        if isinstance(error, TimeoutError):
            raise NotConnectedError(
                f"{target.authority} could not be reached within {CONNECT_SECONDS:g} s.", passing=False
            ) from error
        if isinstance(error, OSError):
            raise NotConnectedError(
                f"Cannot connect to {target.authority}: {_reason(error)}.",
                passing=isinstance(error, ConnectionError),
            ) from error
        raise


async def _open(wire: Wire, host: str, port: int, tls: ssl.SSLContext | None) -> None:
    # An address has no other to race with; a race that is cancelled as it is won loses the socket.
    delay = NEXT_ADDRESS_SECONDS if literal(host) is None else None
    transport, _ = await asyncio.get_running_loop().create_connection(
        lambda: wire, host, port, ssl=tls, happy_eyeballs_delay=delay
    )
    kept_alive(transport.get_extra_info("socket"))


def kept_alive(connection: socket.socket) -> None:
    """A path that has gone (a sleeping laptop, a forgetful NAT) is noticed within a minute."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _PROBES.items():
        if (option := getattr(socket, name, None)) is not None:
            connection.setsockopt(socket.IPPROTO_TCP, option, value)


def _reason(error: OSError) -> str:
    several = isinstance(error.errno, int) and error.errno > 0
    return os.strerror(error.errno) if several else error.strerror or type(error).__name__  # type: ignore[arg-type]
