"""Nothing is left behind by clients that leave in any way."""

from __future__ import annotations

import asyncio
import contextlib
import gc

import pytest
from mcp_streamablehttp_proxy._common.modern_to_handshake import OpenCall
from mcp_streamablehttp_proxy.request.client_call import ClientCall
from mcp_streamablehttp_proxy.server.places import Place

from ..support import Json
from .support import Impatient, Modern

NAME = "test_input_required_result_elicitation"


def living(kind: type) -> int:
    gc.collect()
    return sum(isinstance(one, kind) for one in gc.get_objects())


async def test_clients_that_leave_leave_nothing_behind(
    translated: Modern, impatient: Impatient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcp_streamablehttp_proxy.server.questions.PATIENCE", 0.5)
    client = impatient(translated.able(), patience=0.5)
    before = living(ClientCall), living(OpenCall)

    async def leave(body: Json) -> None:
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
    places = client.endpoint.pool._all_places()

    def free(place: Place) -> bool:
        assert place.backend is not None
        return place.backend.free

    while len(client.era.parked) or not all(place.idle and free(place) for place in places):
        await asyncio.sleep(0.01)
    assert await client.text("test_running") == "0"
    assert await client.text("test_trigger_resource_update") == "updated 0"
    assert (living(ClientCall), living(OpenCall)) == before
