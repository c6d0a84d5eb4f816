"""The pages in Chromium: what a person does, and what the browser itself enforces."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

import pytest
from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from mcp_oauth_dynamicclient.app import Gateway, create_app
from mcp_oauth_dynamicclient.clients import Registration
from mcp_oauth_dynamicclient.login import local
from mcp_oauth_dynamicclient.records import Client
from mcp_oauth_dynamicclient.settings import Settings
from mcp_oauth_dynamicclient.store import Store

from ..support import Clock
from .support import GitHub, Web

if TYPE_CHECKING:
    from playwright import async_api as playwright
else:
    playwright = pytest.importorskip("playwright.async_api")
pytestmark = pytest.mark.browser

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


PATIENCE = 60_000
"""Milliseconds for a step of the browser."""


class Receiver:
    """A client's redirect listener; `then` sends the browser on, as some clients do."""

    def __init__(self) -> None:
        self.answers: list[dict[str, str]] = []
        self.then: str | None = None
        self.app = FastAPI()

        @self.app.get("/callback")
        async def callback(request: Request) -> Response:
            self.answers.append(dict(parse_qsl(urlsplit(str(request.url)).query)))
            return RedirectResponse(self.then) if self.then else HTMLResponse("<title>Client</title>done")

        @self.app.get("/favicon.ico")
        async def icon() -> Response:
            return Response(status_code=204)


class Setting:
    """A gateway served on loopback, a client, and a browser."""

    def __init__(
        self, gateway: Gateway, issuer: str, receiver: Receiver, redirect_uri: str, page: playwright.Page
    ) -> None:
        self.gateway = gateway
        self.ctx = gateway.ctx
        self.issuer = issuer
        self.receiver = receiver
        self.redirect_uri = redirect_uri
        self.page = page
        self.client: Client | None = None
        self.violations: list[str] = []
        page.on("console", self._note)

    def _note(self, message: playwright.ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            self.violations.append(message.text)

    async def register(self, *redirect_uris: str, name: str = "Browser test") -> Client:
        registration: Registration = await self.ctx.clients.register(
            {
                "client_name": name,
                "redirect_uris": list(redirect_uris),
                "token_endpoint_auth_method": "none",
                "grant_types": ["authorization_code", "refresh_token"],
            },
        )
        return registration.client

    def url(self, web: type[Web], client: Client, state: str = "s") -> str:
        from urllib.parse import urlencode

        parameters = {
            "response_type": "code",
            "client_id": client.client_id,
            "redirect_uri": client.redirect_uris[0],
            "code_challenge": web.CHALLENGE,
            "code_challenge_method": "S256",
            "state": state,
            "resource": f"{self.issuer}/time/mcp",
        }
        return f"{self.issuer}/authorize?{urlencode(parameters)}"

    async def press(self, name: str, page: playwright.Page | None = None) -> None:
        await (page or self.page).get_by_role("button", name=name, exact=True).click()

    async def sign_in(self, web: type[Web], page: playwright.Page | None = None) -> None:
        page = page or self.page
        await page.get_by_label("Account name").fill("ada")
        await page.get_by_label("Password").fill(web.PASSWORD)
        await self.press("Sign in", page)

    async def back(self, page: playwright.Page | None = None) -> None:
        """The browser is at the client. A second submit breaks off the way that the first had begun."""
        callback = re.compile(r"^http://127\.0\.0\.1:\d+/callback")
        await playwright.expect(page or self.page).to_have_url(callback, timeout=PATIENCE)


OpenSetting = Callable[..., Awaitable[Setting]]


@pytest.fixture
async def browser() -> AsyncIterator[playwright.Browser]:
    executable = os.environ.get("CHROMIUM", "/usr/bin/chromium")
    if not Path(executable).exists():
        if os.environ.get("CI"):
            pytest.fail("Chromium is not installed; CI must have it")
        pytest.skip("Chromium is not installed")
    async with playwright.async_playwright() as runner:
        browser = await runner.chromium.launch(executable_path=executable, args=FLAGS)
        yield browser
        await browser.close()


@pytest.fixture
async def open_setting(
    make_settings: Callable[..., Settings],
    browser: playwright.Browser,
    web: type[Web],
    store: Store,
    clock: Clock,
    tmp_path: Path,
) -> AsyncIterator[OpenSetting]:
    from contextlib import AsyncExitStack

    async with AsyncExitStack() as stack:

        async def open_setting(**settings: object) -> Setting:
            listener, port = web.bind()
            issuer = f"http://localhost:{port}"
            given = make_settings(public_url=issuer, audit_log=str(tmp_path / "audit.log"), **settings)
            gateway = create_app(given, store=store, now=clock)
            stack.push_async_callback(gateway.aclose)
            await stack.enter_async_context(web.serve(gateway, listener))
            receiver = Receiver()
            listener, port = web.bind()
            await stack.enter_async_context(web.serve(receiver.app, listener))
            if await local.find(store, "ada") is None:
                await local.add_account(store, "ada", web.PASSWORD, now=clock())
            context = await browser.new_context()
            page = await context.new_page()
            return Setting(gateway, issuer, receiver, f"http://127.0.0.1:{port}/callback", page)

        yield open_setting


@pytest.fixture
async def setting(open_setting: OpenSetting) -> Setting:
    found: Setting = await open_setting()
    return found


@pytest.fixture
async def client(setting: Setting) -> Client:
    return await setting.register(setting.redirect_uri)


async def test_consent_sign_in_and_back_to_the_client(
    setting: Setting, client: Client, web: type[Web]
) -> None:
    await setting.page.goto(setting.url(web, client))
    await setting.press("Approve")
    await setting.sign_in(web)
    await setting.page.wait_for_url("http://127.0.0.1:*/callback*")
    assert len(setting.receiver.answers) == 1
    assert setting.receiver.answers[0]["state"] == "s"
    assert setting.receiver.answers[0]["iss"] == setting.issuer
    assert setting.violations == []


async def test_deny(setting: Setting, client: Client, web: type[Web]) -> None:
    await setting.page.goto(setting.url(web, client))
    await setting.press("Deny")
    await setting.page.wait_for_url("http://127.0.0.1:*/callback*")
    assert setting.receiver.answers[0]["error"] == "access_denied"


async def test_double_submit(setting: Setting, client: Client, web: type[Web]) -> None:
    await setting.page.goto(setting.url(web, client))
    await setting.page.get_by_role("button", name="Approve", exact=True).dblclick()
    await setting.page.get_by_label("Password").wait_for()
    await setting.page.get_by_label("Account name").fill("ada")
    await setting.page.get_by_label("Password").fill(web.PASSWORD)
    await setting.page.get_by_role("button", name="Sign in").dblclick()
    await setting.back()
    assert "code" in setting.receiver.answers[-1]


async def test_double_submit_when_signed_in(setting: Setting, client: Client, web: type[Web]) -> None:
    await test_consent_sign_in_and_back_to_the_client(setting, client, web)
    await setting.page.goto(setting.url(web, client, "second"))
    await setting.page.get_by_role("button", name="Approve", exact=True).dblclick()
    await setting.back()
    assert setting.receiver.answers[-1]["state"] == "second"
    assert "code" in setting.receiver.answers[-1]


async def test_two_tabs(setting: Setting, client: Client, web: type[Web]) -> None:
    other = await setting.page.context.new_page()
    await setting.page.goto(setting.url(web, client, "one"))
    await other.goto(setting.url(web, client, "two"))
    await setting.press("Approve")
    await setting.press("Approve", other)
    await setting.sign_in(web, other)
    await other.wait_for_url("http://127.0.0.1:*/callback*")
    await setting.sign_in(web)
    await setting.page.wait_for_url("http://127.0.0.1:*/callback*")
    assert [answer["state"] for answer in setting.receiver.answers] == ["two", "one"]


async def test_eight_servers_at_once_in_a_fresh_browser_loaded_twice_and_approved_twice(
    setting: Setting, web: type[Web]
) -> None:
    """What a host with eight servers does at its first start."""
    names = [f"Server {number}" for number in range(8)]
    clients = [await setting.register(setting.redirect_uri, name=name) for name in names]
    tabs = [await setting.page.context.new_page() for _ in names]
    await asyncio.gather(
        *(tab.goto(setting.url(web, client, client.name)) for tab, client in zip(tabs, clients, strict=True))
    )
    await asyncio.gather(*(tab.reload() for tab in tabs))
    await setting.press("Approve", tabs[0])
    await setting.sign_in(web, tabs[0])
    await tabs[0].wait_for_url("http://127.0.0.1:*/callback*")
    for tab in tabs[1:]:
        await tab.get_by_role("button", name="Approve", exact=True).dblclick()
    await asyncio.gather(*(setting.back(tab) for tab in tabs))
    codes: dict[str, set[str]] = {}
    for answer in setting.receiver.answers:
        codes.setdefault(answer["state"], set()).add(answer.get("code", "none"))
    assert {name: len(found) for name, found in codes.items()} == dict.fromkeys(names, 1)
    assert "none" not in set().union(*codes.values())
    grants = [entry.value["client_name"] async for entry in setting.ctx.store.list("grant")]
    assert sorted(grants) == names
    assert setting.violations == []


async def test_a_page_of_the_same_origin_cannot_consent_for_the_person(
    setting: Setting, client: Client, web: type[Web]
) -> None:
    """In the one-host shape a server's page shares our origin, and its script has our cookies."""
    page = setting.page
    await page.goto(f"{setting.issuer}/account")
    await setting.sign_in(web)
    await page.get_by_text("Your account").first.wait_for()
    evil = """async url => {
        const read = await fetch(url);
        const frame = document.createElement('iframe');
        frame.src = url;
        document.body.append(frame);
        await new Promise(done => { frame.onload = done; frame.onerror = done; });
        const ticket = (await read.text()).match(/name="ticket" value="([^"]+)"/);
        const posted = await fetch('/consent', {
            method: 'POST', redirect: 'manual', body: new URLSearchParams({ticket: '', decision: 'approve'}),
        });
        return [read.status, ticket, posted.status];
    }"""
    await page.route("**/evil", lambda route: route.fulfill(content_type="text/html", body="<body>evil"))
    await page.goto(f"{setting.issuer}/evil")
    assert await page.evaluate(evil, setting.url(web, client)) == [403, None, 403]
    assert [entry async for entry in setting.ctx.store.list("code")] == []


async def test_back_button_and_reload(setting: Setting, client: Client, web: type[Web]) -> None:
    page = setting.page
    await page.goto(setting.url(web, client))
    await page.reload()
    await setting.press("Approve")
    await page.get_by_label("Password").wait_for()
    await page.go_back()
    await setting.press("Approve")
    await page.get_by_label("Password").wait_for()
    await page.reload()
    await setting.sign_in(web)
    await page.wait_for_url("http://127.0.0.1:*/callback*")
    await page.go_back()
    await page.go_back()
    await setting.press("Deny")
    await page.wait_for_url("http://127.0.0.1:*/callback*")
    assert [("code" in answer) for answer in setting.receiver.answers] == [True, False]


async def test_keyboard_only(setting: Setting, client: Client, web: type[Web]) -> None:
    page = setting.page
    await page.goto(setting.url(web, client))
    for _ in range(10):
        await page.keyboard.press("Tab")
        if await page.evaluate("document.activeElement.textContent") == "Approve":
            break
    await page.keyboard.press("Enter")
    await page.get_by_label("Password").wait_for()
    assert await page.evaluate("document.activeElement.id") == "username"
    await page.keyboard.type("ada")
    await page.keyboard.press("Tab")
    await page.keyboard.type(web.PASSWORD)
    await page.keyboard.press("Enter")
    await page.wait_for_url("http://127.0.0.1:*/callback*")
    assert "code" in setting.receiver.answers[0]


async def test_without_cookies_the_page_says_what_to_do(
    setting: Setting, client: Client, web: type[Web]
) -> None:
    await setting.page.goto(setting.url(web, client))
    await setting.page.context.clear_cookies()
    await setting.press("Approve")
    text = await setting.page.inner_text("main")
    assert "did not send our cookie" in text
    assert "Allow cookies" in text
    await setting.page.get_by_role("link", name="Start again").click()
    await setting.press("Approve")
    await setting.sign_in(web)
    await setting.page.wait_for_url("http://127.0.0.1:*/callback*")


async def test_it_all_works_without_script(
    setting: Setting, client: Client, web: type[Web], browser: playwright.Browser
) -> None:
    context = await browser.new_context(java_script_enabled=False)
    setting.page = await context.new_page()
    await setting.page.goto(setting.url(web, client))
    await setting.press("Approve")
    await setting.sign_in(web)
    await setting.page.wait_for_url("http://127.0.0.1:*/callback*")
    assert "code" in setting.receiver.answers[0]


async def test_a_client_that_redirects_further_is_not_stopped(
    setting: Setting, client: Client, web: type[Web]
) -> None:
    """Browsers apply form-action to every redirect after a form; a client's next hop is its own affair."""
    finish = Receiver()
    listener, port = web.bind()
    setting.receiver.then = f"http://127.0.0.1:{port}/callback?next"
    async with web.serve(finish.app, listener):
        await setting.page.goto(setting.url(web, client))
        await setting.press("Approve")
        await setting.sign_in(web)
        await setting.page.wait_for_url("http://127.0.0.1:*/callback?next")
    assert "code" in setting.receiver.answers[0]
    assert setting.violations == []


async def test_a_client_on_the_ipv6_loopback_is_reached(setting: Setting, web: type[Web]) -> None:
    client = await setting.register(setting.redirect_uri.replace("127.0.0.1", "[::1]"))
    received: list[str] = []

    async def answer(route: playwright.Route) -> None:
        received.append(route.request.url)
        await route.fulfill(status=200, body="done")

    await setting.page.context.route(re.compile(r"http://\[::1\]:.*"), answer)
    await setting.page.goto(setting.url(web, client))
    await setting.press("Deny")
    await setting.page.wait_for_url(re.compile(r"http://\[::1\].*"))
    assert "error=access_denied" in received[0]


async def test_an_app_with_its_own_scheme_is_offered_as_a_link(setting: Setting, web: type[Web]) -> None:
    client = await setting.register("cursor://anysphere.cursor-mcp/oauth/callback", name="Cursor")
    await setting.page.goto(setting.url(web, client))
    await setting.press("Approve")
    await setting.sign_in(web)
    link = setting.page.get_by_role("link", name="Continue to Cursor")
    href = await link.get_attribute("href")
    assert href is not None
    assert href.startswith("cursor://anysphere.cursor-mcp/oauth/callback?code=")
    assert setting.violations == []


async def test_github_and_back_with_no_click_in_between(
    open_setting: OpenSetting, github: GitHub, github_settings: dict[str, object], web: type[Web]
) -> None:
    setting = await open_setting(**github_settings)
    client = await setting.register(setting.redirect_uri)
    await setting.page.goto(setting.url(web, client))
    await setting.press("Approve")
    await setting.page.wait_for_url("http://127.0.0.1:*/callback*")
    assert "code" in setting.receiver.answers[0]
    assert setting.violations == []


async def test_a_choice_of_providers(
    open_setting: OpenSetting, github: GitHub, github_settings: dict[str, object], web: type[Web]
) -> None:
    setting = await open_setting(**(github_settings | {"local_accounts": True}))
    client = await setting.register(setting.redirect_uri)
    await setting.page.goto(setting.url(web, client))
    await setting.press("Approve")
    await setting.page.get_by_label("Password").wait_for()
    await setting.page.get_by_role("link", name="Continue with GitHub").click()
    await setting.page.wait_for_url("http://127.0.0.1:*/callback*")
    await setting.page.goto(setting.url(web, client, "second"))
    assert "octocat" in await setting.page.inner_text("main")


async def test_a_hostile_name_does_nothing(setting: Setting, web: type[Web]) -> None:
    name = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    client = await setting.register(setting.redirect_uri, name=name)
    dialogs: list[str] = []
    setting.page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    await setting.page.goto(setting.url(web, client))
    assert name in await setting.page.inner_text("main")
    assert await setting.page.locator("img, script").count() == 0
    assert dialogs == []


async def test_account_shows_and_revokes(setting: Setting, client: Client, web: type[Web]) -> None:
    await test_consent_sign_in_and_back_to_the_client(setting, client, web)
    await setting.page.goto(f"{setting.issuer}/account")
    assert "Browser test" in await setting.page.inner_text("main")
    await setting.page.get_by_role("button", name="Revoke Browser test").click()
    assert "Access was revoked" in await setting.page.inner_text("main")
    assert "No client has access" in await setting.page.inner_text("main")
    await setting.page.reload()
    assert [entry async for entry in setting.ctx.store.list("grant")] == []


async def test_pages_cannot_be_framed(setting: Setting, client: Client, web: type[Web]) -> None:
    await setting.page.goto(setting.redirect_uri)
    await setting.page.evaluate(
        "url => { const f = document.createElement('iframe'); f.src = url; document.body.append(f) }",
        setting.url(web, client),
    )
    element = await setting.page.wait_for_selector("iframe")
    assert element is not None
    frame = await element.content_frame()
    assert frame is not None
    await frame.wait_for_load_state()
    assert "Approve" not in await frame.content()


@pytest.mark.parametrize("width", [1280, 390, 320])
async def test_nothing_is_cut_off(setting: Setting, client: Client, web: type[Web], width: int) -> None:
    page = setting.page
    await page.set_viewport_size({"width": width, "height": 800})
    long = await setting.register("https://" + "a" * 50 + ".example/callback", name="N" * 90)
    server = f"{setting.issuer}/verify"
    for url in (
        setting.url(web, client),
        setting.url(web, long),
        f"{setting.issuer}/",
        f"{setting.issuer}/device",
        server,
    ):
        await page.set_extra_http_headers(
            {"X-Forwarded-Host": urlsplit(setting.issuer).netloc, "X-Forwarded-Uri": "/time/mcp"}
            if url == server
            else {}
        )
        await page.goto(url)
        assert await page.evaluate("document.documentElement.scrollWidth") <= width, url
