"""GET /authorize shows what a client asks for; POST /consent is the person's answer."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from .. import pages
from ..clients import redirects
from ..context import Context
from ..errors import AccessDeniedError, InvalidRequestError, OAuth2Error
from ..forms import read_form
from ..login import session
from ..login.flow import Flow, Flows
from ..records import Client, Identity
from . import wording
from .checks import check
from .complete import complete_authorization
from .page import Question, consent_page
from .redirect_back import error_url, redirect_back, refuse_back
from .request import AuthorizationRequest, RedirectedError, UnverifiedError
from .ticket import Tickets

DECISIONS = ("approve", "deny", "switch")
MAX_QUERY = 8 * 1024
"""Characters of an authorization request. It is kept while the person signs in, whoever they are."""


class LoginRequiredError(OAuth2Error):
    """prompt=none, and nobody is signed in (OpenID Connect Core section 3.1.2.6)."""

    error = "login_required"


class ConsentRequiredError(OAuth2Error):
    """prompt=none, and consent is never taken for granted here (OpenID Connect Core section 3.1.2.6)."""

    error = "consent_required"


def routes(ctx: Context) -> APIRouter:
    router = pages.page_router(ctx, "authorize")
    tickets, flows = Tickets(ctx, "consent"), Flows(ctx)

    @router.get("/authorize")
    async def authorize(request: Request) -> Response:
        if len(request.url.query) > MAX_QUERY:
            raise InvalidRequestError(f"The client's request is longer than {MAX_QUERY} characters.")
        try:
            client, asked = await check(ctx, request.query_params.multi_items())
            account = await session.current(ctx, request)
            _refuse_silence(client, asked, account)
        except UnverifiedError as fault:
            if fault.client is None:
                return pages.refuse_error(ctx, "authorize", fault.error, claimed_client=fault.client_id)
            client_id, name = fault.client.client_id, fault.client.name
            return pages.refuse_error(ctx, "authorize", fault.error, client_id=client_id, client_name=name)
        except RedirectedError as fault:
            ctx.audit.record("authorize", outcome="refused", client=fault.client.client_id, error=fault.error)
            return refuse_back(ctx, request, fault)
        ticket = tickets.issue(asked.model_dump())
        question = Question(
            client=wording.describe_client(client),
            destination=wording.describe_destination(asked.redirect_uri),
            until=wording.describe_end(ctx, client),
            resource=asked.resource,
            scope=asked.scope,
            action="/consent",
            form_targets=(asked.redirect_uri,),
        )
        approving = account if _may_reuse_session(asked) else None
        response = await consent_page(ctx, question, approving, ticket.text)
        tickets.bind(ticket, request, response)
        return response

    @router.post("/consent")
    async def consent(request: Request) -> Response:
        form = await read_form(request)
        ticket, decision = tickets.open(form.get("ticket") or ""), form.get("decision")
        if ticket is None or decision not in DECISIONS:
            raise InvalidRequestError("This is not an answer to a consent page of this gateway.")
        asked = AuthorizationRequest.model_validate(ticket.asked)
        client = await ctx.clients.find(asked.client_id)
        name = client.name if client else None
        if ticket.has_expired:
            refusal = pages.Refusal(
                event="consent",
                title="This page has expired",
                sentence="It is more than an hour old.",
                hint="Load it again and decide again.",
                again=asked.again,
                client_id=asked.client_id,
                client_name=name,
            )
            return pages.refuse(ctx, refusal)
        if not tickets.is_of(ticket, request):
            return pages.no_cookie(ctx, "consent", asked.again, client_id=asked.client_id, client_name=name)
        if client is None or not redirects.matches(client.redirect_uris, asked.redirect_uri):
            # It may have been changed or removed while the page was open.
            error = InvalidRequestError("The client's registration has changed meanwhile.")
            return pages.refuse_error(ctx, "consent", error, client_id=asked.client_id, client_name=name)
        ctx.audit.record(
            "consent",
            outcome="denied" if decision == "deny" else "approved",
            client=client.client_id,
            resource=asked.resource,
        )
        if decision == "deny":
            denied = AccessDeniedError("The person did not approve the request.")
            url = error_url(ctx, asked.redirect_uri, asked.state, denied)
            return redirect_back(ctx, request, url, pages.cut(client.name), approved=False)
        account = await session.current(ctx, request)
        if account is not None and decision == "approve" and _may_reuse_session(asked):
            return await complete_authorization(ctx, request, asked, account, ticket.page)
        return await flows.begin(request, _flow(ctx, client, asked, decision, ticket.page))

    return router


def _refuse_silence(client: Client, asked: AuthorizationRequest, account: Identity | None) -> None:
    if "none" not in asked.prompts:
        return
    error: OAuth2Error = ConsentRequiredError(
        "Nothing is approved here without showing a page; ask without prompt=none."
    )
    if account is None:
        error = LoginRequiredError("Nobody is signed in; ask without prompt=none.")
    raise RedirectedError(error, client, asked.redirect_uri, asked.state)


def _may_reuse_session(asked: AuthorizationRequest) -> bool:
    return not {"login", "select_account"} & set(asked.prompts)


def _flow(ctx: Context, client: Client, asked: AuthorizationRequest, decision: str, consent: str) -> Flow:
    server = ctx.resources.name(asked.resource) if asked.resource else "every server of this gateway"
    prompt = next((name for name in ("login", "select_account") if name in asked.prompts), "")
    return Flow(
        purpose="authorize",
        details=asked.model_dump(),
        consent=consent,
        client_id=client.client_id,
        client_name=pages.cut(client.name),
        headline=f"to let {pages.cut(client.name)} use {server}",
        again=asked.again,
        prompt="select_account" if decision == "switch" else prompt,
        form_target=asked.redirect_uri,
    )
