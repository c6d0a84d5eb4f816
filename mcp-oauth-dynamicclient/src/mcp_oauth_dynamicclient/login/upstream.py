"""The client's half of OAuth, spoken to login providers: Authlib prepares, the shared HTTP client sends."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import httpx
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri, prepare_token_request
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from ..errors import AccessDeniedError, ServerError, TemporarilyUnavailableError
from ..json_object import parse_object
from .base import UpstreamRequest

TIMEOUT = 10.0
"""Seconds for each request to a provider."""


def authorization_url(
    endpoint: str, client_id: str, scope: str, request: UpstreamRequest, **extra: str
) -> str:
    url = prepare_grant_uri(
        endpoint,
        client_id,
        "code",
        redirect_uri=request.redirect_uri,
        scope=scope,
        state=request.state,
        code_challenge=create_s256_code_challenge(request.verifier),  # type: ignore[no-untyped-call]  # Authlib is not annotated
        code_challenge_method="S256",
        **extra,
    )
    return str(url)


async def exchange_code(
    http: httpx.AsyncClient,
    label: str,
    endpoint: str,
    client: tuple[str, str],
    code: str,
    request: UpstreamRequest,
    *,
    basic: bool = False,
) -> dict[str, Any]:
    """Redeem a provider's code. GitHub reports errors with status 200, others with 400: both are found."""
    body = {"code": code, "redirect_uri": request.redirect_uri, "code_verifier": request.verifier}
    answer = await _token_request(http, label, endpoint, client, "authorization_code", body, basic=basic)
    if "access_token" not in answer:
        raise ServerError(f"{label} did not accept its own code ({_fault(answer)}); check the client secret.")
    return answer


async def refresh(
    http: httpx.AsyncClient, label: str, endpoint: str, client: tuple[str, str], token: str, *, basic: bool
) -> dict[str, Any]:
    """Use a provider's refresh token. Raises AccessDeniedError when the token is no longer good."""
    body = {"refresh_token": token}
    answer = await _token_request(http, label, endpoint, client, "refresh_token", body, basic=basic)
    if answer.get("error") == "invalid_grant":
        raise AccessDeniedError(f"{label} no longer vouches for this sign-in; sign in again.")
    if "access_token" not in answer:
        raise ServerError(f"{label} did not answer about a person ({_fault(answer)}).")
    return answer


async def _token_request(
    http: httpx.AsyncClient,
    label: str,
    endpoint: str,
    client: tuple[str, str],
    grant_type: str,
    body: dict[str, str],
    *,
    basic: bool,
) -> dict[str, Any]:
    client_id, secret = client
    credentials = {} if basic else {"client_id": client_id, "client_secret": secret}
    response = await send(
        http,
        label,
        "POST",
        endpoint,
        content=prepare_token_request(grant_type, "", **body, **credentials),
        headers={"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"},
        auth=httpx.BasicAuth(client_id, secret) if basic else None,
    )
    return {"error": f"status {response.status_code}"} | _members(response)


def _fault(answer: dict[str, Any]) -> str:
    return str(answer["error"])[:100]


async def send(http: httpx.AsyncClient, label: str, method: str, url: str, **options: Any) -> httpx.Response:
    """One request. Raises TemporarilyUnavailableError when there is no answer, or one of 5xx."""
    try:
        response = await http.request(method, url, timeout=TIMEOUT, **options)
    except httpx.HTTPError as error:
        raise TemporarilyUnavailableError(f"{label} cannot be reached; try again in a moment.") from error
    if response.status_code >= 500 or response.status_code == 429:
        raise TemporarilyUnavailableError(f"{label} is not answering; try again in a moment.")
    return response


def json_object(label: str, response: httpx.Response) -> dict[str, Any]:
    """The members of a successful JSON answer. Raises ServerError for anything else."""
    answer = _members(response) if response.status_code == 200 else {}
    if not answer:
        raise ServerError(f"{label} answered with status {response.status_code} and nothing of use.")
    return answer


def _members(response: httpx.Response) -> dict[str, Any]:
    try:
        return parse_object(response.content)
    except ValueError:
        return dict(parse_qsl(response.text))
