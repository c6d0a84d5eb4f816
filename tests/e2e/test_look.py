"""Every page in Chromium, at a desk and on a phone, light and dark: axe-core finds nothing, nothing is wider
than the window, and the policy is never broken. `PICTURES=FOLDER` keeps what was seen."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from itertools import product
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import httpx
import pytest
from mcp_oauth_dynamicclient import Settings, create_app, pages
from mcp_oauth_dynamicclient.errors import StoreUnavailableError
from mcp_streamablehttp_client.oauth.loopback import listening
from playwright.async_api import ConsoleMessage, Page, Route

from gateway import node
from tests.access import list_tools, obtain_access
from tests.conftest import ROOT, Gateway, Person, browser_page, listen_for_callback

AXE = ("axe-core", "4.10.3")
WIDTHS = {"desk": 1280, "phone": 360}
SCHEMES = ("light", "dark")
EVERY_WAY = tuple(product(WIDTHS, SCHEMES))
BOTH = (("desk", "light"), ("phone", "dark"))
"""Each width and each scheme once: for many pages of one template."""
VIOLATIONS = """() => axe.run(document, {resultTypes: ["violations"], preload: false}).then(
    found => found.violations.map(
    fault => [fault.id, ...fault.nodes.map(node => node.target + " " + node.failureSummary)].join("; ")))"""
TOO_WIDE = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
LONG = "A client whose name goes on and on, further than anybody wants to read, and then a little further"


class Look:
    """Looks at the page that is open, in every way."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.axe = (node.installed(*AXE) / "axe.min.js").read_text()
        self.found: list[str] = []
        page.on("console", self._note)

    def _note(self, message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            self.found.append(message.text)

    async def at(self, name: str, ways: Sequence[tuple[str, str]] = EVERY_WAY) -> None:
        """With all that can be unfolded open."""
        # The console API of the browser, which no page's policy binds.
        await self.page.evaluate(self.axe)
        await self.page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        for where, scheme in ways:
            await self.page.set_viewport_size({"width": WIDTHS[where], "height": 800})
            await self.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
            here = f"{name}, {where}, {scheme}"
            self.found += [f"{here}: {fault}" for fault in await self.page.evaluate(VIOLATIONS)]
            if await self.page.evaluate(TOO_WIDE):
                self.found.append(f"{here}: wider than the window")
            if "PICTURES" in os.environ:
                path = Path(os.environ["PICTURES"]) / f"{name}-{where}-{scheme}.png"
                await self.page.screenshot(path=path, full_page=True)


@asynccontextmanager
async def bridge_callback() -> AsyncIterator[str]:
    """Waits for an answer with the state `expected`."""
    async with listening(0) as listener:
        waiting = asyncio.create_task(listener.answer("expected", 200))
        yield listener.redirect_uri
        await waiting


async def _register(gateway: Gateway, http: httpx.AsyncClient, **metadata: str) -> str:
    asked = {
        "redirect_uris": ["https://client.example/callback"],
        "token_endpoint_auth_method": "none",
        **metadata,
    }
    answer = await http.post(f"{gateway.issuer}/register", json=asked)
    assert answer.status_code == 201, answer.text
    query = {
        "response_type": "code", "client_id": answer.json()["client_id"], "code_challenge": "x" * 43,
        "redirect_uri": "https://client.example/callback", "code_challenge_method": "S256",
        "state": "s", "resource": gateway.server("time"), "scope": "mcp offline_access",
    }  # fmt: skip
    return f"{gateway.issuer}/authorize?{urlencode(query)}"


async def _use(gateway: Gateway, server: str, http: httpx.AsyncClient) -> None:
    """As somebody else does, after which the pages know its tools."""
    async with browser_page() as page, listen_for_callback() as callback:
        access = await obtain_access(gateway.server(server), Person(page, gateway), callback, http)
        for _ in range(2):  # the first call has the server asked for its tools
            await list_tools(access, http)


async def _sign_in(gateway: Gateway, person: Person) -> None:
    """On a server only people who have signed in are shown the servers."""
    await person.page.goto(f"{gateway.issuer}/account")
    await person.sign_in_if_asked()
    await person.page.wait_for_url(f"{gateway.issuer}/account")


@pytest.mark.browser
@pytest.mark.timeout(900)
async def test_every_page_can_be_read_by_everybody(
    gateway: Gateway, person: Person, http: httpx.AsyncClient
) -> None:
    page, look, home = person.page, Look(person.page), gateway.issuer
    await _use(gateway, "time", http)
    for name, url in {
        "landing": f"{home}/",
        "server": gateway.server("time"),
        "mistyped": f"{home}/tiem/mcp",
        "nowhere": f"{home}/static/nothing",
        "device": f"{home}/device",
        "consent": await _register(
            gateway, http, client_name=LONG, client_uri="https://client.example",
            policy_uri="https://client.example/privacy",
        ),
        "consent-nameless": await _register(gateway, http),
        "error": f"{home}/authorize?client_id=nobody",
        "not-connected": (await _register(gateway, http)).replace("type=code", "type=token"),
        "sign-in": f"{home}/account",
    }.items():  # fmt: skip
        await page.goto(url)
        await look.at(name)
    await _sign_in(gateway, person)
    await look.at("account")
    async with bridge_callback() as url:
        for name, query in {"foreign": "state=x&code=x", "received": "state=expected&code=x"}.items():
            await page.goto(f"{url}?{query}")
            await look.at(f"bridge-{name}")
    async with bridge_callback() as url:
        await page.goto(f"{url}?state=expected&error=access_denied")
        await look.at("bridge-refused")
    assert look.found == []


@pytest.mark.browser
@pytest.mark.timeout(900)
async def test_every_error_page_can_be_read_by_everybody(tmp_path: Path) -> None:
    """All that the authorization server's own test of them finds a way to."""
    walked = "mcp-oauth-dynamicclient/tests/people/test_every_error_page.py"
    walk = partial(
        subprocess.run, [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", walked],
        cwd=ROOT, env={**os.environ, "ERROR_PAGES": str(tmp_path)}, capture_output=True, text=True,
    )  # fmt: skip
    told = await asyncio.to_thread(walk)
    assert told.returncode == 0, told.stdout
    kept = sorted(tmp_path.glob("*.html"))
    assert len(kept) > 30
    assert await _faults_of(kept, BOTH) == []


@pytest.mark.browser
async def test_what_is_wrong_can_be_read_by_everybody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The doctor's findings at the machine of a local run, while the store is there and while it is away."""
    said = "PermissionError: " + "/a/folder/with/a/name/that/goes/on" * 9
    found = [
        {"hop": "server", "state": "wrong", "what": "notes ends at once", "rule": "", "cure": "run it",
         "said": said},
        {"hop": "disk", "state": "warning", "what": "9 MiB are free", "rule": "", "cure": f"rm {said}"},
    ]  # fmt: skip
    (tmp_path / "findings.json").write_text(json.dumps({"hops": found}))
    settings = Settings.model_validate(
        {
            "public_url": "http://localhost:8080", "gateway_secret": secrets.token_hex(32),
            "local_accounts": True, "servers": "time,notes", "store_url": f"sqlite:///{tmp_path}/auth.db",
            "audit_log": f"{tmp_path}/audit.log", "findings_file": f"{tmp_path}/findings.json",
        }
    )  # fmt: skip
    app = create_app(settings)

    async def away() -> list[str]:
        raise StoreUnavailableError

    kept = [tmp_path / "there.html", tmp_path / "away.html"]
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url=settings.issuer, headers={"Accept": "text/html"}
    ) as http:
        for one, status in zip(kept, (200, 503), strict=True):
            answer = await http.get("/")
            assert (answer.status_code, said[:300] in answer.text) == (status, True)
            one.write_text(answer.text)
            monkeypatch.setattr(app.ctx.servers, "names", away)
    await app.aclose()
    assert await _faults_of(kept, EVERY_WAY) == []


async def _faults_of(kept: Sequence[Path], ways: Sequence[tuple[str, str]]) -> list[str]:
    """What is found in pages that were kept as files."""

    async def answer(route: Route) -> None:
        path = urlsplit(route.request.url).path
        folder = Path(pages.__file__).parent if path.startswith("/static/") else kept[0].parent
        await route.fulfill(path=folder / Path(path).name)

    async with browser_page() as page:
        await page.route("**/*", answer)
        look = Look(page)
        for one in kept:
            await page.goto(f"http://localhost:8080/{one.name}")
            await look.at(f"kept-{one.stem}", ways)
    return look.found


@pytest.mark.browser
async def test_the_keyboard_reaches_the_copy_buttons(gateway: Gateway, person: Person) -> None:
    page, address = person.page, gateway.server("time")
    await _sign_in(gateway, person)
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=gateway.issuer)
    await page.goto(f"{gateway.issuer}/")
    copy = page.get_by_role("button", name="Copy address of time", exact=True)
    for _ in range(100):
        await page.keyboard.press("Tab")
        if await copy.evaluate("button => button === document.activeElement"):
            break
    else:
        pytest.fail("a hundred presses of Tab do not reach it")
    await page.keyboard.press("Enter")
    await page.get_by_role("status").filter(has_text="Copied").wait_for()
    assert await page.evaluate("navigator.clipboard.readText()") == address


@pytest.mark.browser
async def test_a_mistyped_address_names_the_servers_there_are(gateway: Gateway, person: Person) -> None:
    await _sign_in(gateway, person)
    response = await person.page.goto(f"{gateway.issuer}/tiem/mcp")
    assert response is not None
    assert response.status == 404
    text = await person.page.text_content("main") or ""
    assert "Did you mean time?" in text
    await person.page.get_by_role("link", name=gateway.server("time"), exact=True).click()
    assert "time is an MCP server" in (await person.page.text_content("main") or "")


@pytest.mark.browser
async def test_all_of_it_works_without_script(
    gateway: Gateway, person: Person, http: httpx.AsyncClient
) -> None:
    """From the consent page to the servers: forms, links, and what unfolds."""
    browser = person.page.context.browser
    assert browser is not None
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    told: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def hear(route: Route) -> None:
        if not told.done():
            told.set_result(route.request.url)
        await route.fulfill(body="the client's own page")

    await page.route("https://client.example/**", hear)
    await page.goto(await _register(gateway, http, client_name="No script"))
    await page.get_by_role("button", name="Deny", exact=True).click()
    assert "error=access_denied" in await told
    await page.get_by_text("the client's own page").wait_for()
    await page.goto(f"{gateway.issuer}/account")
    await Person(page, gateway).sign_in_if_asked()
    await page.wait_for_url(f"{gateway.issuer}/account")
    await page.goto(f"{gateway.issuer}/")
    assert await page.get_by_role("button", name="Copy").count() == 0
    card = page.locator("li.card", has=page.get_by_text(gateway.server("time"), exact=True))
    line = card.get_by_text("claude mcp add")
    assert not await line.is_visible()
    await card.get_by_text("Claude Code", exact=True).click()
    await line.wait_for()
    await card.get_by_role("link", name="Connect time").click()
    await page.get_by_role("heading", name="time is an MCP server").wait_for()
    await context.close()
