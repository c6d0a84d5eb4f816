"""A Streamable HTTP endpoint without sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .refusal import refuse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


class PostOnly:
    """Without sessions there is no GET stream to open and nothing to DELETE: 405."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "POST":
            await self.app(scope, receive, send)
        else:
            await refuse(send, 405, "This server has no sessions; send POST.", ((b"allow", b"POST"),))
