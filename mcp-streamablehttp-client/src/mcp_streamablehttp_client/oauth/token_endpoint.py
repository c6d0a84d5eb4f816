"""Requests to the token and revocation endpoints (RFC 6749 §4.1.3, §4.4 and §6, RFC 7009)."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any
from urllib.parse import quote_plus

from ..credentials.records import Client, Tokens
from ..errors import SignInError
from . import assertion, dpop
from .registration import refused
from .web import Answer, Web


def bound(tokens: Tokens, client: Client) -> Tokens:
    """The tokens to be, with the client that asks for them."""
    return replace(
        tokens,
        client_id=client.client_id,
        client_secret=client.client_secret,
        auth_method=client.auth_method,
    )


async def redeem(
    web: Web, tokens: Tokens, client: Client, code: str, verifier: str, redirect_uri: str
) -> Tokens:
    """Exchange an authorization code; `tokens` says for what and where."""
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect_uri,
        "code_verifier": verifier,
        "resource": tokens.resource,
    }
    return await granted(web, bound(tokens, client), form)


async def client_credentials(web: Web, tokens: Tokens, client: Client) -> Tokens:
    """Tokens in the client's own name (RFC 6749 section 4.4)."""
    form = {"grant_type": "client_credentials", "resource": tokens.resource}
    if tokens.requested_scope:
        form["scope"] = tokens.requested_scope
    return await granted(web, bound(tokens, client), form)


async def refresh(web: Web, tokens: Tokens) -> Tokens:
    """Raises OAuthRefusedError when the server refuses in the protocol's words, NotNowError when anything
    else came back, SignInError otherwise."""
    if tokens.refresh_token is None:
        raise SignInError("There is no refresh token.")
    form = {
        "grant_type": "refresh_token",
        "refresh_token": tokens.refresh_token,
        "resource": tokens.resource,
    }
    return await granted(web, tokens, form)


async def knows(web: Web, token_endpoint: str, client: Client) -> bool:
    """Whether the server still knows a client: asked with a refresh token that is none, it tells an
    unknown client from a bad grant (RFC 6749 section 5.2). Weather and any other answer count as
    yes."""
    blank = Tokens(client.issuer, web.server_url, token_endpoint, client.client_id, access_token="")
    form = {"grant_type": "refresh_token", "refresh_token": "is-this-client-known"}
    reply = await post(web, token_endpoint, bound(blank, client), form)
    return not (reply.status in (400, 401) and _error(reply) in ("invalid_client", "unauthorized_client"))


async def revoke(web: Web, endpoint: str, tokens: Tokens) -> bool:
    """Whether the server revoked the grant; raises SignInError when it cannot be reached."""
    form = {"token": tokens.refresh_token or tokens.access_token}
    return (await post(web, endpoint, tokens, form)).status == 200


async def granted(web: Web, tokens: Tokens, form: dict[str, str]) -> Tokens:
    """The tokens with a token answer taken in; raises OAuthRefusedError, NotNowError and SignInError."""
    reply = await post(web, tokens.token_endpoint, tokens, form)
    answer = reply.document
    if reply.status != 200 or answer is None or "access_token" not in answer:
        raise refused(f"{tokens.issuer} issued no token", reply)
    access_token = answer.get("access_token")
    token_type = answer.get("token_type")
    if not isinstance(access_token, str) or not access_token.isascii() or " " in access_token:
        raise SignInError(f"{tokens.issuer} sent a token answer without a usable access token.")
    usable = ("bearer",) if tokens.dpop_key is None else ("bearer", "dpop")
    if not isinstance(token_type, str) or token_type.lower() not in usable:
        raise SignInError(f"{tokens.issuer} issued a token that is not a Bearer token.")
    return tokens.renewed(answer)


async def post(web: Web, endpoint: str, tokens: Tokens, form: dict[str, str]) -> Answer:
    """One authenticated request (RFC 6749 section 2.3), and without `client_id` in its body where
    a server refuses that beside Basic as two methods at once."""
    added, headers = _authentication(web, tokens)
    reply = await _sent(web, endpoint, tokens, form | added, headers)
    if headers and reply.status in (400, 401) and _error(reply) in ("invalid_request", "invalid_client"):
        reply = await _sent(web, endpoint, tokens, form, headers)
    return reply


async def _sent(
    web: Web, endpoint: str, tokens: Tokens, form: dict[str, str], headers: dict[str, str]
) -> Answer:
    if tokens.dpop_key is not None and endpoint == tokens.token_endpoint:
        return await dpop.token_request(web, endpoint, tokens.dpop_key, form, headers)
    return await web.exchange("POST", endpoint, form=form, headers=headers)


def _error(reply: Answer) -> Any:
    return (reply.document or {}).get("error")


def _authentication(web: Web, tokens: Tokens) -> tuple[dict[str, str], dict[str, str]]:
    """What goes into the form, and the headers.

    `client_id` is in the form with Basic as well: the RFC allows it, and every authorization server
    of the Python SDK demands it.
    """
    secret, key = tokens.client_secret, web.settings.client_key
    form = {"client_id": tokens.client_id}
    if tokens.auth_method == "private_key_jwt" and key is not None:
        proof = assertion.signed(key, tokens.client_id, tokens.issuer)
        return form | {"client_assertion_type": assertion.TYPE, "client_assertion": proof}, {}
    if tokens.auth_method == "client_secret_basic" and secret is not None:
        login = f"{quote_plus(tokens.client_id)}:{quote_plus(secret)}"
        return form, {"Authorization": "Basic " + base64.b64encode(login.encode()).decode()}
    if tokens.auth_method == "client_secret_post" and secret is not None:
        form["client_secret"] = secret
    return form, {}
