"""How the services of a local run are, asked without a credential."""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit


def health(port: int, url: str, *, wait_for_200: bool = False) -> str | None:
    """How the service at a port of this machine is, asked for a URL: `healthy`, the reason why not (unless
    only 200 will do), or None while neither is known."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", parts.path, headers={"Host": parts.netloc})
        answer = connection.getresponse()
        if answer.status == 200:
            return "healthy"
        if answer.status == 503 and not wait_for_200:
            return answer.read(500).decode(errors="replace")
        return None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def own_health(port: int) -> str | None:
    """What a service says of itself at its own port."""
    return health(port, f"http://localhost:{port}/health")


def edge_health(port: int, issuer: str) -> str | None:
    """Whether the edge leads to the authorization server: `healthy`, or None."""
    return health(port, f"{issuer}/.well-known/oauth-authorization-server", wait_for_200=True)
