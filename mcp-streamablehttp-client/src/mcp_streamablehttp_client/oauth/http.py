"""HTTP for the OAuth side: httpx, no redirects, small answers, bounded time."""

import json
from typing import Any

import httpx

from .. import __version__
from ..errors import SignInFailed
from ..http1 import tls_context

MAX_ANSWER_BYTES = 256 * 1024
SECONDS = 30.0


def client(tls: bool) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        timeout=SECONDS,
        follow_redirects=False,
        verify=tls_context() if tls else False,
        headers={"User-Agent": f"mcp-streamablehttp-client/{__version__}"},
    )


async def exchange(
    method: str,
    url: str,
    *,
    form: dict[str, str] | None = None,
    body: dict[str, Any] | None = None,
    headers: dict[str, str] | None = None,
) -> tuple[int, dict[str, Any] | None]:
    """Status and JSON object of an answer (None when it is something else).

    Raises SignInFailed when there is no answer.
    """
    host = httpx.URL(url).netloc.decode()
    try:
        async with (
            client(url.startswith("https:")) as http,
            http.stream(
                method, url, data=form, json=body, headers={"Accept": "application/json"} | (headers or {})
            ) as response,
        ):
            content = b""
            async for chunk in response.aiter_bytes():
                content += chunk
                if len(content) > MAX_ANSWER_BYTES:
                    raise SignInFailed(f"{host} sent too long an answer.")
            return response.status_code, _object(content)
    except httpx.TimeoutException:
        raise SignInFailed(f"{host} did not answer within {SECONDS:g} s.") from None
    except httpx.HTTPError:
        raise SignInFailed(f"{host} cannot be reached.") from None


def _object(content: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
