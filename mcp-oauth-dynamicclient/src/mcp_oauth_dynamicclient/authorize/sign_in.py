"""After consent: choose how to sign in, go to the provider, come back (or give a password here)."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from .. import pages
from ..context import Context
from ..errors import AccessDeniedError, InvalidRequestError, OAuth2Error, TooManyRequestsError
from ..forms import read_form
from ..login import cookies, local, session
from ..login.flow import Flow, Flows
from ..login.throttle import KnownBrowsers
from ..rate_limit import address
from ..records import Identity
from ..tokens import digest
from .complete import NotAdmittedError, complete, fail

REFUSED = "other-account"
"""Set when somebody was not admitted, so that the next attempt lets them choose another account."""
GONE = "This sign-in has expired, or was completed already. Connect again from your client."


class StoppedError(Exception):
    """A sign-in that does not go on; the page says why."""

    def __init__(self, page: Response) -> None:
        super().__init__()
        self.page = page


def routes(ctx: Context) -> APIRouter:
    router = pages.page_router(ctx, "login")
    flows, providers, known = Flows(ctx), ctx.standings.providers, KnownBrowsers(ctx)

    @router.get("/login")
    async def choose(request: Request) -> Response:
        try:
            secret, flow = await _flow(request, request.query_params.get("flow", ""))
        except StoppedError as stopped:
            return stopped.page
        return _page(secret, flow)

    @router.get("/login/{provider}")
    async def depart(request: Request, provider: str) -> Response:
        try:
            secret, flow = await _flow(request, request.query_params.get("flow", ""))
        except StoppedError as stopped:
            return stopped.page
        if provider not in providers:
            return _refuse(flow, InvalidRequestError("There is no such way to sign in here."))
        other = cookies.read(ctx, request, REFUSED) is not None
        prompt = flow.prompt or ("select_account" if other else "")
        asked = await flows.depart(request, secret, flow, provider, prompt)
        try:
            url = await providers[provider].begin(asked)
        except OAuth2Error as error:
            return _refuse(flow, error)
        return RedirectResponse(url, 303)

    @router.post("/login")
    async def give_password(request: Request) -> Response:
        form = await read_form(request)
        try:
            secret, flow = await _flow(request, form.get("flow") or "")
        except StoppedError as stopped:
            return stopped.page
        if not ctx.settings.local_accounts:
            return _refuse(flow, InvalidRequestError("There are no local accounts here."))
        name, password = form.get("username") or "", form.get("password") or ""
        try:
            identity = await local.authenticate(
                ctx, name, password, address(request), known.read(request, name)
            )
        except TooManyRequestsError as error:
            response = _page(secret, flow, problem=error.reason, username=name[:64], status=429)
            response.headers["Retry-After"] = str(error.retry_after)
            return response
        except AccessDeniedError as error:
            return _page(secret, flow, problem=error.reason, username=name[:64], status=403)
        response = await _arrive(request, flow, identity)
        known.remember(request, response, name)
        return response

    @router.get("/callback")
    @router.get("/callback/{provider}")
    async def callback(request: Request, provider: str = "github") -> Response:
        answer = dict(request.query_params)
        state = answer.get("state", "")
        found = await flows.arrive(state)
        if found is None or found[0].provider != provider or provider not in providers:
            raise InvalidRequestError(GONE)
        pending, is_first = found
        flow = pending.flow
        if flows.has_expired(pending):
            return _expired(flow)
        if not flows.is_bound(request, pending.flow_key, flow):
            return _no_cookie(flow) if is_first else _used(flow)
        if not is_first:
            return _used(flow)
        try:
            signed_in = await providers[provider].complete(flows.upstream_request(state, pending), answer)
        except OAuth2Error as error:
            return fail(ctx, request, flow, error)
        await ctx.standings.remember(signed_in.identity, signed_in.token)
        return await _arrive(request, flow, signed_in.identity)

    async def _flow(request: Request, secret: str) -> tuple[str, Flow]:
        """The sign-in under way that a secret stands for, in the browser that approved."""
        flow = await flows.find(secret) if secret else None
        if flow is None:
            raise InvalidRequestError(GONE)
        if flows.has_expired(flow):
            raise StoppedError(_expired(flow))
        if not flows.is_bound(request, digest(secret), flow):
            raise StoppedError(_no_cookie(flow))
        return secret, flow

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

    def _refuse(flow: Flow, error: OAuth2Error) -> Response:
        client_id, name = flow.client_id or None, flow.client_name
        return pages.refuse_error(
            ctx, "login", error, again=flow.again, client_id=client_id, client_name=name
        )

    def _no_cookie(flow: Flow) -> Response:
        client_id, name = flow.client_id or None, flow.client_name
        return pages.no_cookie(ctx, "login", flow.again, client_id=client_id, client_name=name)

    def _expired(flow: Flow) -> Response:
        refusal = pages.Refusal(
            event="login",
            title="This sign-in has expired",
            sentence=f"It may take {ctx.settings.login_lifetime // 60} minutes.",
            hint="Start again. If your client no longer waits, connect again from there.",
            again=flow.again,
            client_id=flow.client_id or None,
            client_name=flow.client_name,
        )
        return pages.refuse(ctx, refusal)

    def _used(flow: Flow) -> Response:
        refusal = pages.Refusal(
            event="login",
            title="This sign-in is done",
            sentence="The page you came back to had already been used.",
            hint="If your client is connected, close this window. If not, start again.",
            again=flow.again,
            client_id=flow.client_id or None,
            client_name=flow.client_name,
        )
        return pages.refuse(ctx, refusal)

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
