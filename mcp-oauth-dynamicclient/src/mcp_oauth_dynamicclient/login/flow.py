"""A sign-in under way: what the person approved, kept on the server until they have signed in.

A flow begins only after a decision on a page of ours (consent, device, account). It is bound to the browser
by a sealed cookie that is set at that moment and names the client. Each trip to a provider has a state of
its own: random, used once, for LOGIN_LIFETIME seconds. The flow lasts as long, so that a double click or the
back button can repeat a sign-in in the same browser.
"""

from __future__ import annotations

from typing import Any, Literal

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from ..context import Context
from ..records import Record
from ..sealing import Seal
from ..tokens import digest, new_secret
from . import cookies
from .base import Attempt


class Flow(Record):
    purpose: Literal["authorize", "device", "account"]
    details: dict[str, Any]
    """What to complete, for whoever completes this purpose."""
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


class Trip(Record):
    """One attempt to sign in at a provider."""

    flow_key: str
    flow: Flow
    provider: str
    verifier: str
    nonce: str
    used: bool = False


class Flows:
    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._seal = Seal(ctx.settings.gateway_secret.get_secret_value(), "sign-in cookie", ctx.now)
        self._lifetime = ctx.settings.login_lifetime

    async def begin(self, flow: Flow) -> Response:
        """Keep the flow, bind it to the browser, and send that to the sign-in page."""
        secret = new_secret()
        key = digest(secret)
        response = RedirectResponse(f"{self._ctx.settings.issuer}/login?flow={secret}", 303)
        ends = self._ctx.now() + self._lifetime
        await self._ctx.store.put("login", f"flow:{key}", flow.model_dump(), expires_at=ends)
        sealed = self._seal.seal({"flow": key, "client": flow.client_id})
        cookies.write(self._ctx, response, _cookie(key), sealed, self._lifetime)
        return response

    async def find(self, secret: str) -> Flow | None:
        entry = await self._ctx.store.get("login", f"flow:{digest(secret)}")
        return Flow.model_validate(entry.value) if entry else None

    def is_bound(self, request: Request, flow_key: str, flow: Flow) -> bool:
        """Whether this is the browser that approved, and approved this client."""
        sealed = cookies.read(self._ctx, request, _cookie(flow_key))
        opened = self._seal.open(sealed, self._lifetime) if sealed else None
        return opened == {"flow": flow_key, "client": flow.client_id}

    async def depart(self, secret: str, flow: Flow, provider: str, prompt: str) -> Attempt:
        """A trip to a provider, with a new state."""
        trip = Trip(
            flow_key=digest(secret), flow=flow, provider=provider, verifier=new_secret(), nonce=new_secret()
        )
        state = new_secret()
        ends = self._ctx.now() + self._lifetime
        await self._ctx.store.put("login", digest(state), trip.model_dump(), expires_at=ends)
        return self.attempt(state, trip, prompt)

    def attempt(self, state: str, trip: Trip, prompt: str = "") -> Attempt:
        return Attempt(
            state=state,
            redirect_uri=f"{self._ctx.settings.issuer}/callback/{trip.provider}",
            verifier=trip.verifier,
            nonce=trip.nonce,
            prompt=prompt,
        )

    async def arrive(self, state: str) -> tuple[Trip, bool] | None:
        """The trip that `state` belongs to, and whether this call is the one that used it up."""
        while True:
            entry = await self._ctx.store.get("login", digest(state))
            if entry is None or "flow_key" not in entry.value:
                return None
            trip = Trip.model_validate(entry.value)
            if trip.used:
                return trip, False
            used = trip.model_copy(update={"used": True}).model_dump()
            if await self._ctx.store.swap(
                "login", entry.key, entry.version, used, expires_at=entry.expires_at
            ):
                return trip, True


def _cookie(flow_key: str) -> str:
    return f"sign-in-{flow_key[:16]}"
