"""`just screenshots`: pictures of our own pages for docs/, taken of a local run with Chromium.

The run takes port 8080, so that they show the addresses that a newcomer sees. They go to docs/pictures.
"""

from __future__ import annotations

import asyncio
import io
import os
import sys
import tempfile
from pathlib import Path

import httpx
from mcp_streamablehttp_client.oauth.loopback import listening
from PIL import Image
from playwright.async_api import Page

from tests.access import Access, list_tools, obtain_access
from tests.conftest import ROOT, Gateway, LocalRun, Person, browser_page, listen_for_callback

PORT = 8080
DESK, PHONE = (1000, 640), (390, 720)
TARGET = Path(os.environ.get("PICTURES", ROOT / "docs" / "pictures"))
CLIENTS = {
    "echo-stateful": "MCP Inspector", "echo-stateless": "MCP Inspector", "fetch": "Cursor", "time": "Codex",
}  # fmt: skip
"""Who is connected to which server."""


async def take(page: Page, name: str, size: tuple[int, int] = DESK, scheme: str = "light") -> None:
    """As WebP without loss, which for pages of few colours is the smallest; of a phone one screen."""
    width, height = size
    await page.set_viewport_size({"width": width, "height": height})
    await page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    picture = await page.screenshot(full_page=size is DESK)
    path = TARGET / f"{name}.webp"
    Image.open(io.BytesIO(picture)).convert("RGB").save(path, lossless=True, quality=100, method=6)
    print(f"{path.relative_to(TARGET.parent)} {path.stat().st_size // 1024} kB")


async def access(gateway: Gateway, server: str, client: str) -> Access:
    """A client of `server` that has listed its tools, so that the gateway knows them."""
    async with (
        browser_page() as page,
        listen_for_callback() as callback,
        httpx.AsyncClient(timeout=60) as http,
    ):
        found = await obtain_access(gateway.server(server), Person(page, gateway), callback, http, client)
        for _ in range(2):  # the first call has the server asked for its tools
            await list_tools(found, http)
        return found


async def claude(gateway: Gateway, page: Page) -> None:
    """The consent page of a client that registers as Claude Code does."""
    asked = {
        "client_name": "Claude Code (time)",
        "redirect_uris": ["http://localhost:54545/callback"],
        "token_endpoint_auth_method": "none",
    }
    async with httpx.AsyncClient(timeout=60) as http:
        client_id = (await http.post(f"{gateway.issuer}/register", json=asked)).json()["client_id"]
    query = {
        "response_type": "code", "client_id": client_id, "redirect_uri": asked["redirect_uris"][0],
        "code_challenge": "x" * 43, "code_challenge_method": "S256", "state": "s",
        "resource": gateway.server("time"), "scope": "mcp offline_access",
    }  # fmt: skip
    await page.goto(str(httpx.URL(f"{gateway.issuer}/authorize", params=query)))


async def pictures(gateway: Gateway) -> None:
    for server, client in CLIENTS.items():
        await access(gateway, server, client)
    async with browser_page() as page:
        person = Person(page, gateway)
        await claude(gateway, page)
        await take(page, "consent")
        await take(page, "consent-phone", PHONE, "dark")
        await page.get_by_role("button", name="Approve", exact=True).click()
        await page.get_by_label("Account name").wait_for()
        await take(page, "sign-in")
        await page.goto(gateway.server("time"))
        await take(page, "server")
        await page.goto(f"{gateway.issuer}/")
        await take(page, "servers")
        await take(page, "servers-phone", PHONE, "dark")
        await page.goto(f"{gateway.issuer}/tiem/mcp")
        await take(page, "mistyped")
        await page.goto(f"{gateway.issuer}/authorize?client_id=removed-client")
        await take(page, "error")
        await page.goto(f"{gateway.issuer}/account")
        await person.sign_in_if_asked()
        await page.get_by_role("heading", name="Clients with access").wait_for()
        await take(page, "account")
        async with listening(0) as listener:
            waiting = asyncio.create_task(listener.answer("expected", 60))
            await page.goto(f"{listener.redirect_uri}?state=expected&code=x")
            await take(page, "callback")
            await waiting


def main() -> int:
    TARGET.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        run = LocalRun(PORT, Path(folder))
        run.start()
        try:
            issuer = f"http://localhost:{PORT}"
            asyncio.run(pictures(Gateway(issuer, issuer + "/{name}/mcp", run.password(), run.state)))
        finally:
            run.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
