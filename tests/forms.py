"""A person without a browser, whose work would be most of a load: fills in the pages' forms as they are."""

from __future__ import annotations

from urllib.parse import urljoin

import httpx
from bs4 import BeautifulSoup

from tests.conftest import Gateway


class FormFiller:
    """Keeps cookies, follows what leads on, and submits the first form of a page."""

    def __init__(self, http: httpx.AsyncClient, gateway: Gateway, account: str) -> None:
        self.http = http
        self.gateway = gateway
        self.account = account

    async def approve(self, url: str) -> None:
        """Open an authorization URL, approve the consent page, sign in if asked."""
        page = await self._follow(await self.http.get(url))
        page = await self._submit(page, decision="approve")
        if page.url.host != "127.0.0.1":
            page = await self._submit(page, username=self.account, password=self.gateway.password)
        assert page.url.host == "127.0.0.1", f"{page.url}: {page.status_code} {page.text[:500]}"

    async def arrive(self, _: str) -> None:
        """Has happened when `approve` returns."""

    async def _submit(self, page: httpx.Response, **values: str) -> httpx.Response:
        form = BeautifulSoup(page.text, "html.parser").form
        assert form is not None, f"{page.url}: {page.status_code} {page.text[:500]}"
        kept = {str(one["name"]): str(one.get("value", "")) for one in form.find_all("input", {"name": True})}
        target = urljoin(str(page.url), str(form.get("action", "")))
        sent = await self.http.post(target, data=kept | values, headers={"Origin": self.gateway.issuer})
        return await self._follow(sent)

    async def _follow(self, page: httpx.Response) -> httpx.Response:
        while "location" in page.headers:
            page = await self.http.get(urljoin(str(page.url), page.headers["location"]))
        return page
