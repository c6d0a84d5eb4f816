"""Requests to the token and revocation endpoints (RFC 6749 §4.1.3 and §6, RFC 7009)."""

import base64
from dataclasses import replace
from typing import Any
from urllib.parse import quote_plus

from ..credentials.records import Client, Tokens
from ..errors import SignInFailed
from .http import exchange
from .registration import refused


async def redeem(tokens: Tokens, client: Client, code: str, verifier: str, redirect_uri: str) -> Tokens:
    """Exchange an authorization code; `tokens` says for what and where."""
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect_uri,
        "code_verifier": verifier,
        "resource": tokens.resource,
    }
    bound = replace(
        tokens,
        client_id=client.client_id,
        client_secret=client.client_secret,
        auth_method=client.auth_method,
    )
    return bound.renewed(await _request(bound, form))


async def refresh(tokens: Tokens) -> Tokens:
    """Raises OAuthRefused when the refresh token is no longer good, SignInFailed otherwise."""
    if tokens.refresh_token is None:
        raise SignInFailed("There is no refresh token.")
    form = {
        "grant_type": "refresh_token",
        "refresh_token": tokens.refresh_token,
        "resource": tokens.resource,
    }
    return tokens.renewed(await _request(tokens, form))


async def revoke(endpoint: str, tokens: Tokens) -> bool:
    """Whether the server revoked the grant; raises SignInFailed when it cannot be reached."""
    form = {"token": tokens.refresh_token or tokens.access_token}
    headers = _authenticate(tokens, form)
    status, _ = await exchange("POST", endpoint, form=form, headers=headers)
    return status == 200


async def _request(tokens: Tokens, form: dict[str, str]) -> dict[str, Any]:
    headers = _authenticate(tokens, form)
    status, answer = await exchange("POST", tokens.token_endpoint, form=form, headers=headers)
    if status >= 500 or status == 429:
        raise SignInFailed(f"{tokens.issuer} cannot issue tokens now (HTTP {status}).")
    if status != 200 or answer is None:
        raise refused(f"{tokens.issuer} issued no token", status, answer)
    access_token = answer.get("access_token")
    token_type = answer.get("token_type")
    if not isinstance(access_token, str) or not access_token.isascii() or " " in access_token:
        raise SignInFailed(f"{tokens.issuer} sent a token answer without a usable access token.")
    if not isinstance(token_type, str) or token_type.lower() != "bearer":
        raise SignInFailed(f"{tokens.issuer} issued a token that is not a Bearer token.")
    return answer


def _authenticate(tokens: Tokens, form: dict[str, str]) -> dict[str, str]:
    """RFC 6749 §2.3.1: adds to the form, or returns the header."""
    secret = tokens.client_secret
    if tokens.auth_method == "client_secret_basic" and secret is not None:
        login = f"{quote_plus(tokens.client_id)}:{quote_plus(secret)}"
        return {"Authorization": "Basic " + base64.b64encode(login.encode()).decode()}
    form["client_id"] = tokens.client_id
    if tokens.auth_method == "client_secret_post" and secret is not None:
        form["client_secret"] = secret
    return {}
