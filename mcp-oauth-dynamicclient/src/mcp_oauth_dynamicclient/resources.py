"""The gateway's servers, recognised by the shape of their address under the configured base.

A protected resource's identifier (RFC 8707, RFC 9728) is exactly the URL of its MCP endpoint:
`https://NAME.example.com[/SUB]/mcp` (subdomains) or `https://host/NAME[/SUB]/mcp` (one host). Nothing outside
the base is ever believed.
"""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

from .settings import Settings, Shape

LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
SEGMENT = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._~-]{0,62}[A-Za-z0-9_~-])?")
METADATA_PATH = "/.well-known/oauth-protected-resource"
ENDPOINT = "mcp"
MAX_DEPTH = 4
OWN_PATHS = {
    "", "account", "authorize", "callback", "consent", "device", "device_authorization", "health",
    "introspect", "jwks", "login", "logout", "register", "revoke", "static", "token",
}  # fmt: skip
"""First path segments on one host that are the authorization server's own."""
INTERNAL_PATHS = {"verify", "metrics"}
"""Never for the public, whatever the edge lets through; no server can have these names either."""
WELL_KNOWN = "/.well-known/"


class Resources:
    def __init__(self, settings: Settings) -> None:
        base = urlsplit(settings.issuer)
        self._shape = settings.shape
        self._scheme = base.scheme
        self._issuer = settings.issuer
        self._authority = _authority(base)
        domain = urlsplit(f"//{settings.base_domain}") if settings.base_domain else base
        self._domain = _authority(domain._replace(scheme=base.scheme))

    def canonical(self, url: str) -> str | None:
        """The identifier that a client's `resource` parameter names, or None when it names none of ours.

        Exact, except that scheme and host are compared without regard to case, and a default port may be
        written.
        """
        parts = _split(url)
        if parts is None or parts.query or "?" in url or "#" in url or parts.username is not None:
            return None
        if parts.scheme != self._scheme:
            return None
        return self._resource(_authority(parts), parts.path, exact=True)

    def of_request(self, host: str, uri: str) -> str | None:
        """The server that a forwarded request is for, or None when it is for none of ours.

        `uri` is the request target as the client sent it. The endpoint itself, every path below it, and the
        bare address of the server (`https://NAME.example.com/`, `https://host/NAME`) belong to the server.
        The scheme is the configured one: an edge behind a tunnel does not see the scheme that people use.
        """
        authority = self._believe(host)
        path = uri.partition("?")[0]
        path = path[:-1] if path.endswith("/") else path
        if authority is None:
            return None
        bare = path.count("/") == (0 if self._shape is Shape.SUBDOMAINS else 1)
        return self._resource(authority, f"{path}/{ENDPOINT}" if bare else path, exact=bare)

    def is_own(self, host: str, uri: str) -> bool:
        """Whether a forwarded request is for the authorization server itself, which needs no gate.

        Its token endpoint is at every server's own host too: a client that has kept its tokens but no
        metadata refreshes there (MCP 2025-03-26, Authorization, fallbacks).
        """
        path = uri.partition("?")[0]
        if not _unambiguous(path):
            return False
        authority = self._believe(host)
        if authority != self._authority:
            return authority is not None and path == "/token"
        first = path.split("/")[1]
        return first not in INTERNAL_PATHS and (self._shape is Shape.SUBDOMAINS or first in OWN_PATHS)

    def is_open(self, host: str, uri: str) -> bool:
        """Whether a forwarded request needs no token: metadata anywhere, and a server's own `/health`."""
        path = uri.partition("?")[0]
        if self._believe(host) is None or not _unambiguous(path):
            return False
        depth = 1 if self._shape is Shape.SUBDOMAINS else 2
        return WELL_KNOWN in path or (path.endswith("/health") and path.count("/") == depth)

    def is_ours(self, host: str) -> bool:
        """Whether a Host header names the issuer or a host that can hold servers."""
        return self._believe(host) is not None

    def of_metadata(self, host: str, path: str) -> str | None:
        """The resource whose metadata is asked for at `host`; `path` is what follows METADATA_PATH, or "".

        A host that holds one server answers at its root too.
        """
        authority = self._believe(host)
        if authority is None:
            return None
        if self._shape is Shape.SUBDOMAINS and path == "":
            path = f"/{ENDPOINT}"
        return self._resource(authority, path, exact=True)

    def metadata_url(self, resource: str) -> str:
        """Where the metadata of a resource is (RFC 9728 section 3.1: inserted before its path)."""
        parts = urlsplit(resource)
        return f"{parts.scheme}://{parts.netloc}{METADATA_PATH}{parts.path}"

    def name(self, resource: str) -> str:
        """The server's name for people: `time`, or `time/sub` for a nested endpoint."""
        parts = urlsplit(resource)
        inner = parts.path.removesuffix(f"/{ENDPOINT}").strip("/")
        if self._shape is Shape.ONE_HOST:
            return inner
        host = self._server_name(parts.netloc) or parts.netloc
        return f"{host}/{inner}" if inner else host

    def _believe(self, host: str) -> str | None:
        """The authority a Host header names, if it is the issuer's or can hold servers."""
        parts = _split(f"{self._scheme}://{host}")
        if parts is None or parts.path or parts.query or parts.fragment or parts.username is not None:
            return None
        authority = _authority(parts)
        ours = authority == self._authority or self._server_name(authority) is not None
        return authority if ours else None

    def _resource(self, authority: str, path: str, *, exact: bool) -> str | None:
        segments = _segments(path)
        if segments is None or ENDPOINT not in segments:
            return None
        last = segments.index(ENDPOINT)
        if exact and last != len(segments) - 1:
            return None
        before = segments[:last]
        if self._shape is Shape.SUBDOMAINS:
            if self._server_name(authority) is None:
                return None
        elif authority != self._authority or not before or before[0] in OWN_PATHS | INTERNAL_PATHS:
            return None
        if len(before) > MAX_DEPTH:
            return None
        return f"{self._scheme}://{authority}/{'/'.join([*before, ENDPOINT])}"

    def _server_name(self, authority: str) -> str | None:
        if self._shape is not Shape.SUBDOMAINS or authority == self._authority:
            return None
        name, dot, rest = authority.partition(".")
        return name if dot and rest == self._domain and LABEL.fullmatch(name) else None


def _split(url: str) -> SplitResult | None:
    if len(url) > 2048 or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        return None
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts if parts.hostname else None


def _authority(parts: SplitResult) -> str:
    """Host in lower case, with the port unless it is the scheme's default."""
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    default = {"http": 80, "https": 443}.get(parts.scheme)
    return host if parts.port in (None, default) else f"{host}:{parts.port}"


def _unambiguous(path: str) -> bool:
    """Whether every reader of the path sees the same one: nothing that some decode, merge or climb."""
    lowered = path.lower()
    if not path.startswith("/") or not path.isascii() or not path.isprintable():
        return False
    if any(trick in lowered for trick in ("//", "\\", "%2e", "%2f", "%5c", "%25", "%00", ";")):
        return False
    return not {".", ".."} & set(path.split("/"))


def _segments(path: str) -> list[str] | None:
    """The path's segments; None for one that two readers could understand differently."""
    if not path.startswith("/") or "%" in path:
        return None
    segments = path[1:].split("/")
    return segments if all(SEGMENT.fullmatch(segment) for segment in segments) else None
