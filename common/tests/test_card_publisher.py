"""What the gateway is told of a server."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from common.card_publisher import CardPublisher
from common.identity_statement import Statement
from common.server_card import LONGEST_SAID


async def test_a_text_that_the_gateway_would_not_take_is_cut_before_it_is_told() -> None:
    """What it does not take it would be told again every minute."""
    heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    class Gateway:
        async def tell(self, statement: Statement, said: dict[str, Any]) -> None:
            heard.put_nowait(said)

    async def app(*_: object) -> None:
        """The call itself does not count here."""

    info = {"name": "time", "title": "x" * 100_000, "websiteUrl": "https://example.com/" + "x" * 100_000}
    gateway: Any = Gateway()
    publisher = CardPublisher(app, gateway, lambda _: info)
    statement = Statement("ada", "Ada", "client", "mcp", "https://a.example/mcp", time.time() + 300, "k", "t")
    scope: Any = {"type": "http", "path": "/mcp", "state": {"gateway_statement": statement}}
    nothing: Any = None
    await publisher(scope, nothing, nothing)
    assert await heard.get() == {"name": "time", "title": "x" * LONGEST_SAID}
