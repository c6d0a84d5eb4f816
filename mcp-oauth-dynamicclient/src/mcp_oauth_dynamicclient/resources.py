"""What an address means: the gateway's servers, recognised by their shape under the configured base.

A protected resource's identifier (RFC 8707, RFC 9728) is exactly the URL of its MCP endpoint:
`https://NAME.example.com[/SUB]/mcp` (subdomains) or `https://host/NAME[/SUB]/mcp` (one host). Written with a
slash at its end it means the same server. Nothing outside the base is ever believed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import SplitResult, urlsplit

from .public import INTERNAL_PATHS, OWN_PATHS, SEGMENT, On, Place, table
from .settings import Settings, Shape

LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
METADATA_PATH = "/.well-known/oauth-protected-resource"
ENDPOINT = "mcp"
MAX_DEPTH = 4
MAX_LENGTH = 2048
"""Characters of an address that are looked at; a longer one names nothing."""
REMEMBERED = 512
"""Addresses whose meaning is kept. What strangers send is bounded by MAX_LENGTH, so all of them take 2 MB."""
_SEGMENT = re.compile(SEGMENT)


@dataclass(frozen=True, slots=True)
class Address:
    """What one address is. `server` and `resource` are empty where it is no server's."""

    place: Place
    server: str = ""
    """The server's name, as the edge and the registry know it."""
    resource: str = ""
    """The canonical identifier, which tokens carry as `aud`."""
    slash: bool = False
    """Whether the endpoint was written with a slash at its end."""
    below: bool = False
    """Whether it is no endpoint itself but a path below one, which means what its server likes."""

    @property
    def asked(self) -> str:
        """The identifier as the client writes it, which metadata has to echo (RFC 9728 section 3.3)."""
        return f"{self.resource}/" if self.slash else self.resource


NOWHERE = Address(Place.NOWHERE)
ELSEWHERE = Address(Place.ELSEWHERE)


class Resources:
    def __init__(self, settings: Settings) -> None:
        base = urlsplit(settings.issuer)
        self._shape = settings.shape
        self._table = table(settings.shape)
        self._scheme = base.scheme
        self._authority = _authority(base)
        domain = urlsplit(f"//{settings.base_domain}") if settings.base_domain else base
        self._domain = _authority(domain._replace(scheme=base.scheme))
        # Settings do not change while this runs, and every request of a client names the same address.
        self._remembered = lru_cache(REMEMBERED)(self._meaning)

    def read(self, host: str, target: str) -> Address:
        """What the address of a request means: `host` as the client named it, `target` as it wrote it.

        The endpoint and every path below it belong to the server. The scheme is the configured one: an edge
        behind a tunnel does not see the scheme that people use.
        """
        path = target.partition("?")[0]
        if len(host) > MAX_LENGTH:
            return ELSEWHERE
        return self._remembered(host, path) if len(path) <= MAX_LENGTH else self._meaning(host, path)

    def _meaning(self, host: str, path: str) -> Address:
        authority = self._believe(host)
        if authority is None:
            return ELSEWHERE
        if not _unambiguous(path):
            return NOWHERE
        name = self._server_name(authority)
        for row in self._table:
            if self._is_on(row.on, name) and (found := row.path.fullmatch(path)):
                if row.place in (Place.OWN, Place.METADATA, Place.TOKEN):
                    return Address(row.place, name or "")
                server = name or found[1]
                return Address(row.place, server, self._bare_resource(authority, server))
        return self._endpoint(authority, path) or NOWHERE

    def asked_for(self, url: str) -> Address | None:
        """The server whose identifier a URL is, exactly, but for the case of scheme and host, a default port
        and a slash at the end. None when it is none of ours."""
        parts = _split(url)
        if parts is None or parts.query or "?" in url or "#" in url or parts.username is not None:
            return None
        if parts.scheme != self._scheme:
            return None
        return self._exactly(_authority(parts), parts.path)

    def canonical(self, url: str) -> str | None:
        """The identifier that a client's `resource` parameter means, or None when it means none of ours."""
        address = self.asked_for(url)
        return address.resource if address else None

    def of_metadata(self, host: str, path: str) -> Address | None:
        """The server whose metadata is asked for at `host`; `path` is what follows METADATA_PATH, or "".

        A host that holds one server answers at its root too.
        """
        authority = self._believe(host)
        if authority is None:
            return None
        if self._shape is Shape.SUBDOMAINS and path == "":
            path = f"/{ENDPOINT}"
        return self._exactly(authority, path)

    def is_ours(self, host: str) -> bool:
        """Whether a Host header names the issuer or a host that can hold servers."""
        return self._believe(host) is not None

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

    def server(self, resource: str) -> str:
        """The name that the edge and the registry know the server of a canonical identifier by."""
        return self.name(resource).partition("/")[0]

    def of_server(self, name: str) -> str:
        """The canonical identifier of the server of a name."""
        return self._bare_resource(
            f"{name}.{self._domain}" if self._shape is Shape.SUBDOMAINS else self._authority, name
        )

    def server_of_host(self, host: str) -> str | None:
        """The name of the server at a host that an edge's rule names, which is without a port."""
        name, dot, rest = host.lower().partition(".")
        ours = dot and rest == self._domain.partition(":")[0] and name != "auth"
        return name if ours and LABEL.fullmatch(name) else None

    def _believe(self, host: str) -> str | None:
        """The authority a Host header names, if it is the issuer's or can hold servers."""
        parts = _split(f"{self._scheme}://{host}")
        if parts is None or parts.path or parts.query or parts.fragment or parts.username is not None:
            return None
        authority = _authority(parts)
        ours = authority == self._authority or self._server_name(authority) is not None
        return authority if ours else None

    def _is_on(self, on: On, name: str | None) -> bool:
        if on is On.EITHER or self._shape is Shape.ONE_HOST:
            return True
        return (on is On.SERVER) == (name is not None)

    def _bare_resource(self, authority: str, server: str) -> str:
        inner = "" if self._shape is Shape.SUBDOMAINS else f"/{server}"
        return f"{self._scheme}://{authority}{inner}/{ENDPOINT}"

    def _exactly(self, authority: str, path: str) -> Address | None:
        address = self._endpoint(authority, path)
        return address if address and urlsplit(address.asked).path == path else None

    def _endpoint(self, authority: str, path: str) -> Address | None:
        """The server that has an endpoint at this path or above it."""
        stripped = path.removesuffix("/")
        segments = _segments(stripped)
        if segments is None or ENDPOINT not in segments:
            return None
        end = segments.index(ENDPOINT)
        before = segments[:end]
        name = self._server_name(authority)
        if self._shape is Shape.ONE_HOST:
            ours = authority == self._authority and bool(before)
            name = before[0] if ours and before[0] not in (*OWN_PATHS, *INTERNAL_PATHS) else None
        if name is None or len(before) > MAX_DEPTH:
            return None
        resource = f"{self._scheme}://{authority}/{'/'.join([*before, ENDPOINT])}"
        below = end < len(segments) - 1
        return Address(Place.ENDPOINT, name, resource, slash=path != stripped and not below, below=below)

    def _server_name(self, authority: str) -> str | None:
        if self._shape is not Shape.SUBDOMAINS or authority == self._authority:
            return None
        name, dot, rest = authority.partition(".")
        return name if dot and rest == self._domain and LABEL.fullmatch(name) else None


def _split(url: str) -> SplitResult | None:
    if len(url) > MAX_LENGTH or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
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
    if len(path) > MAX_LENGTH or not path.startswith("/") or not path.isascii() or not path.isprintable():
        return False
    lowered = path.lower()
    if any(trick in lowered for trick in ("//", "\\", "%2e", "%2f", "%5c", "%25", "%0", "%1", "%7f", ";")):
        return False
    return not {".", ".."} & set(path.split("/"))


def _segments(path: str) -> list[str] | None:
    """The path's segments; None for one that two readers could understand differently."""
    if not path.startswith("/") or "%" in path:
        return None
    segments = path[1:].split("/")
    return segments if all(_SEGMENT.fullmatch(segment) for segment in segments) else None
