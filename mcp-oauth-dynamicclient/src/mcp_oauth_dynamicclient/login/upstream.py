"""The client's half of OAuth, spoken to login providers: Authlib prepares, the shared HTTP client sends."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import httpx
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri, prepare_token_request
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from ..errors import ServerError, TemporarilyUnavailableError
from .base import Attempt

TIMEOUT = 10.0
"""Seconds for each request to a provider."""


def authorization_url(endpoint: str, client_id: str, scope: str, attempt: Attempt, **extra: str) -> str:
    url = prepare_grant_uri(
        endpoint,
        client_id,
        "code",
        redirect_uri=attempt.redirect_uri,
        scope=scope,
        state=attempt.state,
        code_challenge=create_s256_code_challenge(attempt.verifier),  # type: ignore[no-untyped-call]  # as above
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
    attempt: Attempt,
    *,
    basic: bool = False,
) -> dict[str, Any]:
    """Redeem a provider's code. GitHub reports errors with status 200, others with 400: both are found."""
    client_id, secret = client
    credentials = {} if basic else {"client_id": client_id, "client_secret": secret}
    body = prepare_token_request(
        "authorization_code",
        "",
        attempt.redirect_uri,
        code=code,
        code_verifier=attempt.verifier,
        **credentials,
    )
    response = await send(
        http,
        label,
        "POST",
        endpoint,
        content=body,
        headers={"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"},
        auth=httpx.BasicAuth(client_id, secret) if basic else None,
    )
    answer = _members(response)
    if "access_token" not in answer:
        reason = str(answer.get("error", f"status {response.status_code}"))[:100]
        raise ServerError(f"{label} did not accept its own code ({reason}); check the client secret.")
    return answer


async def send(http: httpx.AsyncClient, label: str, method: str, url: str, **options: Any) -> httpx.Response:
    """One request. TemporarilyUnavailableError when there is no answer, or one of the 5xx kind."""
    try:
        response = await http.request(method, url, timeout=TIMEOUT, **options)
    except httpx.HTTPError:
        raise TemporarilyUnavailableError(f"{label} cannot be reached; try again in a moment.") from None
    if response.status_code >= 500 or response.status_code == 429:
        raise TemporarilyUnavailableError(f"{label} is not answering; try again in a moment.")
    return response


def json_object(label: str, response: httpx.Response) -> dict[str, Any]:
    """The members of a successful JSON answer. ServerError for anything else."""
    answer = _members(response) if response.status_code == 200 else {}
    if not answer:
        raise ServerError(f"{label} answered with status {response.status_code} and nothing of use.")
    return answer


def _members(response: httpx.Response) -> dict[str, Any]:
    try:
        value = response.json()
    except ValueError:
        return dict(parse_qsl(response.text))
    return value if isinstance(value, dict) else {}
