"""/account: which clients may use which servers in a person's name, and taking it back."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from .. import login, pages
from ..authorize.ticket import Tickets
from ..context import Context
from ..errors import InvalidRequestError
from ..forms import read_form
from ..grants import grant
from ..login import session
from ..login.flow import Flow, Flows
from ..records import Identity

SIGN_IN = Flow(
    purpose="account", details={}, client_id="", headline="to see what you have approved", again="/account"
)
SIGN_IN_FOR_SERVERS = Flow(
    purpose="account", details={"then": "servers"}, client_id="", headline="to see the servers",
    again="/account?then=servers",
)  # fmt: skip
NOTICES = {"revoked": "Access was revoked.", "all": "All access was revoked."}


def routes(ctx: Context) -> APIRouter:
    router = pages.page_router(ctx, "account", again="/account")
    tickets, flows = Tickets(ctx, "account"), Flows(ctx)
    page_url = f"{ctx.settings.issuer}/account"

    @router.get("/account")
    async def account(request: Request) -> Response:
        identity = await session.current(ctx, request)
        for_servers = request.query_params.get("then") == "servers"
        if identity is None:
            return await flows.begin(request, SIGN_IN_FOR_SERVERS if for_servers else SIGN_IN)
        if for_servers:
            return RedirectResponse(f"{ctx.settings.issuer}/", 303)
        ticket = tickets.issue({"user": identity.user_id})
        response = await _page(identity, ticket.text, request)
        tickets.bind(ticket, request, response)
        return response

    @router.post("/account")
    async def act(request: Request) -> Response:
        form = await read_form(request)
        ticket = tickets.open(form.get("ticket") or "")
        identity = await session.current(ctx, request)
        if ticket is None:
            raise InvalidRequestError(
                "This is not an answer to the account page of this gateway; open it again."
            )
        if not ticket.has_expired and not tickets.is_of(ticket, request):
            return pages.no_cookie(ctx, "account", "/account")
        if identity is None or ticket.asked["user"] != identity.user_id or ticket.has_expired:
            return RedirectResponse(page_url, 303)
        match form.get("action"):
            case "revoke":
                await _revoke(identity, form.get("grant_id") or "")
                return RedirectResponse(f"{page_url}?done=revoked", 303)
            case "revoke_all":
                await grant.revoke_user(ctx, identity.user_id, "revoked by the person")
                return RedirectResponse(f"{page_url}?done=all", 303)
            case "sign_out":
                response = pages.render(
                    ctx, "returning.html", title="Signed out", target=page_url,
                    sentence="Clients that you approved stay connected.", label="Sign in again",
                )  # fmt: skip
                await session.end(ctx, request, response)
                return response
        raise InvalidRequestError("The account page has no such button.")

    async def _revoke(identity: Identity, grant_id: str) -> None:
        """Only one's own; what is gone already is fine."""
        found = await grant.load(ctx, grant_id)
        if found is not None and found.identity is not None and found.identity.user_id == identity.user_id:
            await grant.revoke(ctx, grant_id, "revoked by the person")

    async def _page(identity: Identity, ticket: str, request: Request) -> Response:
        grants = [found async for found in grant.list_user(ctx, identity.user_id)]
        grants.sort(key=lambda found: found.last_used_at, reverse=True)
        return pages.render(
            ctx, "account.html",
            identity=identity, provider=login.label(ctx, identity.provider), grants=grants, ticket=ticket,
            notice=NOTICES.get(request.query_params.get("done", ""), ""),
        )  # fmt: skip

    return router
