"""The client credentials grant (RFC 6749 section 4.4): a machine of the operator's, no person.

Only a client that the operator entered may use it. By dynamic registration or a metadata document anybody can
become a client; such a client needs a person who consents.
"""

from __future__ import annotations

from typing import Any

from .. import scopes
from ..context import Context
from ..errors import UnauthorizedClientError
from ..forms import Form
from ..records import Client
from . import grant, target, token_response


async def redeem(ctx: Context, client: Client, form: Form) -> dict[str, Any]:
    """An access token for the client itself; it comes again with its credentials, not a refresh token."""
    if client.source != "preregistered" or client.auth_method == "none":
        raise UnauthorizedClientError(
            "Only confidential clients that the operator entered may use this grant."
        )
    resource = await target.new_resource(ctx, form.resources)
    given = await grant.create(
        ctx,
        client=client,
        identity=None,
        resource=resource,
        scope=scopes.granted(form.get("scope")),
        lives=ctx.settings.access_token_lifetime,
    )
    await ctx.clients.touch(client)
    return await token_response.bearer(ctx, given, resource=resource, scope=given.scope)
