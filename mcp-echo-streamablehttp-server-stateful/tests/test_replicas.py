"""Requests are passed on between replicas only where each keeps its state in its own memory."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import httpx
import pytest
from mcp import Client

from .test_sessions import ACCEPT, ALICE, MODERN, Session, rpc

Start = Callable[..., str]
Connect = Callable[..., AbstractAsyncContextManager[Client]]


class Other(socketserver.ThreadingTCPServer):
    """The address of another replica, where whoever connects is noted and sent away."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), socketserver.BaseRequestHandler)
        self.seen: SimpleQueue[object] = SimpleQueue()

    def process_request(self, request: Any, client_address: Any) -> None:
        self.seen.put(client_address)
        super().process_request(request, client_address)

    def was_asked(self) -> bool:
        try:
            return self.seen.get_nowait() is not None
        except Empty:
            return False


@pytest.fixture
def other() -> Iterator[Other]:
    with Other() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def among(other: Other, tmp_path: Path) -> dict[str, Any]:
    """Settings that name the other as the only replica: whatever is passed on goes there."""
    secret = tmp_path / "replica_secret"
    secret.write_text("s" * 32)
    return {
        "trust_identity": True,
        "replicas": f"127.0.0.1:{other.server_address[1]}",
        "replica_secret_file": str(secret),
    }


@pytest.mark.parametrize("store", ["sqlite", "redis"])
async def test_with_a_shared_store_nothing_is_passed_on(
    store: str,
    start: Start,
    connect: Connect,
    browser: httpx.Client,
    other: Other,
    among: dict[str, Any],
    request: pytest.FixtureRequest,
) -> None:
    if store == "redis":
        among["echo_state_url"] = request.getfixturevalue("redis_url")
    one, two = start(**among), start(**among)
    session = Session(browser, one, ALICE)
    session.call(one, "echo", message="at one")
    assert session.call(two, "replayLastEcho")["message"] == "at one"
    async with connect(one, MODERN, ALICE) as client:
        await client.call_tool("echo", {"message": "of this era"})
    async with connect(two, MODERN, ALICE) as client:
        replayed = await client.call_tool("replayLastEcho", {})
    assert replayed.structured_content is not None
    assert replayed.structured_content["message"] == "of this era"
    assert browser.delete(f"{two}/mcp", headers=session.headers).status_code == 200
    assert session.post(one, "replayLastEcho").status_code == 404
    assert not other.was_asked()


def test_with_memory_a_users_call_is_passed_on(
    start: Start, browser: httpx.Client, other: Other, among: dict[str, Any]
) -> None:
    """That the test above would notice."""
    url = start(**among, echo_state_url="memory:")
    headers = ACCEPT | ALICE | {"MCP-Protocol-Version": MODERN}
    assert browser.post(f"{url}/mcp", json=rpc("tools/list"), headers=headers).status_code >= 400
    assert other.was_asked()
