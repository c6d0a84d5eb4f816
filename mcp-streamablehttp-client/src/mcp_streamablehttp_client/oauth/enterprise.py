"""Enterprise-managed authorization: the company's identity provider vouches for the person (MCP
extension io.modelcontextprotocol/enterprise-managed-authorization; RFC 8693, RFC 7523).

An identity token of the provider is exchanged there for an assertion (ID-JAG) that is good at one
authorization server and for one resource only, and that for tokens. No browser is opened.
"""

from __future__ import annotations

from dataclasses import replace

from ..credentials.records import Client, Tokens
from ..settings import Enterprise
from . import token_endpoint
from .registration import refused
from .urls import checked
from .web import Web

_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_ID_JAG = "urn:ietf:params:oauth:token-type:id-jag"
_ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"  # noqa: S105  # a name


async def tokens(web: Web, enterprise: Enterprise, client: Client, blank: Tokens) -> Tokens:
    """Raises SignInError."""
    scope = {"scope": blank.requested_scope} if blank.requested_scope else {}
    provider = replace(
        blank,
        issuer=enterprise.token_endpoint,
        token_endpoint=checked(enterprise.token_endpoint, "identity provider", web.server_url),
        client_id=enterprise.client_id,
        auth_method="none",
        dpop_key=None,
    )
    form = {
        "grant_type": _EXCHANGE,
        "requested_token_type": _ID_JAG,
        "audience": blank.issuer,
        "resource": blank.resource,
        "subject_token": enterprise.identity_token,
        "subject_token_type": _ID_TOKEN,
    }
    reply = await token_endpoint.post(web, provider.token_endpoint, provider, form | scope)
    answer = reply.document or {}
    assertion = answer.get("access_token")
    if reply.status != 200 or answer.get("issued_token_type") != _ID_JAG or not isinstance(assertion, str):
        raise refused("The identity provider does not vouch for this sign-in", reply)
    form = {"grant_type": _BEARER, "assertion": assertion, "resource": blank.resource}
    granted = await token_endpoint.granted(web, token_endpoint.bound(blank, client), form | scope)
    if granted.refresh_token is not None:
        granted = replace(granted, refresh_token=None)  # the provider is asked each time
    return granted
