"""A sign-in under way: what the person approved, kept on the server until they have signed in.

A flow begins only after a decision on a page of ours (consent, device, account). It is bound to the browser
by a sealed cookie that is set at that moment and names the client. Each time the person goes to a provider
has a state of its own: random, used once, for LOGIN_LIFETIME seconds. The flow lasts as long, so that a
double click or the back button can repeat a sign-in in the same browser.
"""

from __future__ import annotations

from typing import Any, Literal

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from ..context import Context
from ..rate_limit import per_hour
from ..records import Record
from ..sealing import Seal
from ..store import Table
from ..tokens import digest, new_secret
from . import cookies
from .base import UpstreamRequest

PREFIX = "sign-in-"
MOST = 16
"""Sign-ins under way in one browser."""
BY_REGISTRATION = 5
"""Sign-ins that may begin at one address for each registration that may be made there. Each is kept, and
nobody has said who they are yet."""
KNOWN = 3600
"""Seconds for which an expired sign-in is still known, so that the page that says so can name the client."""


class Flow(Record):
    purpose: Literal["authorize", "device", "account"]
    details: dict[str, Any]
    """What to complete, for whoever completes this purpose."""
    consent: str = ""
    """The consent page that was approved; one consent gives one code."""
    client_id: str
    client_name: str = ""
    headline: str
    """For the sign-in page: `to let Claude use time`."""
    again: str
    """Where the person starts over, on this server."""
    prompt: str = ""
    """`login` or `select_account`: ask the provider not to wave the person through."""
    form_target: str = ""
    """Where a form on the sign-in page may end up, besides this server."""
    expires_at: float = 0


class PendingSignIn(Record):
    """Somebody who went to a provider and has not come back yet."""

    flow_key: str
    flow: Flow
    provider: str
    verifier: str
    nonce: str
    expires_at: float
    used: bool = False


class Flows:
    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._seal = Seal(ctx.settings.gateway_secret.get_secret_value(), "sign-in cookie", ctx.now)
        self._lifetime = ctx.settings.login_lifetime
        self._flows = Table(ctx.store, "login", Flow)
        self._pending = Table(ctx.store, "login", PendingSignIn)

    async def begin(self, request: Request, flow: Flow) -> Response:
        """Keep the flow, bind it to the browser, and send that to the sign-in page. TooManyRequestsError."""
        await self._count(request)
        secret = new_secret()
        key = digest(secret)
        response = RedirectResponse(f"{self._ctx.settings.issuer}/login?flow={secret}", 303)
        flow = flow.model_copy(update={"expires_at": self._ctx.now() + self._lifetime})
        await self._flows.put(f"flow:{key}", flow, expires_at=flow.expires_at + KNOWN)
        sealed = self._seal.seal({"flow": key, "client": flow.client_id})
        self._make_room(request, response)
        cookies.write(self._ctx, response, _cookie(key), sealed, self._lifetime)
        return response

    async def _count(self, request: Request) -> None:
        await per_hour(
            self._ctx, "login", request, BY_REGISTRATION * self._ctx.settings.registrations_per_hour
        )

    def _make_room(self, request: Request, response: Response) -> None:
        """The oldest of many sign-ins give up their cookies: requests have to stay small."""
        ages: dict[str, float] = {}
        for name in cookies.names(self._ctx, request, PREFIX):
            ages[name] = self._seal.age(cookies.read(self._ctx, request, name) or "")
        for name in sorted(ages, key=lambda name: ages[name])[MOST - 1 :]:
            cookies.forget(self._ctx, response, name)

    async def find(self, secret: str) -> Flow | None:
        """The flow, also for a while after it has expired; see `has_expired`."""
        return await self._flows.get(f"flow:{digest(secret)}")

    def has_expired(self, record: Flow | PendingSignIn) -> bool:
        return record.expires_at <= self._ctx.now()

    def is_bound(self, request: Request, flow_key: str, flow: Flow) -> bool:
        """Whether this is the browser that approved, and approved this client."""
        sealed = cookies.read(self._ctx, request, _cookie(flow_key))
        opened = self._seal.open(sealed, self._lifetime) if sealed else None
        return opened == {"flow": flow_key, "client": flow.client_id}

    async def depart(
        self, request: Request, secret: str, flow: Flow, provider: str, prompt: str
    ) -> UpstreamRequest:
        """What to ask the provider, with a new state. TooManyRequestsError."""
        await self._count(request)
        pending = PendingSignIn(
            flow_key=digest(secret),
            flow=flow,
            provider=provider,
            verifier=new_secret(),
            nonce=new_secret(),
            expires_at=self._ctx.now() + self._lifetime,
        )
        state = new_secret()
        await self._pending.put(digest(state), pending, expires_at=pending.expires_at + KNOWN)
        return self.upstream_request(state, pending, prompt)

    def upstream_request(self, state: str, pending: PendingSignIn, prompt: str = "") -> UpstreamRequest:
        return UpstreamRequest(
            state=state,
            redirect_uri=f"{self._ctx.settings.issuer}/callback/{pending.provider}",
            verifier=pending.verifier,
            nonce=pending.nonce,
            prompt=prompt,
        )

    async def arrive(self, state: str) -> tuple[PendingSignIn, bool] | None:
        """The sign-in that `state` belongs to, and whether this call is the one that used it up."""
        updated = await self._pending.update(
            digest(state), lambda found: None if found.used else found.model_copy(update={"used": True})
        )
        return None if updated is None else (updated.before, not updated.before.used)


def _cookie(flow_key: str) -> str:
    return f"{PREFIX}{flow_key[:16]}"
