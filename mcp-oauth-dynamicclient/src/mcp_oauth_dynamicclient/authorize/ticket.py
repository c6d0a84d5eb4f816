"""The consent ticket: what a consent page asked, carried by its form and good in one browser only.

The cookie is random and says nothing about consent; it only ties the form to the browser that was shown it.
"""

from __future__ import annotations

from typing import Any

from fastapi import Request, Response

from ..context import Context
from ..login import cookies
from ..sealing import Seal
from ..tokens import digest, new_secret

COOKIE = "browser"
LIFETIME = 3600
"""Seconds a page may lie open before it has to be loaded again."""
COOKIE_LIFETIME = 30 * 86400


class Tickets:
    def __init__(self, ctx: Context, purpose: str) -> None:
        self._ctx = ctx
        self._seal = Seal(ctx.settings.gateway_secret.get_secret_value(), f"{purpose} ticket", ctx.now)

    def browser(self, request: Request) -> str:
        """This browser's secret: the one it has, or a new one for `write` to set."""
        known = cookies.read(self._ctx, request, COOKIE)
        return known if known and len(known) == len(new_secret()) else new_secret()

    def write(self, response: Response, browser: str) -> None:
        cookies.write(self._ctx, response, COOKIE, browser, COOKIE_LIFETIME)

    def issue(self, browser: str, asked: dict[str, Any]) -> str:
        return self._seal.seal({"asked": asked, "browser": digest(browser)})

    def read(self, ticket: str) -> dict[str, Any] | None:
        """What was asked, in whatever browser and however long ago; None when it is not our ticket."""
        opened = self._seal.open(ticket)
        return None if opened is None else dict(opened["asked"])

    def has_expired(self, ticket: str) -> bool:
        return self._seal.open(ticket, LIFETIME) is None

    def is_of(self, ticket: str, request: Request) -> bool:
        """Whether the page was shown in the browser that answers it."""
        opened, browser = self._seal.open(ticket), cookies.read(self._ctx, request, COOKIE)
        return opened is not None and browser is not None and opened["browser"] == digest(browser)
