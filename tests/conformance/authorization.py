"""The suite's authorization mode: the local gateway's authorization server, approved in Chromium."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx

from tests.conftest import Gateway, LocalRun, Person, browser_page, free_port

from .suite import Outcome, run_suite

URL = re.compile(r"https?://\S+/authorize\?\S+")


def authorization_server(place: Path) -> Iterator[Outcome]:
    state = place / "authorization"
    state.mkdir()
    run = LocalRun(free_port(), state)
    run.start()
    try:
        issuer = f"http://localhost:{run.port}"
        gateway = Gateway(issuer, issuer + "/{name}/mcp", run.password())
        port = free_port()
        client = httpx.post(
            f"{issuer}/register",
            json={
                "client_name": "Conformance suite",
                "redirect_uris": [f"http://127.0.0.1:{port}/callback"],
                "token_endpoint_auth_method": "none",
                "application_type": "native",
            },
            timeout=60,
        ).raise_for_status()
        threads: list[threading.Thread] = []

        def approve(line: str) -> None:
            if found := URL.search(line):
                thread = threading.Thread(target=approve_in_browser, args=(gateway, found[0]))
                thread.start()
                threads.append(thread)

        arguments = ["--url", issuer, "--client-id", client.json()["client_id"]]
        arguments += ["--resource", gateway.server("time"), "--port", str(port)]
        yield run_suite("authorization server", "authorization", "authorization", arguments, on_line=approve)
        for thread in threads:
            thread.join(timeout=60)
    finally:
        run.stop()


def approve_in_browser(gateway: Gateway, url: str) -> None:
    async def approve() -> None:
        async with browser_page() as page:
            await Person(page, gateway).approve(url)
            await page.wait_for_url("http://127.0.0.1:*/callback?*")

    asyncio.run(approve())
