"""server-everything as a server elsewhere, over both of its HTTP transports: the tests of test_everything."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, contextmanager
from typing import Any

import pytest
from mcp.client import Client

from tests.proxy_process import proxy_process
from tests.servers.conftest import MODERN, Connect, npm
from tests.servers.test_everything import (  # noqa: F401 - the tests, run here with another `connect`
    test_a_client_is_shown_the_tools_that_it_can_use,
    test_a_declined_elicitation,
    test_a_stateless_client_is_asked_by_input_required,
    test_a_url_to_visit,
    test_a_url_to_visit_first,
    test_elicitation,
    test_logging,
    test_progress,
    test_prompts_and_completion,
    test_resource_updates,
    test_resources,
    test_roots,
    test_sampling,
    visit,
    visited,
)

START_WITHIN = 120.0
KINDS = {"streamableHttp": "/mcp", "sse": "/sse"}


@contextmanager
def _running(kind: str) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}{KINDS[kind]}"
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(npm("everything", kind), env={**os.environ, "PORT": str(port)}, **quiet) as process:
        try:
            _wait_for(f"http://127.0.0.1:{port}/")
            yield url
        finally:
            process.kill()


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + START_WITHIN
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(url, timeout=30).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError(url)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("elsewhere")
    with ExitStack() as running:
        entries = {kind: {"url": running.enter_context(_running(kind))} for kind in KINDS}
        (folder / "mcp.json").write_text(json.dumps({"mcpServers": entries}))
        proxy = running.enter_context(
            proxy_process(folder / "proxy.log", "--config", str(folder / "mcp.json"))
        )
        yield f"{proxy.url}/{{name}}/mcp"


@pytest.fixture(params=["legacy", MODERN])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=list(KINDS))
def connect(request: pytest.FixtureRequest, url: str, mode: str) -> Connect:
    def to(name: str, **callbacks: Any) -> AbstractAsyncContextManager[Client]:
        assert name == "everything"
        return Client(url.format(name=request.param), mode=mode, **callbacks)

    return to
