"""Where a server is, in both shapes (docs: one host, subdomains)."""

from __future__ import annotations

from mcp_oauth_dynamicclient.settings import Settings


def server_url(settings: Settings, name: str) -> str:
    if settings.base_domain:
        return f"{settings.scheme}://{name}.{settings.base_domain}/mcp"
    return f"{settings.public_url}/{name}/mcp"
