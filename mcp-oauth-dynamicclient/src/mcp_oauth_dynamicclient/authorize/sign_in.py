"""After consent: choose how to sign in, go to the provider, come back (or give a password here)."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from .. import login, pages
from ..context import Context
from ..errors import AccessDeniedError, InvalidRequestError, OAuth2Error, TooManyRequestsError
from ..forms import read_form
from ..login import cookies, local, session
from ..login.flow import Flow, Flows, Trip
from ..rate_limit import address
from ..records import Identity
from ..tokens import digest
from .complete import NotAdmittedError, complete, fail
from .consent import no_cookie

REFUSED = "other-account"
"""Set when somebody was not admitted, so that the next attempt lets them choose another account."""
GONE = "This sign-in has expired, or was completed already. Connect again from your client."


def routes(ctx: Context) -> APIRouter:
    router = pages.page_router(ctx)
    flows, providers = Flows(ctx), login.providers(ctx)

    @router.get("/login")
    async def choose(request: Request) -> Response:
        secret = request.query_params.get("flow", "")
        flow = await _flow(secret)
        if not flows.is_bound(request, digest(secret), flow):
            return no_cookie(ctx, flow.again)
        return _page(secret, flow)

    @router.get("/login/{provider}")
    async def depart(request: Request, provider: str) -> Response:
        secret = request.query_params.get("flow", "")
        flow = await _flow(secret)
        if not flows.is_bound(request, digest(secret), flow):
            return no_cookie(ctx, flow.again)
        if provider not in providers:
            raise InvalidRequestError("There is no such way to sign in here.")
        other = cookies.read(ctx, request, REFUSED) is not None
        prompt = flow.prompt or ("select_account" if other else "")
        attempt = await flows.depart(secret, flow, provider, prompt)
        try:
            url = await providers[provider].begin(attempt)
        except OAuth2Error as error:
            return pages.error_as_page(ctx, error, again=flow.again)
        return RedirectResponse(url, 303)

    @router.post("/login")
    async def give_password(request: Request) -> Response:
        form = await read_form(request)
        secret = form.get("flow") or ""
        flow = await _flow(secret)
        if not flows.is_bound(request, digest(secret), flow):
            return no_cookie(ctx, flow.again)
        if not ctx.settings.local_accounts:
            raise InvalidRequestError("There are no local accounts here.")
        name, password = form.get("username") or "", form.get("password") or ""
        try:
            identity = await local.authenticate(ctx, name, password, address(request))
        except (AccessDeniedError, TooManyRequestsError) as error:
            status = 429 if isinstance(error, TooManyRequestsError) else 403
            response = _page(secret, flow, problem=error.description or "", username=name[:64], status=status)
            if isinstance(error, TooManyRequestsError):
                response.headers["Retry-After"] = str(error.retry_after)
            return response
        return await _arrive(request, flow, identity)

    @router.get("/callback")
    @router.get("/callback/{provider}")
    async def callback(request: Request, provider: str = "github") -> Response:
        answer = dict(request.query_params)
        state = answer.get("state", "")
        found = await flows.arrive(state)
        if found is None or found[0].provider != provider or provider not in providers:
            raise InvalidRequestError(GONE)
        trip, first = found
        if not flows.is_bound(request, trip.flow_key, trip.flow):
            ctx.audit.record(
                "login", outcome="refused", client=trip.flow.client_id, reason="not the browser that approved"
            )
            return no_cookie(ctx, trip.flow.again) if first else _used(trip)
        if not first:
            return _used(trip)
        try:
            identity = await providers[provider].complete(flows.attempt(state, trip), answer)
        except OAuth2Error as error:
            return fail(ctx, request, trip.flow, error)
        return await _arrive(request, trip.flow, identity)

    async def _flow(secret: str) -> Flow:
        flow = await flows.find(secret) if secret else None
        if flow is None:
            raise InvalidRequestError(GONE)
        return flow

    async def _arrive(request: Request, flow: Flow, identity: Identity) -> Response:
        """Signed in: carry out what was approved, in a session of its own."""
        try:
            response = await complete(ctx, request, flow, identity)
        except NotAdmittedError as error:
            response = fail(ctx, request, flow, error)
            cookies.write(ctx, response, REFUSED, "1", ctx.settings.login_lifetime)
            return response
        ctx.audit.record("login", outcome="signed in", user=identity.user_id, client=flow.client_id or None)
        await session.start(ctx, request, response, identity)
        cookies.forget(ctx, response, REFUSED)
        return response

    def _used(trip: Trip) -> Response:
        return pages.error_page(
            ctx, "This sign-in is done", "The page you came back to had already been used.",
            "If your client is connected, close this window. If not, start again.", again=trip.flow.again,
        )  # fmt: skip

    def _page(
        secret: str, flow: Flow, *, problem: str = "", username: str = "", status: int = 200
    ) -> Response:
        others = [
            {"label": provider.label, "url": f"{ctx.settings.issuer}/login/{name}?flow={secret}"}
            for name, provider in providers.items()
        ]
        only = others[0] if len(others) == 1 and not ctx.settings.local_accounts else None
        return pages.render(
            ctx, "login.html", status=status,
            headers={"Refresh": f"0;url={only['url']}"} if only else None,
            form_targets=(flow.form_target,) if flow.form_target else (),
            continuing=only, others=others, local=ctx.settings.local_accounts, flow=secret,
            purpose=flow.headline, problem=problem, username=username,
        )  # fmt: skip

    return router
