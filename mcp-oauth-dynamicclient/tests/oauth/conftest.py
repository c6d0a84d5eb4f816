"""A gateway's OAuth endpoints over a real store, and an internet of documents that is not the real one."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from jose import jwk, jws
from mcp_oauth_dynamicclient.audit import Audit
from mcp_oauth_dynamicclient.clients import ClientRegistry
from mcp_oauth_dynamicclient.clients.documents import Documents
from mcp_oauth_dynamicclient.clients.fetch import Fetcher
from mcp_oauth_dynamicclient.context import Context
from mcp_oauth_dynamicclient.endpoints import device_authorization, introspect, register, revoke, token
from mcp_oauth_dynamicclient.errors import OAuth2Error
from mcp_oauth_dynamicclient.grants import authorization_code
from mcp_oauth_dynamicclient.keys import KeyRing
from mcp_oauth_dynamicclient.policy import Policy
from mcp_oauth_dynamicclient.records import Account, Identity
from mcp_oauth_dynamicclient.resources import Resources
from mcp_oauth_dynamicclient.settings import Settings
from mcp_oauth_dynamicclient.store import Store
from mcp_oauth_dynamicclient.tokens import Tokens

ADA = Identity(provider="local", subject="ada", login="ada", name="Ada")
TIME = "http://localhost:8080/time/mcp"
ECHO = "http://localhost:8080/echo/mcp"
CALLBACK = "https://client.example/callback"
PUBLIC_ADDRESS = "93.184.216.34"


class Internet:
    """Hosts by address and documents by URL. Every connection that is tried is written down; none is made."""

    def __init__(self) -> None:
        self.addresses: dict[str, list[str]] = {}
        self.documents: dict[str, httpx.Response | Exception] = {}
        self.connections: list[httpx.Request] = []

    def publish(self, url: str, content: object, status: int = 200, **headers: str) -> None:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.documents[url] = httpx.Response(
            status, content=body, headers={"content-type": "application/json"} | given
        )

    def fail(self, url: str, error: Exception) -> None:
        self.documents[url] = error

    async def resolve(self, host: str, _port: int) -> list[str]:
        return self.addresses.get(host, [PUBLIC_ADDRESS])

    async def answer(self, request: httpx.Request) -> httpx.Response:
        self.connections.append(request)
        url = str(request.url.copy_with(host=request.headers["host"]))
        found = self.documents.get(url, httpx.Response(404))
        if isinstance(found, Exception):
            raise found
        return httpx.Response(
            found.status_code, headers=found.headers, stream=httpx.ByteStream(found.content)
        )

    def fetcher(self, **options: Any) -> Fetcher:
        return Fetcher(resolve=self.resolve, connect=lambda: httpx.MockTransport(self.answer), **options)


@dataclass
class Signer:
    """A private key that signs assertions, and its public JWK set."""

    algorithm: str = "RS256"
    kid: str = "one"
    _key: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.algorithm.startswith("ES"):
            self._key = jwk.construct(_pem(ec.generate_private_key(ec.SECP256R1())), self.algorithm)
        else:
            self._key = jwk.construct(_pem(rsa.generate_private_key(65537, 2048)), self.algorithm)

    @property
    def jwks(self) -> dict[str, Any]:
        public = {name: _text(value) for name, value in self._key.public_key().to_dict().items()}
        return {"keys": [{**public, "kid": self.kid, "use": "sig"}]}

    def sign(self, claims: dict[str, Any], **headers: Any) -> str:
        given = {"kid": self.kid, **headers}
        signed: str = jws.sign(claims, self._key, headers=given, algorithm=self.algorithm)
        return signed


def _pem(key: Any) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    pem: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem.decode()


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


@dataclass
class Gateway:
    ctx: Context
    http: httpx.AsyncClient
    internet: Internet
    audit_path: Path
    upstream: dict[str, Any]
    """What the identity provider that the operator trusts answers, by URL."""

    async def register(self, **metadata: Any) -> dict[str, Any]:
        """Register a client; a public one with one https redirect unless told otherwise."""
        given = {"redirect_uris": [CALLBACK], "token_endpoint_auth_method": "none", "client_name": "Test"}
        response = await self.http.post("/register", json=given | metadata)
        assert response.status_code == 201, response.text
        answer: dict[str, Any] = response.json()
        return answer

    async def approve(
        self, client_id: str, *, resource: str | None = TIME, redirect_uri: str = CALLBACK
    ) -> tuple[str, str]:
        """What happens in the browser, in short: a code for Ada, and the verifier that belongs to it."""
        client = await self.ctx.clients.find(client_id)
        assert client is not None
        verifier = secrets.token_urlsafe(48)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        code = await authorization_code.issue(
            self.ctx,
            client=client,
            redirect_uri=redirect_uri,
            code_challenge=challenge,
            resource=resource,
            scope="mcp",
            identity=ADA,
        )
        return code, verifier

    async def post(
        self, path: str, *pairs: tuple[str, str], auth: Any = None, **fields: str | None
    ) -> httpx.Response:
        values = [*pairs, *((name, value) for name, value in fields.items() if value is not None)]
        headers = {"content-type": "application/x-www-form-urlencoded"}
        return await self.http.post(path, content=urlencode(values), headers=headers, auth=auth)

    async def redeem(
        self, client_id: str, code: str, verifier: str, /, **fields: str | None
    ) -> httpx.Response:
        given: dict[str, str | None] = {
            "grant_type": "authorization_code",
            "client_id": client_id,
            "code": code,
            "code_verifier": verifier,
            "redirect_uri": CALLBACK,
        }
        return await self.post("/token", **(given | fields))

    async def connect(self, client_id: str, **options: Any) -> dict[str, Any]:
        """The tokens of a finished sign-in."""
        response = await self.redeem(client_id, *await self.approve(client_id, **options))
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    async def refresh(self, client_id: str, refresh_token: str, /, **fields: str | None) -> httpx.Response:
        given: dict[str, str | None] = {
            "grant_type": "refresh_token",
            "client_id": client_id,
            "refresh_token": refresh_token,
        }
        return await self.post("/token", **(given | fields))

    async def is_live(self, access_token: str) -> bool:
        """What /verify decides about revocation: the grant is there and the token is not revoked."""
        claims = await self.ctx.tokens.verify(access_token)
        revoked = await self.ctx.store.get("revoked", claims["jti"])
        return revoked is None and await self.ctx.store.get("grant", claims["grant_id"]) is not None

    def audit(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.audit_path.read_text().splitlines()]


def render(_: Request, error: Exception) -> Response:
    assert isinstance(error, OAuth2Error)
    return JSONResponse(dict(error.get_body()), error.status_code, dict(error.get_headers()))


@pytest.fixture
def internet() -> Internet:
    return Internet()


@pytest.fixture
def signer() -> Callable[..., Signer]:
    return Signer


@pytest.fixture
async def make_gateway(
    make_settings: Callable[..., Settings],
    store: Store,
    clock: Callable[[], float],
    internet: Internet,
    tmp_path: Path,
) -> AsyncIterator[Callable[..., Awaitable[Gateway]]]:
    """Gateways over the test's store; a second one is another replica."""
    async with AsyncExitStack() as stack:

        async def make(*, over: Store = store, **overrides: Any) -> Gateway:
            settings = make_settings(**overrides)
            upstream: dict[str, Any] = {}

            def provider(request: httpx.Request) -> httpx.Response:
                found = upstream.get(str(request.url))
                return httpx.Response(404) if found is None else httpx.Response(200, json=found)

            keys = KeyRing(settings, over, clock)
            documents = Documents(settings, over, now=clock, fetcher=internet.fetcher())
            audit_path = tmp_path / "audit.log"
            audit = Audit(str(audit_path), now=clock)
            stack.callback(audit.close)
            http = await stack.enter_async_context(httpx.AsyncClient(transport=httpx.MockTransport(provider)))
            ctx = Context(
                settings=settings,
                store=over,
                resources=Resources(settings),
                keys=keys,
                tokens=Tokens(settings, keys, clock),
                policy=Policy(settings, over),
                clients=ClientRegistry(settings, over, now=clock, documents=documents),
                audit=audit,
                http=http,
                now=clock,
            )
            account = Account(name="ada", password_hash="x", created_at=clock())
            await over.put("account", "ada", account.model_dump())
            app = FastAPI()
            app.add_exception_handler(OAuth2Error, render)
            for module in (token, revoke, introspect, register, device_authorization):
                app.include_router(module.routes(ctx))
            transport = httpx.ASGITransport(app, client=("192.0.2.7", 4711))
            client = httpx.AsyncClient(transport=transport, base_url="http://localhost:8080")
            return Gateway(ctx, await stack.enter_async_context(client), internet, audit_path, upstream)

        yield make


@pytest.fixture
async def gateway(make_gateway: Callable[..., Awaitable[Gateway]]) -> Gateway:
    return await make_gateway()
