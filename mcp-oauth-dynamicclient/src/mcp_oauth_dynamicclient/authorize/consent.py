"""GET /authorize shows what a client asks for; POST /consent is the person's answer (guarantee 2)."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from .. import login, pages
from ..clients import redirects
from ..context import Context
from ..errors import AccessDeniedError, InvalidRequestError, OAuth2Error
from ..forms import read_form
from ..login import session
from ..login.flow import Flow, Flows
from ..records import Client, Identity
from . import wording
from .answer import error_url, send_back
from .checks import check
from .complete import complete_authorization
from .request import AuthorizationRequest, RedirectedError
from .ticket import Tickets

DECISIONS = ("approve", "deny", "switch")


class LoginRequiredError(OAuth2Error):
    """prompt=none, and nobody is signed in (OpenID Connect Core section 3.1.2.6)."""

    error = "login_required"


class ConsentRequiredError(OAuth2Error):
    """prompt=none, and consent is never taken for granted here (OpenID Connect Core section 3.1.2.6)."""

    error = "consent_required"


def routes(ctx: Context) -> APIRouter:
    router = pages.page_router(ctx)
    tickets, flows = Tickets(ctx, "consent"), Flows(ctx)

    @router.get("/authorize")
    async def authorize(request: Request) -> Response:
        try:
            client, asked = await check(ctx, request.query_params.multi_items())
            account = await session.current(ctx, request)
            _refuse_silence(asked, account)
        except RedirectedError as fault:
            ctx.audit.record("authorize", outcome="refused", reason=fault.error.error)
            url = error_url(ctx, fault.redirect_uri, fault.state, fault.error)
            return send_back(ctx, request, url, "the client", approved=False)
        if not _may_reuse_session(asked):
            account = None
        browser = tickets.browser(request)
        response = _page(ctx, client, asked, account, tickets.issue(browser, asked.model_dump()))
        tickets.write(response, browser)
        return response

    @router.post("/consent")
    async def consent(request: Request) -> Response:
        form = await read_form(request)
        ticket, decision = form.get("ticket") or "", form.get("decision")
        content = tickets.read(ticket)
        if content is None or decision not in DECISIONS:
            raise InvalidRequestError("This is not an answer to a consent page of this gateway; start again.")
        asked = AuthorizationRequest.model_validate(content)
        if tickets.has_expired(ticket):
            return pages.error_page(
                ctx, "This page has lain open too long", "It is more than an hour old.",
                "Load it again and decide anew.", again=asked.again,
            )  # fmt: skip
        if not tickets.is_of(ticket, request):
            return no_cookie(ctx, asked.again)
        client = await _still_registered(ctx, asked)
        ctx.audit.record(
            "consent",
            outcome="denied" if decision == "deny" else "approved",
            client=client.client_id,
            resource=asked.resource,
        )
        if decision == "deny":
            error = AccessDeniedError("The person did not approve the request.")
            url = error_url(ctx, asked.redirect_uri, asked.state, error)
            return send_back(ctx, request, url, client.name, approved=False)
        account = await session.current(ctx, request)
        if account is not None and decision == "approve" and _may_reuse_session(asked):
            return await complete_authorization(ctx, request, asked, account)
        return await flows.begin(_flow(ctx, client, asked, decision))

    return router


def no_cookie(ctx: Context, again: str | None) -> Response:
    host = ctx.settings.issuer.partition("://")[2]
    return pages.error_page(
        ctx,
        "Your browser did not send our cookie",
        "It shows that the browser which approves is the one that signs in, so nothing goes on without it.",
        f"Allow cookies for {host}. If this window belongs to an app, open the link in your usual browser"
        " instead. Then start again.",
        again=again,
    )


def _refuse_silence(asked: AuthorizationRequest, account: Identity | None) -> None:
    if "none" not in asked.prompts:
        return
    error: OAuth2Error = ConsentRequiredError(
        "Nothing is approved here without showing a page; ask without prompt=none."
    )
    if account is None:
        error = LoginRequiredError("Nobody is signed in; ask without prompt=none.")
    raise RedirectedError(error, asked.redirect_uri, asked.state)


def _may_reuse_session(asked: AuthorizationRequest) -> bool:
    return not {"login", "select_account"} & set(asked.prompts)


async def _still_registered(ctx: Context, asked: AuthorizationRequest) -> Client:
    """The client as it is now: it may have been changed or removed while the page was open."""
    client = await ctx.clients.find(asked.client_id)
    if client is None or not redirects.matches(client.redirect_uris, asked.redirect_uri):
        raise InvalidRequestError(
            "The client's registration has changed meanwhile; connect again from your client."
        )
    return client


def _flow(ctx: Context, client: Client, asked: AuthorizationRequest, decision: str) -> Flow:
    server = ctx.resources.name(asked.resource) if asked.resource else "every server of this gateway"
    prompt = next((name for name in ("login", "select_account") if name in asked.prompts), "")
    return Flow(
        purpose="authorize",
        details=asked.model_dump(),
        client_id=client.client_id,
        client_name=client.name[:100],
        headline=f"to let {client.name[:100]} use {server}",
        again=asked.again,
        prompt="select_account" if decision == "switch" else prompt,
        form_target=asked.redirect_uri,
    )


def _page(
    ctx: Context, client: Client, asked: AuthorizationRequest, account: Identity | None, ticket: str
) -> Response:
    return consent_page(
        ctx,
        client=wording.describe_client(client),
        destination=wording.describe_destination(asked.redirect_uri, client.name[:100]),
        resource=asked.resource,
        scope=asked.scope,
        account=account,
        ticket=ticket,
        action="/consent",
        form_targets=(asked.redirect_uri,),
    )


def consent_page(
    ctx: Context,
    *,
    client: wording.ClientWords,
    destination: wording.Destination,
    resource: str | None,
    scope: str,
    account: Identity | None,
    ticket: str,
    action: str,
    form_targets: tuple[str, ...] = (),
) -> Response:
    """The question, always shown: also used when a device asks."""
    return pages.render(
        ctx, "consent.html", form_targets=form_targets,
        client=client, destination=destination, resource=resource, scopes=wording.describe_scope(scope),
        server_name=ctx.resources.name(resource) if resource else "",
        account=account, provider=login.label(ctx, account.provider) if account else "",
        only_provider=login.only_provider(ctx), ticket=ticket, action=action,
    )  # fmt: skip
