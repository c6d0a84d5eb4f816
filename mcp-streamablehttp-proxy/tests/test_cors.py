"""Which pages may read answers, without the gateway."""

from __future__ import annotations

import pytest
from mcp_streamablehttp_proxy._common.public_url import PublicUrl
from mcp_streamablehttp_proxy._common.settings import SettingsError
from mcp_streamablehttp_proxy.api_keys import api_keys
from mcp_streamablehttp_proxy.security import Guard
from mcp_streamablehttp_proxy.settings import Settings

from .support import Running, Start

APP = "https://app.example.com"
PREFLIGHT = {
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type,mcp-param-region,mcp-protocol-version",
}


@pytest.fixture
async def proxy(start: Start) -> Running:
    return await start(settings=Settings(cors_origins=(APP, "localhost")))


@pytest.mark.parametrize("origin", [APP, "http://localhost:5173"])
async def test_a_listed_page_may_call_and_read(proxy: Running, origin: str) -> None:
    asked = await proxy.http.options("/mcp", headers={"origin": origin, **PREFLIGHT})
    assert asked.status_code == 200
    assert asked.headers["access-control-allow-origin"] == origin
    assert asked.headers["access-control-allow-headers"] == PREFLIGHT["access-control-request-headers"]
    assert {"GET", "POST", "DELETE"} <= set(asked.headers["access-control-allow-methods"].split(", "))
    client = proxy.client(origin=origin)
    answer = await client.post(client.initialization())
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == origin
    assert "access-control-allow-credentials" not in answer.headers
    assert "Origin" in answer.headers["vary"]
    exposed = answer.headers["access-control-expose-headers"].split(", ")
    assert {"Mcp-Session-Id", "MCP-Protocol-Version", "WWW-Authenticate"} <= set(exposed)


@pytest.mark.parametrize("origin", ["https://evil.example", "http://app.example.com", "null"])
async def test_another_page_may_not(proxy: Running, origin: str) -> None:
    asked = await proxy.http.options("/mcp", headers={"origin": origin, **PREFLIGHT})
    assert asked.status_code == 400
    assert "access-control-allow-origin" not in asked.headers
    client = proxy.client(origin=origin)
    answer = await client.post(client.initialization())
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


async def test_the_default_lets_no_page_read(start: Start) -> None:
    proxy = await start()
    client = proxy.client(origin="http://localhost:5173")
    answer = await client.post(client.initialization())
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers
    asked = await proxy.http.options("/mcp", headers={"origin": "http://localhost:5173", **PREFLIGHT})
    assert asked.status_code == 405


async def test_a_page_needs_a_key_too_and_reads_why_it_is_refused(start: Start) -> None:
    key = "0123456789abcdef"
    proxy = await start(settings=Settings(cors_origins=(APP,), api_keys=api_keys((key,), None)))
    assert (await proxy.http.options("/mcp", headers={"origin": APP, **PREFLIGHT})).status_code == 200
    client = proxy.client(origin=APP)
    refused = await client.post(client.initialization())
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == APP
    assert (await client.post(client.initialization(), x_api_key=key)).status_code == 200


def test_behind_the_gateway_the_edge_decides() -> None:
    own = PublicUrl.parse("https://time.example.com/mcp")
    with pytest.raises(SettingsError, match="MCP_CORS_ORIGINS"):
        Settings(cors_origins=(APP,), identity_url="http://traefik:8090/internal/identity", public_url=own)
    with pytest.raises(SettingsError, match=r"MCP_CORS_ORIGINS.*not/one"):
        Guard(Settings(cors_origins=("not/one",)))
