"""Nothing is left behind by clients that leave in any way."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from typing import Any

from mcp_streamablehttp_proxy.modern.errand import Errand
from mcp_streamablehttp_proxy.modern.party import Party

NAME = "test_input_required_result_elicitation"


def living(kind: type) -> int:
    gc.collect()
    return sum(isinstance(one, kind) for one in gc.get_objects())


async def test_clients_that_leave_leave_nothing_behind(translated: Any, impatient: Any) -> None:
    client = impatient(translated.able(), patience=0.5)
    before = living(Errand), living(Party)

    async def leave(body: dict[str, Any]) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.2):
                await client.post(body)

    async def listen_and_leave() -> None:
        async with client.listen(
            toolsListChanged=True, resourceSubscriptions=["test://static-text"]
        ) as events:
            await events.next()

    hang = client.request("tools/call", name="test_hang")
    ask = client.request("tools/call", name=NAME)
    wrong = client.request("tools/call", name=NAME, requestState="x")
    for _ in range(5):
        await asyncio.gather(*(leave(body) for body in (hang, hang, ask, wrong)), listen_and_leave())
    child = await client.running.app.hub.endpoints["default"].pool.joint("", "modern")
    while len(client.era.rounds) or tuple(child.owners) or child.busy:
        await asyncio.sleep(0.01)
    assert await client.text("test_running") == "0"
    assert await client.text("test_trigger_resource_update") == "updated 0"
    assert (living(Errand), living(Party)) == before
