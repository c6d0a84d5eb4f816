"""What needs no token: one table, by the shape of the addresses.

`/verify` decides by it, and every edge routes by the same rows (traefik/dynamic.yml, docs/other-edges.md),
which tests/edges compares with it. Every row is answered by the authorization server; nothing in it reaches
a server. Whatever is in no row needs a token.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto

from .settings import Shape

SEGMENT = r"[A-Za-z0-9](?:[A-Za-z0-9._~-]{0,62}[A-Za-z0-9_~-])?"
OWN_PATHS = (
    "account", "authorize", "callback", "consent", "device", "device_authorization", "health",
    "introspect", "jwks", "login", "logout", "register", "revoke", "static", "token",
    "wheels",
)  # fmt: skip
"""First path segments on one host that are the authorization server's own."""
INTERNAL_PATHS = ("verify", "metrics", "live", "internal")
"""Never for the public, whatever the edge lets through; no server can have these names either."""


class Place(Enum):
    """What an address is."""

    OWN = auto()
    """An endpoint of the authorization server's own."""
    METADATA = auto()
    TOKEN = auto()
    """The token endpoint at a server's host, for clients with tokens but no metadata (MCP 2025-03-26)."""
    HEALTH = auto()
    """A server's, told from what is known about it."""
    CARD = auto()
    """What a server says of itself (SEP-2127), told from what is known about it."""
    BARE = auto()
    """A server's host or first path segment alone: says where its endpoint is."""
    ENDPOINT = auto()
    """A server's MCP endpoint, or below it: the one place that needs a token."""
    NOWHERE = auto()
    """Under our names, but nothing is there."""
    ELSEWHERE = auto()
    """A host that is none of ours."""


class On(Enum):
    """Which hosts a row is about; with one host it is both."""

    ISSUER = auto()
    SERVER = auto()
    EITHER = auto()


@dataclass(frozen=True, slots=True)
class Row:
    place: Place
    on: On
    path: re.Pattern[str]
    """Matches the whole path; the first group, if any, is the server's name."""


def table(shape: Shape) -> tuple[Row, ...]:
    """The rows in the order in which they count. Preflights, whatever their path, are one more:
    see `is_preflight`."""
    documents = "oauth-authorization-server|openid-configuration"
    # Plain characters only: what one edge decodes, another may not, and would pass to a server.
    metadata = rf"/\.well-known/[A-Za-z0-9._~/-]*|(?:/{SEGMENT})+/\.well-known/(?:{documents})"
    rows: tuple[tuple[Place, On, str], ...]
    if shape is Shape.SUBDOMAINS:
        rows = (
            (Place.METADATA, On.EITHER, metadata),
            (Place.OWN, On.ISSUER, rf"/(?!(?:{'|'.join(INTERNAL_PATHS)})(?:/|$)).*"),
            (Place.TOKEN, On.SERVER, "/token"),
            (Place.HEALTH, On.SERVER, "/health"),
            (Place.CARD, On.SERVER, "/mcp/server-card"),
            (Place.BARE, On.SERVER, "/"),
        )
    else:
        name = rf"(?!(?:{'|'.join(INTERNAL_PATHS)})(?:/|$))({SEGMENT})"
        rows = (
            (Place.METADATA, On.EITHER, metadata),
            (Place.OWN, On.ISSUER, rf"/(?:(?:{'|'.join(OWN_PATHS)})(?:/.*)?)?"),
            (Place.HEALTH, On.SERVER, f"/{name}/health"),
            (Place.CARD, On.SERVER, f"/{name}/mcp/server-card"),
            (Place.BARE, On.SERVER, f"/{name}/?"),
        )
    return tuple(Row(place, on, re.compile(path)) for place, on, path in rows)


def is_preflight(method: str, headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether a browser asks what a page may do (Fetch standard, CORS-preflight request).

    An OPTIONS without that question is a request like any other.
    """
    asked = [value for name, value in headers if name == b"access-control-request-method"]
    return method == "OPTIONS" and len(asked) == 1 and asked[0].isalpha()
