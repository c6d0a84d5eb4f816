"""The ticket of a page: what it asked, carried by its form and good only in the browser that was shown it.

Each page has a cookie of its own, so that pages opened at the same time do not disturb each other. It is
random and says nothing about consent; it only ties the form to the browser.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from fastapi import Request, Response

from ..context import Context
from ..login import cookies
from ..sealing import Seal
from ..tokens import digest, new_secret

PREFIX = "page-"
LIFETIME = 3600
"""Seconds a page may lie open before it has to be loaded again."""
MOST = 16
"""Pages that one browser can answer; the oldest cookie makes room. Requests have to stay small."""


class NewTicket(NamedTuple):
    text: str
    """For the form of the page."""
    cookie: str
    secret: str


class Ticket(NamedTuple):
    asked: dict[str, Any]
    page: str
    """Which page it was, like no other."""
    cookie: str
    has_expired: bool


class Tickets:
    def __init__(self, ctx: Context, purpose: str) -> None:
        self._ctx = ctx
        self._seal = Seal(ctx.settings.gateway_secret.get_secret_value(), f"{purpose} ticket", ctx.now)

    def issue(self, asked: dict[str, Any]) -> NewTicket:
        secret = new_secret()
        page = digest(secret)
        # The time first, so that names sort by age.
        cookie = f"{PREFIX}{int(self._ctx.now()):010x}-{page[:12]}"
        return NewTicket(self._seal.seal({"asked": asked, "page": page, "cookie": cookie}), cookie, secret)

    def bind(self, ticket: NewTicket, request: Request, response: Response) -> None:
        """Tie the page to the browser that it is shown in."""
        for name in sorted(cookies.names(self._ctx, request, PREFIX))[: -(MOST - 1)]:
            cookies.forget(self._ctx, response, name)
        cookies.write(self._ctx, response, ticket.cookie, ticket.secret, LIFETIME)

    def open(self, text: str) -> Ticket | None:
        """What was asked, in whatever browser and however long ago; None when it is not a ticket of ours."""
        opened = self._seal.open(text)
        if opened is None or "page" not in opened:
            return None
        has_expired = self._seal.open(text, LIFETIME) is None
        return Ticket(opened["asked"], opened["page"], opened["cookie"], has_expired)

    def is_of(self, ticket: Ticket, request: Request) -> bool:
        """Whether the page was shown in the browser that answers it."""
        secret = cookies.read(self._ctx, request, ticket.cookie)
        return secret is not None and digest(secret) == ticket.page
