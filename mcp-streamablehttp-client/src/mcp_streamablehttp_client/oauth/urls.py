"""Which addresses found in metadata may be used at all (security best practices, CVE-2025-6514)."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from ..errors import DiscoveryError
from ..settings import is_loopback

_PLAIN = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!&*+,=%]+")


def checked(url: object, what: str, server_url: str) -> str:
    """The URL if it is https, or http where the person already chose http: on the MCP server's
    own host, or on loopback beside a server on loopback. Characters that could mean something to
    a shell, user names and fragments are refused. Raises DiscoveryError.
    """
    if not isinstance(url, str) or not _PLAIN.fullmatch(url):
        raise DiscoveryError(f"The {what} in the server's metadata is not a plain URL.")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise DiscoveryError(f"The {what} in the server's metadata is not a URL.") from error
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise DiscoveryError(f"The {what} in the server's metadata has a user name or fragment.")
    if parts.scheme == "https" and parts.hostname:
        return url
    server = urlsplit(server_url)
    both_local = is_loopback(parts.hostname) and is_loopback(server.hostname)
    same_host = server.scheme == "http" and parts.hostname == server.hostname
    if parts.scheme == "http" and parts.hostname and (both_local or same_host):
        return url
    raise DiscoveryError(f"The {what} in the server's metadata is not an https address.")
