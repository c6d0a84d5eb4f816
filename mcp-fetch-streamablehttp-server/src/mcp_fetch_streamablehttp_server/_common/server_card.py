"""Server cards and the catalog of them (SEP-2127, with the discovery document of its extension).

A card says where a server is and what it said of itself. It lists no tools, and decides nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from .versions import HANDSHAKE_VERSIONS, MODERN_VERSION

CARD_TYPE = "application/mcp-server-card+json"
CATALOG_TYPE = "application/ai-catalog+json"
CATALOG_PATH = "/.well-known/ai-catalog.json"

PUBLIC_HEADERS = {
    "access-control-allow-origin": "*",
    "access-control-allow-methods": "GET",
    "access-control-allow-headers": "Content-Type, If-None-Match",
    "access-control-expose-headers": "ETag",
    "cache-control": "public, max-age=3600",
}
"""Of both documents."""
LONGEST_SAID = 500
"""Characters of one member that the gateway is told."""

_SCHEMA = "https://static.modelcontextprotocol.io/schemas/v1/server-card.schema.json"
_CATALOG_VERSION = "1.0"
_SAID = ("name", "title", "version", "description", "websiteUrl")
"""The members of `serverInfo` that a card has use for, icons apart."""
_LONGEST = 100
_VERSIONS = [MODERN_VERSION, *HANDSHAKE_VERSIONS]


def card(name: str, url: str, said: Mapping[str, Any]) -> dict[str, Any]:
    """The card of the server that is at an address; `said` are the members of its `serverInfo`."""
    host = urlsplit(url).hostname or "localhost"
    found: dict[str, Any] = {
        "$schema": _SCHEMA,
        "name": f"{'.'.join(reversed(_labels(host)))}/{name}",
        "version": _text(said.get("version"), 255) or "unknown",
        "description": _text(said.get("description")) or _text(f"The MCP server {_display(name, said)}"),
        "title": _display(name, said),
        "remotes": [{"type": "streamable-http", "url": url, "supportedProtocolVersions": _VERSIONS}],
    }
    website = said.get("websiteUrl")
    if isinstance(website, str) and website.startswith(("https://", "http://")):
        found["websiteUrl"] = website
    icons = said.get("icons")
    if isinstance(icons, list) and all(isinstance(icon, dict) and "src" in icon for icon in icons):
        found["icons"] = icons
    return found


def told(info: Mapping[str, Any]) -> dict[str, str]:
    """What the gateway is told of a `serverInfo`: each text cut, and no address that would be.

    Half a surrogate pair, which JSON can escape and no document in UTF-8 can hold, is `?`.
    """
    texts = {name: value for name in _SAID if isinstance(value := info.get(name), str)}
    if len(texts.get("websiteUrl", "")) > LONGEST_SAID:
        del texts["websiteUrl"]
    return {name: text[:LONGEST_SAID].encode(errors="replace").decode() for name, text in texts.items()}


def catalog(servers: Mapping[str, tuple[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """All servers that have a card: address and `serverInfo` by name."""
    entries = [
        {
            "identifier": f"urn:air:{urlsplit(url).hostname or 'localhost'}:{name}",
            "displayName": _display(name, said),
            "type": CARD_TYPE,
            "url": f"{url}/server-card",
        }
        for name, (url, said) in servers.items()
    ]
    return {"specVersion": _CATALOG_VERSION, "entries": entries}


def _display(name: str, said: Mapping[str, Any]) -> str:
    return _text(said.get("title")) or _text(said.get("name")) or name


def _text(value: object, longest: int = _LONGEST) -> str:
    """What may stand in a card, on one line."""
    return " ".join(value.split())[:longest] if isinstance(value, str) else ""


def _labels(host: str) -> list[str]:
    """The labels of a domain name; an address has one."""
    if re.fullmatch(r"[\d.]+|.*:.*", host):
        return [host.replace(":", "-").strip("-")]
    return host.split(".")
