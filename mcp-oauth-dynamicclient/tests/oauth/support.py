"""A gateway of OAuth endpoints, an internet of documents that is not the real one, and keys that sign."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jose import jwk, jws
from mcp_oauth_dynamicclient.clients.fetch import Fetcher
from mcp_oauth_dynamicclient.context import Context
from mcp_oauth_dynamicclient.grants import authorization_code
from mcp_oauth_dynamicclient.records import Client, Identity

from ..answering import Answering

ADA = Identity(provider="local", subject="ada", login="ada", name="Ada")
TIME = "http://localhost:8080/time/mcp"
ECHO = "http://localhost:8080/echo/mcp"
CALLBACK = "https://client.example/callback"
PUBLIC_ADDRESS = "93.184.216.34"


class Internet:
    """Hosts by address and documents by URL. Every connection that is tried is written down; none is made."""

    def __init__(self) -> None:
        self.network = Answering(self.answer)
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
        return Fetcher(resolve=self.resolve, connector=self.network, **options)


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

    async def client(self, client_id: str) -> Client:
        """A client that is known; what makes it unknown is raised."""
        found = await self.ctx.clients.find(client_id)
        assert found is not None
        return found

    async def approve(
        self,
        client_id: str,
        *,
        resource: str | None = TIME,
        redirect_uri: str = CALLBACK,
        scope: str = "mcp",
        consent: str | None = None,
    ) -> tuple[Any, str]:
        """What happens in the browser, in short: a code for Ada, and the verifier that belongs to it."""
        client = await self.client(client_id)
        verifier = secrets.token_urlsafe(48)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        code = await authorization_code.issue(
            self.ctx,
            client=client,
            redirect_uri=redirect_uri,
            code_challenge=challenge,
            resource=resource,
            scope=scope,
            identity=ADA,
            consent=consent,
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


MakeGateway = Callable[..., Awaitable[Gateway]]
"""Takes settings, and `over`, another store."""
MakeSigner = Callable[..., Signer]
