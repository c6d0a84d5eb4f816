"""This package and its predecessor as running servers, each with a token that opens a server."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis as redis_client
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from jose import jws
from mcp_oauth_dynamicclient.app import open_context
from mcp_oauth_dynamicclient.records import Account, Grant, Identity
from mcp_oauth_dynamicclient.settings import Settings

from .servers import BIN, free_port, running, virtualenv

SERVER = "http://localhost:8080/time/mcp"
PREDECESSOR = "0.2.0"


@contextmanager
def ours(store_url: str) -> Iterator[tuple[int, str]]:
    """`mcp-oauth-server` with its defaults; its port and an access token for SERVER."""
    with tempfile.TemporaryDirectory() as directory:
        environment = {
            "GATEWAY_SECRET": secrets.token_hex(32),
            "LOCAL_ACCOUNTS": "true",
            "PUBLIC_URL": "http://localhost:8080",
            "STORE_URL": store_url or f"sqlite:///{directory}/auth.db",
            "AUDIT_LOG": f"{directory}/audit.log",
            "REGISTRATIONS_PER_HOUR": "1000000000",
        }
        token = asyncio.run(_token(environment))
        port = free_port()
        command = (BIN / "mcp-oauth-server", "serve", "--port", str(port), "--log-level", "warning")
        with running(*command, port=port, environment=environment):
            yield port, token


async def _token(environment: dict[str, str]) -> str:
    settings = Settings.model_validate({name.lower(): value for name, value in environment.items()})
    async with open_context(settings, audit=io.StringIO()) as ctx:
        account = Account(name="ada", password_hash="x", created_at=ctx.now())
        await ctx.store.put("account", "ada", account.model_dump())
        grant = Grant(
            grant_id="g", client_id="client_1", client_name="Client",
            identity=Identity(provider="local", subject="ada", login="ada", name="Ada"),
            resource=SERVER, scope="mcp", created_at=ctx.now(), last_used_at=ctx.now(),
        )  # fmt: skip
        await ctx.store.put("grant", "g", grant.model_dump())
        token, _ = await ctx.tokens.issue_access(grant, resource=SERVER, scope="mcp")
        return token


@contextmanager
def predecessor(redis_port: int, uvicorn: str) -> Iterator[tuple[int, str]]:
    """mcp-oauth-dynamicclient 0.2.0 from PyPI in an environment of its own, under the same uvicorn."""
    package = f"mcp-oauth-dynamicclient=={PREDECESSOR}"
    programs = virtualenv(f"predecessor-{PREDECESSOR}", package, f"uvicorn[standard]=={uvicorn}")
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    with tempfile.TemporaryDirectory() as directory:
        environment = {
            "GITHUB_CLIENT_ID": "x", "GITHUB_CLIENT_SECRET": "x", "JWT_SECRET": secrets.token_hex(32),
            "JWT_ALGORITHM": "RS256", "JWT_PRIVATE_KEY_B64": base64.b64encode(pem).decode(),
            "BASE_DOMAIN": "example.com",
            "REDIS_URL": f"redis://127.0.0.1:{redis_port}/1", "REDIS_PASSWORD": "",
            "ACCESS_TOKEN_LIFETIME": "3600", "REFRESH_TOKEN_LIFETIME": "86400", "SESSION_TIMEOUT": "300",
            "CLIENT_LIFETIME": "0", "ALLOWED_GITHUB_USERS": "*", "MCP_PROTOCOL_VERSION": "2025-06-18",
            "LOG_LEVEL": "ERROR",
        }  # fmt: skip
        now = int(time.time())
        claims: dict[str, Any] = {
            "sub": "1", "username": "ada", "email": "", "name": "Ada", "scope": "openid",
            "client_id": "client_1", "jti": "benchmark", "iat": now, "exp": now + 3600, "iss": "https://auth.example.com",
            "aud": "https://auth.example.com",
        }  # fmt: skip
        store = redis_client.Redis(port=redis_port, db=1)
        store.setex("oauth:token:benchmark", 3600, json.dumps(claims))
        store.close()
        port = free_port()
        command = (programs / "mcp-oauth-server", "--host", "127.0.0.1", "--port", str(port))
        with running(*command, port=port, environment=environment, cwd=Path(directory)):
            yield port, jws.sign(claims, pem.decode(), algorithm="RS256")
