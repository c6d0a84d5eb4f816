"""Registrations and sign-ins as the clients people use send them, replayed up to a refreshed token.

Recorded by others between July and October 2026 (protocol reference, section 5). Where only some members of a
registration are known, only those are replayed.
"""

from __future__ import annotations

from typing import Any

import pytest
from mcp_oauth_dynamicclient.clients import redirects

from ..support import Clock
from .support import Gateway, MakeSigner

TIME = "http://localhost:8080/time/mcp"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
BOTH = ["authorization_code", "refresh_token"]

REGISTRATIONS: dict[str, tuple[dict[str, Any], str]] = {
    "claude.ai with a secret": (
        {
            "client_name": "Claude",
            "redirect_uris": ["https://claude.ai/api/mcp/auth_callback"],
            "grant_types": BOTH,
            "response_types": ["code"],
            "token_endpoint_auth_method": "client_secret_post",
            "scope": "mcp",
        },
        "https://claude.ai/api/mcp/auth_callback",
    ),
    "claude.ai, public": (
        {
            "client_name": "Claude",
            "redirect_uris": ["https://claude.ai/api/mcp/auth_callback"],
            "grant_types": BOTH,
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
        },
        "https://claude.ai/api/mcp/auth_callback",
    ),
    "Claude Code": (
        {
            "client_name": "Claude Code (time)",
            "redirect_uris": ["http://localhost:54212/callback"],
            "grant_types": BOTH,
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
            "scope": "mcp offline_access",
        },
        "http://localhost:61007/callback",
    ),
    "ChatGPT": (
        {
            "client_name": "ChatGPT",
            "redirect_uris": ["https://chatgpt.com/connector_platform_oauth_redirect"],
            "grant_types": BOTH,
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
        },
        "https://chatgpt.com/connector_platform_oauth_redirect",
    ),
    "VS Code": (
        {
            "client_name": "Visual Studio Code",
            "client_uri": "https://code.visualstudio.com",
            "redirect_uris": [
                "https://insiders.vscode.dev/redirect",
                "https://vscode.dev/redirect",
                "http://127.0.0.1/",
                "http://127.0.0.1:33418/",
            ],
            "grant_types": [*BOTH, DEVICE],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
            "application_type": "native",
        },
        "http://127.0.0.1:50312/",
    ),
    "Cursor 3.24": (
        {
            "redirect_uris": [
                "https://www.cursor.com/agents/mcp/oauth/callback",
                "http://localhost:8787/callback",
            ],
            "token_endpoint_auth_method": "none",
            "grant_types": BOTH,
            "response_types": ["code"],
            "client_name": "Cursor",
            "scope": "mcp",
        },
        "http://localhost:8787/callback",
    ),
    "Cursor, older": (
        {
            "redirect_uris": ["cursor://anysphere.cursor-mcp/oauth/callback"],
            "token_endpoint_auth_method": "none",
            "grant_types": BOTH,
            "response_types": ["code"],
            "client_name": "Cursor",
        },
        "cursor://anysphere.cursor-mcp/oauth/callback",
    ),
    "Cursor with Grok Bot's scheme": (
        {
            "redirect_uris": [
                "grokbot://mcp/oauth/callback",
                "https://www.cursor.com/bot/mcp/oauth/callback",
                "cursor://anysphere.cursor-mcp/oauth/return",
            ],
            "token_endpoint_auth_method": "none",
            "grant_types": BOTH,
            "response_types": ["code"],
            "client_name": "Cursor",
        },
        "https://www.cursor.com/bot/mcp/oauth/callback",
    ),
    "Codex CLI": (
        {
            "client_name": "Codex",
            "redirect_uris": ["http://127.0.0.1:38211/callback"],
            "grant_types": BOTH,
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
        },
        "http://127.0.0.1:38211/callback",
    ),
    "Gemini CLI": (
        {
            "client_name": "Gemini CLI MCP Client",
            "redirect_uris": ["http://localhost:44555/oauth/callback"],
            "grant_types": BOTH,
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
        },
        "http://localhost:44555/oauth/callback",
    ),
    "MCP Inspector": (
        {
            "redirect_uris": ["http://localhost:6274/oauth/callback"],
            "token_endpoint_auth_method": "none",
            "grant_types": BOTH,
            "response_types": ["code"],
            "client_name": "MCP Inspector",
            "client_uri": "https://github.com/modelcontextprotocol/inspector",
            "scope": "",
        },
        "http://localhost:6274/oauth/callback",
    ),
    "Perplexity, secret in the form": (
        {
            "client_name": "Perplexity",
            "redirect_uris": ["https://www.perplexity.ai/rest/connections/oauth_callback"],
            "grant_types": BOTH,
            "response_types": ["code"],
            "token_endpoint_auth_method": "client_secret_post",
        },
        "https://www.perplexity.ai/rest/connections/oauth_callback",
    ),
    "Perplexity, method left to the server": (
        {
            "client_name": "Perplexity",
            "redirect_uris": ["https://www.perplexity.ai/rest/connections/oauth_callback"],
        },
        "https://www.perplexity.ai/rest/connections/oauth_callback",
    ),
}

DOCUMENTS: dict[str, tuple[dict[str, Any], str]] = {
    "claude.ai": (
        {
            "client_id": "https://claude.ai/oauth/mcp-oauth-client-metadata",
            "client_name": "Claude",
            "client_uri": "https://claude.ai",
            "redirect_uris": ["https://claude.ai/api/mcp/auth_callback"],
            "grant_types": [*BOTH, "urn:ietf:params:oauth:grant-type:jwt-bearer"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
        },
        "https://claude.ai/api/mcp/auth_callback",
    ),
    "Claude Code": (
        {
            "client_id": "https://claude.ai/oauth/claude-code-client-metadata",
            "client_name": "Claude Code",
            "client_uri": "https://claude.ai",
            "redirect_uris": ["http://localhost/callback", "http://127.0.0.1/callback"],
            "grant_types": BOTH,
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
        },
        "http://localhost:49536/callback",
    ),
    "VS Code": (
        {
            "client_id": "https://vscode.dev/oauth/client-metadata.json",
            "client_name": "Visual Studio Code",
            "redirect_uris": ["http://127.0.0.1:33418/", "https://vscode.dev/redirect"],
            "grant_types": BOTH,
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
        },
        "http://127.0.0.1:33418/",
    ),
    "Cursor": (
        {
            "client_id": "https://cursor.com/oauth/mcp-client.json",
            "client_name": "Cursor",
            "token_endpoint_auth_method": "none",
            "redirect_uris": [
                "https://www.cursor.com/agents/mcp/oauth/callback",
                "https://www.cursor.com/bot/mcp/oauth/callback",
                "https://grok.com/connectors-oauth-exchange-code/",
                "http://localhost:8787/callback",
                "http://127.0.0.1:8787/callback",
            ],
        },
        "http://127.0.0.1:8787/callback",
    ),
    "Codex": (
        {
            "client_id": "https://chatgpt.com/oauth/codex/client.json",
            "client_name": "Codex",
            "redirect_uris": ["http://127.0.0.1/callback", "http://localhost/callback"],
            "grant_types": BOTH,
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
        },
        "http://127.0.0.1:1455/callback",
    ),
}

CHATGPT = {
    "client_id": "https://chatgpt.com/oauth/client.json",
    "client_uri": "https://chatgpt.com/",
    "redirect_uris": ["https://chatgpt.com/connector_platform_oauth_redirect"],
    "token_endpoint_auth_method": "private_key_jwt",
    "token_endpoint_auth_methods_supported": ["none", "private_key_jwt"],
    "grant_types": BOTH,
    "response_types": ["code"],
    "client_name": "ChatGPT",
    "logo_uri": "https://persistent.oaistatic.com/sonic/misc/openai-logo.png",
    "token_endpoint_auth_signing_alg": "RS256",
    "jwks_uri": "https://chatgpt.com/oauth/jwks.json",
}


async def walk(
    gateway: Gateway, who: str, redirect_uri: str, auth: Any = None, **credentials: str | None
) -> None:
    """Authorize at this redirect URI, redeem the code and refresh twice, `resource` always along."""
    client = await gateway.client(who)
    assert redirects.matches(client.redirect_uris, redirect_uri)
    code, verifier = await gateway.approve(who, redirect_uri=redirect_uri)
    fields: dict[str, str | None] = {
        "grant_type": "authorization_code",
        "code": code,
        "code_verifier": verifier,
        "redirect_uri": redirect_uri,
    }
    for _ in range(3):
        response = await gateway.post("/token", **(fields | credentials), resource=TIME, auth=auth)
        assert response.status_code == 200, response.text
        tokens = response.json()
        assert (await gateway.ctx.tokens.verify(tokens["access_token"]))["aud"] == TIME
        fields = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}


@pytest.mark.parametrize("name", REGISTRATIONS)
async def test_a_client_that_registers_connects_and_stays_connected(gateway: Gateway, name: str) -> None:
    sent, redirect_uri = REGISTRATIONS[name]
    response = await gateway.http.post("/register", json=sent)
    assert response.status_code == 201, response.text
    answer = response.json()
    assert all(value not in (None, "", []) for value in answer.values())
    assert answer["token_endpoint_auth_method"] == sent.get(
        "token_endpoint_auth_method", "client_secret_basic"
    )
    for member in ("client_name", "grant_types", "response_types", "application_type", "client_uri"):
        assert answer.get(member) == sent.get(member) or member not in sent
    client_id = answer["client_id"]
    match answer["token_endpoint_auth_method"]:
        case "none":
            await walk(gateway, client_id, redirect_uri, client_id=client_id)
        case "client_secret_post":
            await walk(
                gateway, client_id, redirect_uri, client_id=client_id, client_secret=answer["client_secret"]
            )
        case _:
            await walk(gateway, client_id, redirect_uri, auth=(client_id, answer["client_secret"]))


@pytest.mark.parametrize("name", DOCUMENTS)
async def test_a_client_known_by_its_document_connects_and_stays_connected(
    gateway: Gateway, name: str
) -> None:
    document, redirect_uri = DOCUMENTS[name]
    gateway.internet.publish(document["client_id"], document)
    client = await gateway.client(document["client_id"])
    assert client.source == "document"
    assert client.redirect_uris == document["redirect_uris"]
    await walk(gateway, document["client_id"], redirect_uri, client_id=document["client_id"])


@pytest.mark.parametrize("name", DOCUMENTS)
async def test_the_same_client_connects_when_its_host_turns_servers_away(gateway: Gateway, name: str) -> None:
    document, redirect_uri = DOCUMENTS[name]
    gateway.internet.publish(
        document["client_id"], b"<html>Just a moment...</html>", 403, content_type="text/html"
    )
    client = await gateway.client(document["client_id"])
    assert client.source == "wellknown"
    assert set(client.redirect_uris) == set(document["redirect_uris"])
    await walk(gateway, document["client_id"], redirect_uri, client_id=document["client_id"])


@pytest.mark.parametrize("served", [True, False])
async def test_chatgpt_connects_by_its_document_and_key(
    gateway: Gateway, signer: MakeSigner, clock: Clock, served: bool
) -> None:
    key = signer(kid="cimd-20260428030119")
    if served:
        gateway.internet.publish(str(CHATGPT["client_id"]), CHATGPT)
    gateway.internet.publish(str(CHATGPT["jwks_uri"]), key.jwks)
    client_id = str(CHATGPT["client_id"])
    code, verifier = await gateway.approve(client_id, redirect_uri=CHATGPT["redirect_uris"][0])

    def assertion(jti: str) -> dict[str, str]:
        claims = {"iss": client_id, "sub": client_id, "aud": "http://localhost:8080/token", "jti": jti,
                  "iat": int(clock()), "exp": int(clock()) + 300}  # fmt: skip
        return {
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": key.sign(claims),
        }

    response = await gateway.redeem(
        client_id, code, verifier, redirect_uri=CHATGPT["redirect_uris"][0], resource=TIME, **assertion("1")
    )
    assert response.status_code == 200, response.text
    refreshed = await gateway.refresh(client_id, response.json()["refresh_token"], **assertion("2"))
    assert refreshed.status_code == 200
    unproven = await gateway.refresh(client_id, refreshed.json()["refresh_token"])
    assert (unproven.status_code, unproven.json()["error"]) == (401, "invalid_client")
