"""What follows a sign-in: a code for the client that asked, or the page the person wanted."""

from __future__ import annotations

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from .. import pages
from ..context import Context
from ..errors import AccessDeniedError, InvalidRequestError, OAuth2Error
from ..grants import authorization_code, device_code
from ..login.flow import Flow
from ..records import Identity
from .redirect_back import answer_url, error_url, redirect_back
from .request import AuthorizationRequest


class NotAdmittedError(AccessDeniedError):
    """Somebody signed in whom no rule admits."""


async def complete(ctx: Context, request: Request, flow: Flow, identity: Identity) -> Response:
    """Carry out what the person approved before signing in. Raises NotAdmittedError if no rule admits
    them."""
    reason = await ctx.policy.still_allowed(identity)
    if reason is not None:
        ctx.audit.record(
            "policy", outcome="refused", user=identity.user_id, client=flow.client_id, reason=reason,
            resource=flow.details.get("resource"),
        )  # fmt: skip
        raise NotAdmittedError(
            "{} is not admitted to this gateway; ask the person who runs it.", quoted=identity.login
        )
    match flow.purpose:
        case "authorize":
            asked = AuthorizationRequest.model_validate(flow.details)
            return await complete_authorization(ctx, request, asked, identity, flow.consent, flow.client_name)
        case "device":
            return await complete_device(ctx, flow.details["user_code"], identity, flow)
        case "account":
            page = "/" if flow.details.get("then") == "servers" else "/account"
            return RedirectResponse(f"{ctx.settings.issuer}{page}", 303)


async def complete_authorization(
    ctx: Context,
    request: Request,
    asked: AuthorizationRequest,
    identity: Identity,
    consent: str,
    client_name: str = "",
) -> Response:
    """The code of this consent, to the client that asked. `client_name` is what it was called then."""
    client = await ctx.clients.find(asked.client_id)
    if client is None:
        error = InvalidRequestError("The client's registration was removed meanwhile.")
        return pages.refuse_error(ctx, "authorize", error, client_id=asked.client_id, client_name=client_name)
    code = await authorization_code.issue(
        ctx,
        client=client,
        redirect_uri=asked.redirect_uri,
        code_challenge=asked.code_challenge,
        resource=asked.resource,
        scope=asked.scope,
        identity=identity,
        consent=consent,
    )
    if code is None:
        refusal = pages.Refusal(
            event="authorize",
            title="This approval was used already",
            sentence="One approval connects a client once.",
            hint="If your client is connected, close this window. If not, start again.",
            again=asked.again,
            client_id=client.client_id,
            client_name=client.name,
        )
        return pages.refuse(ctx, refusal)
    ctx.audit.record(
        "authorize", outcome="issued", user=identity.user_id, client=client.client_id, resource=asked.resource
    )
    url = answer_url(ctx, asked.redirect_uri, asked.state, {"code": code})
    return redirect_back(ctx, request, url, pages.cut(client.name), approved=True)


async def complete_device(
    ctx: Context, user_code: str, identity: Identity | None, flow: Flow | None = None
) -> Response:
    """Tell the device, and the person what they have done. A second time says the code is used."""
    decided = await device_code.decide(ctx, user_code, identity)
    if decided is None:
        refusal = pages.Refusal(
            event="device.page",
            title="This code is not waiting",
            sentence="It was used already, or it has expired.",
            hint="If your device is connected, close this window. If not, let it show a new code.",
            again="/device",
            again_label="Enter a code",
            client_id=flow.client_id if flow else None,
            client_name=flow.client_name if flow else None,
        )
        return pages.refuse(ctx, refusal)
    approved = identity is not None
    ctx.audit.record(
        "device", outcome="approved" if approved else "denied", client=decided.client_id,
        user=identity.user_id if identity else None, resource=decided.resource,
    )  # fmt: skip
    return pages.render(
        ctx, "returning.html", target="", label="",
        title="Device connected" if approved else "Not approved",
        sentence=f"{decided.client_name} now has access: go back to it."
        if approved
        else f"{decided.client_name} was told that you do not approve.",
    )  # fmt: skip


def fail(ctx: Context, request: Request, flow: Flow, error: OAuth2Error) -> Response:
    """A sign-in that did not succeed: the client is told, where a client asked."""
    if flow.purpose != "authorize":
        return pages.refuse_error(
            ctx, "login", error, again=flow.again, client_id=flow.client_id, client_name=flow.client_name
        )
    ctx.audit.record("login", outcome="failed", client=flow.client_id, error=error)
    asked = AuthorizationRequest.model_validate(flow.details)
    url = error_url(ctx, asked.redirect_uri, asked.state, error)
    return redirect_back(ctx, request, url, flow.client_name, approved=False)
