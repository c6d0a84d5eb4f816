"""Which web pages may call what (Fetch standard, CORS protocol), decided once for every layer.

The endpoints that never act on a cookie are open to every origin: browser inspectors need them. A server's
endpoint is for the origins of the settings and for pages of this machine, and others are refused before
anybody is asked to sign in (MCP, Streamable HTTP, Security Warning). Pages for people are for no script.
"""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ._common.host_origin import origin_rules
from .public import Place, is_preflight
from .resources import Address, Resources
from .settings import Settings

OPEN_PATHS = ("/jwks", "/token", "/register", "/revoke", "/device_authorization", "/.well-known")
OPEN_PLACES = (Place.METADATA, Place.TOKEN, Place.HEALTH, Place.CARD, Place.BARE)
LOOPBACK = "localhost:*,127.0.0.1:*,[::1]:*"
READABLE = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Mcp-Session-Id, MCP-Protocol-Version, WWW-Authenticate, Retry-After",
}
"""On an answer that the page may read. No answer depends on a cookie, so any page that got it may."""
PREFLIGHT = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, POST, PUT, DELETE",
    # A wildcard does not cover Authorization (Fetch standard, CORS-unsafe request headers).
    "Access-Control-Allow-Headers": "*, Authorization",
    "Access-Control-Max-Age": "3600",
    "Cache-Control": "no-store",
}

ADDRESS = "mcp_oauth_dynamicclient.address"
"""Where the scope of a request has what its address means."""


class Origins:
    def __init__(self, settings: Settings) -> None:
        own = ",".join((LOOPBACK, settings.issuer, *settings.allowed_origins))
        self._rules = origin_rules(own)

    def may_call_servers(self, origins: list[str]) -> bool:
        """Whether a request with these `Origin` headers may go on to a server; programs send none."""
        return all(any(rule.allows(origin) for rule in self._rules) for origin in origins)


class Cors:
    """Answers preflights, and says on every other answer whether a page may read it."""

    def __init__(self, app: ASGIApp, resources: Resources, origins: Origins) -> None:
        self._app = app
        self._resources = resources
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        origins = origins_of(scope)
        allowed = self._allows(scope, origins)

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in READABLE.items():
                    headers[name] = value
            await send(message)

        if is_preflight(scope["method"], scope["headers"]):
            preflight = Response(status_code=204, headers=PREFLIGHT) if allowed else Response(status_code=403)
            await preflight(scope, receive, send)
        else:
            await self._app(scope, receive, marked if origins and allowed else send)

    def _allows(self, scope: Scope, origins: list[str]) -> bool:
        address = address_of(self._resources, scope)
        if address.place is Place.ENDPOINT:
            return self._origins.may_call_servers(origins)
        path = scope["path"]
        return address.place in OPEN_PLACES or any(
            path == start or path.startswith(f"{start}/") for start in OPEN_PATHS
        )


def origins_of(scope: Scope) -> list[str]:
    return [value.decode("latin-1") for name, value in scope["headers"] if name == b"origin"]


def address_of(resources: Resources, scope: Scope) -> Address:
    """What the address of a request to this application means: read once, and kept with the request."""
    address: Address | None = scope.get(ADDRESS)
    if address is None:
        target = scope.get("raw_path") or scope["path"].encode("utf-8", "surrogatepass")
        address = scope[ADDRESS] = resources.read(host_of(resources, scope), target.decode("latin-1"))
    return address


def host_of(resources: Resources, scope: Scope) -> str:
    """The host that was asked: `Host`, or where a proxy replaced that, what the proxy says it was."""
    named = {b"host": "", b"x-forwarded-host": ""}
    for name, value in scope["headers"]:
        if name in named:
            named[name] = value.decode("latin-1")
    host = named[b"host"]
    return host if resources.is_ours(host) else named[b"x-forwarded-host"]
