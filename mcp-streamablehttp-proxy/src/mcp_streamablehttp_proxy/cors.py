"""Which web pages may read the answers (Fetch standard, CORS protocol), for use without the gateway: its edge
decides for what is behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.middleware.cors import CORSMiddleware

from ._common.host_origin import OriginRule

if TYPE_CHECKING:
    from starlette.types import ASGIApp

EXPOSED = ("Mcp-Session-Id", "MCP-Protocol-Version", "WWW-Authenticate", "Retry-After", "ETag")


class Cors(CORSMiddleware):
    """Starlette's, with origins by rules. A page gets no credentials of the browser's along."""

    def __init__(self, app: ASGIApp, rules: tuple[OriginRule, ...]) -> None:
        super().__init__(
            app,
            allow_methods=("GET", "POST", "DELETE"),
            allow_headers=("*",),
            allow_private_network=True,
            expose_headers=EXPOSED,
        )
        self._rules = rules

    def is_allowed_origin(self, origin: str) -> bool:
        return any(rule.allows(origin) for rule in self._rules)
