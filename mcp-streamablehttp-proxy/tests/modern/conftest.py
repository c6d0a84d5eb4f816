"""A client of 2026-07-28 that shows the raw protocol, and children of one era only."""

from __future__ import annotations

from typing import Any

import pytest
from mcp_streamablehttp_proxy._common.modern_to_handshake import OpenCall
from mcp_streamablehttp_proxy._common.parked_calls import ParkedCalls
from mcp_streamablehttp_proxy.settings import Settings

from ..support import Read, Start
from .support import COMMANDS, Commands, Front, Impatient, Modern, read


@pytest.fixture(name="messages")
def _messages() -> Read:
    return read


@pytest.fixture
def commands() -> Commands:
    return COMMANDS


@pytest.fixture
def settings() -> type[Settings]:
    return Settings


@pytest.fixture
def impatient() -> Impatient:
    """Set how long, and how many, calls wait for their clients."""

    def change(client: Modern, **limits: Any) -> Modern:
        parked: ParkedCalls[OpenCall] = ParkedCalls(**limits)
        client.era.parked = client.endpoint.pool.openers.parked = parked
        return client

    return change


@pytest.fixture
def front(start: Start) -> Front:
    """A client of a new proxy: `front("handshake", isolation=...)`; `client.running` is the proxy."""

    async def run(child: str, **options: Any) -> Modern:
        running = await start(command=COMMANDS[child], **options)
        return Modern(running.http, running)

    return run


@pytest.fixture
async def translated(front: Front) -> Modern:
    """In front of a child that only knows the handshake."""
    return await front("handshake")


@pytest.fixture
async def known(front: Front) -> Modern:
    """A client that the gateway knows, whose calls stay on one process; the child knows the handshake."""
    client = await front("handshake", settings=Settings(trust_identity=True), isolation="user")
    return client.user("ada")


@pytest.fixture
async def native(front: Front) -> Modern:
    """In front of a child that speaks nothing but 2026-07-28."""
    return await front("modern")


@pytest.fixture(params=["handshake", "modern"])
async def client(request: pytest.FixtureRequest, front: Front) -> Modern:
    """In front of either child: what must hold whatever the child speaks."""
    return await front(request.param)
