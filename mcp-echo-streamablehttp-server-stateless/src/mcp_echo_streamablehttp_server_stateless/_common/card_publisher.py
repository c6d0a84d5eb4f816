"""Tells the gateway what a server says of itself, for its card and the gateway's pages: with the first call
that the gateway vouches for, again when that changes, and once a day.

Nobody asks the server for a stranger: who asks for the card gets what the gateway was told last.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .gateway_identity import GatewayIdentity
from .identity_statement import Statement
from .internal_http import NoAnswerError
from .server_card import told

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

log = logging.getLogger(__name__)

AGAIN = 86_400.0
"""Seconds after which the gateway is told again."""
PAUSE = 60.0
"""Seconds after which it is tried again."""


class CardPublisher:
    """Inside the identity gate. `said` has the `serverInfo` of the server at a path, or nothing; and as
    `tools` a digest of them (server_tools), where everybody who may use the server has the same."""

    def __init__(
        self, app: ASGIApp, gateway: GatewayIdentity, said: Callable[[str], Mapping[str, Any]]
    ) -> None:
        self.app = app
        self._gateway = gateway
        self._said = said
        self._told: dict[str, tuple[dict[str, Any], float]] = {}
        """What was told of a server, and when that is due again (time.monotonic)."""
        self._tasks: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self.app(scope, receive, send)
        finally:
            statement = scope.get("state", {}).get("gateway_statement")
            if statement is not None:
                self._consider(statement, self._said(scope["path"]))

    def _consider(self, statement: Statement, info: Mapping[str, Any]) -> None:
        said: dict[str, Any] = {**told(info)}
        if (tools := info.get("tools")) is not None:
            said["tools"] = tools
        known, due = self._told.get(statement.audience, ({}, 0.0))
        if said and (said != known or time.monotonic() >= due):
            self._told[statement.audience] = said, time.monotonic() + AGAIN
            task = asyncio.create_task(self._tell(statement, said))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _tell(self, statement: Statement, said: dict[str, Any]) -> None:
        try:
            await self._gateway.tell(statement, said)
        except NoAnswerError as problem:
            self._told[statement.audience] = said, time.monotonic() + PAUSE
            log.info("the gateway did not take the server's card: %s", problem)
