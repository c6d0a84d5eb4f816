"""Addresses that are none of a server's own: the real framework around the common answer."""

from __future__ import annotations

import httpx
import pytest
from fastapi import FastAPI
from starlette.routing import Route

from common.nowhere import name_endpoint
from common.refusal import refuse

ENDPOINT = "https://time.example.com/mcp"


@pytest.fixture
def http() -> httpx.AsyncClient:
    app = FastAPI(redirect_slashes=False)
    app.router.routes.append(Route("/health", endpoint=refuse, methods=["GET", "HEAD"]))
    name_endpoint(app, lambda request: ENDPOINT)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1")


@pytest.mark.parametrize("path", ["/mcp/none", "/mcp//", "/mcp/.well-known/x", "/none", "/health/", "//"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS", "QUERY"])
async def test_an_address_that_is_none_names_the_endpoint(
    http: httpx.AsyncClient, method: str, path: str
) -> None:
    answer = await http.request(method, f"http://127.0.0.1{path}")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/json")
    body = answer.json()
    assert body["error"]["message"].endswith(f"the MCP endpoint is {ENDPOINT}")
    assert {**body, "error": body["error"]["code"]} == {"jsonrpc": "2.0", "id": None, "error": -32600}


async def test_a_method_that_an_address_has_not_is_405_with_those_that_it_has(
    http: httpx.AsyncClient,
) -> None:
    answer = await http.post("/health")
    assert (answer.status_code, set(answer.headers["allow"].split(", "))) == (405, {"GET", "HEAD"})
    assert answer.json()["error"]["message"] == f"This address answers {answer.headers['allow']}."
