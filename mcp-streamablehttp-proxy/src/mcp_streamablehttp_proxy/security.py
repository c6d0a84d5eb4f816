"""Who may talk to the proxy at all: Host and Origin allow-lists, and the signed-in user.

Without these checks any web page could reach a server on this machine by DNS rebinding
(MCP, Streamable HTTP, Security Warning).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from .http import Headers, Refused
from .settings import Settings, SettingsError

_REMEMBERED: Final = 256


class AllowList:
    """Host names, each with or without a port; `*.example.com` for subdomains, `*` for all."""

    def __init__(self, setting: str, entries: Iterable[str]) -> None:
        self._exact: set[tuple[str, int | None]] = set()
        self._suffixes: set[tuple[str, int | None]] = set()
        self._all = False
        for entry in entries:
            if entry == "*":
                self._all = True
                continue
            wildcard = entry.startswith("*.")
            try:
                host, port = split_authority(entry[2:] if wildcard else entry)
            except ValueError:
                raise SettingsError(
                    f"{setting}: {entry!r} is not a host name like example.com, "
                    "example.com:8443 or *.example.com"
                ) from None
            (self._suffixes if wildcard else self._exact).add((host, port))

    def __contains__(self, authority: str) -> bool:
        if self._all:
            return True
        try:
            host, port = split_authority(authority)
        except ValueError:
            return False
        if (host, None) in self._exact or (host, port) in self._exact:
            return True
        while "." in host:
            host = host.partition(".")[2]
            if (host, None) in self._suffixes or (host, port) in self._suffixes:
                return True
        return False


def split_authority(authority: str) -> tuple[str, int | None]:
    """Host in lower case and port of `host[:port]`. Raises ValueError for anything else."""
    if not authority or any(c in authority for c in "/?#@\\ ,\t*%"):
        raise ValueError(authority)
    parts = urlsplit("//" + authority)
    if not parts.hostname:
        raise ValueError(authority)
    return parts.hostname.rstrip("."), parts.port


def without_scheme(entry: str) -> str:
    return entry.partition("://")[2] or entry


class Guard:
    """Checks every request before anything else does; answers are remembered by header value."""

    def __init__(self, settings: Settings) -> None:
        self._hosts = AllowList("MCP_ALLOWED_HOSTS", map(without_scheme, settings.allowed_hosts))
        self._origins = AllowList("MCP_ALLOWED_ORIGINS", map(without_scheme, settings.allowed_origins))
        self._trusted = settings.trust_identity
        self._good_hosts: set[bytes] = set()

    def check(self, headers: Headers) -> None:
        """Raises Refused: 421 for a foreign Host, 403 for a foreign Origin."""
        host = headers.get(b"host", b"")
        if host not in self._good_hosts:
            if host.decode("latin-1") not in self._hosts:
                raise Refused(421, -32600, "this Host is not served here (MCP_ALLOWED_HOSTS)")
            if len(self._good_hosts) < _REMEMBERED:
                self._good_hosts.add(host)
        origin = headers.get(b"origin")
        if origin is not None:
            scheme, _, authority = origin.decode("latin-1").partition("://")
            if scheme not in ("http", "https") or authority not in self._origins:
                raise Refused(403, -32600, "this Origin is not allowed (MCP_ALLOWED_ORIGINS)")

    def principal(self, headers: Headers) -> str:
        """The user the gateway signed in; "" when identity headers are not to be trusted."""
        return headers.get(b"x-user-id", b"").decode("latin-1") if self._trusted else ""
