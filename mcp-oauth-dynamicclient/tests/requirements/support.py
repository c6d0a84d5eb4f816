"""A client that knows nothing but what the gateway's own metadata says, and a person who approves."""

from __future__ import annotations

import base64
import hashlib
import secrets
import warnings
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
from joserfc import jwk, jwt
from joserfc.errors import SecurityWarning

from ..support import App, Clock

PASSWORD = "correct horse battery"
SERVER = "http://localhost:8080/time/mcp"
CALLBACK = "https://client.example/callback"
DOCUMENT = "https://client.example/oauth/client.json"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
IDENTITY_PROVIDER = "https://idp.example"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


class Key:
    """A private key for one algorithm: signs, and shows its public JWK set."""

    def __init__(self, algorithm: str) -> None:
        self.algorithm = algorithm
        curves = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
        if algorithm in curves:
            self._key: jwk.Key = jwk.ECKey.generate_key(curves[algorithm])
        elif algorithm.startswith("Ed"):
            self._key = jwk.OKPKey.generate_key("Ed25519")
        else:
            self._key = jwk.RSAKey.generate_key(2048)

    @property
    def jwks(self) -> dict[str, Any]:
        return {"keys": [self._key.as_dict(private=False) | {"kid": "one", "use": "sig"}]}

    def sign(self, claims: dict[str, Any], **headers: Any) -> str:
        protected = {"alg": self.algorithm, "kid": "one"} | headers
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SecurityWarning)
            return jwt.encode(protected, claims, self._key, algorithms=[self.algorithm])


class _Form(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.action: str | None = None
        self.values: dict[str, str] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form" and self.action is None:
            self.action = given["action"]
        elif tag == "input":
            self.values.setdefault(given["name"], given.get("value", ""))


class Person:
    """Ada with a browser: follows what leads on within the gateway, and submits the first form of a page."""

    def __init__(self, http: httpx.AsyncClient, issuer: str) -> None:
        self.http = http
        self._issuer = issuer

    async def open(self, url: str) -> httpx.Response:
        return await self._follow(await self.http.get(url))

    async def submit(self, page: httpx.Response, **values: str) -> httpx.Response:
        form = _Form(page.text)
        assert form.action is not None, page.text
        return await self._follow(
            await self.http.post(form.action, data=form.values | values, headers={"Origin": self._issuer})
        )

    async def approve(self, page: httpx.Response) -> httpx.Response:
        """Approve, and sign in if asked."""
        answer = await self.submit(page, decision="approve")
        if answer.status_code == 200 and 'name="password"' in answer.text:
            answer = await self.submit(answer, username="ada", password=PASSWORD)
        return answer

    async def _follow(self, response: httpx.Response) -> httpx.Response:
        while (target := response.headers.get("location", "")).startswith((f"{self._issuer}/", "/")):
            response = await self.http.get(target)
        return response


@dataclass
class Served:
    """A gateway with everything switched on, seen through its metadata alone."""

    app: App
    metadata: dict[str, Any]
    person: Person
    clock: Clock
    web: dict[str, Any]
    """Documents on the web, by URL."""
    fetched: list[str]
    """Every address that a client named and the gateway asked."""

    @property
    def http(self) -> httpx.AsyncClient:
        return self.app.http

    async def register(self, **metadata: Any) -> dict[str, Any]:
        given = {
            "client_name": "Client",
            "redirect_uris": [CALLBACK],
            "token_endpoint_auth_method": "none",
            "grant_types": ["authorization_code", "refresh_token"],
        }
        response = await self.http.post(self.metadata["registration_endpoint"], json=given | metadata)
        assert response.status_code == 201, response.text
        answer: dict[str, Any] = response.json()
        return answer

    async def enter(self, client_id: str, *grant_types: str, method: str, **metadata: Any) -> dict[str, Any]:
        """A client that the operator enters; its credentials as registration would answer them."""
        given = {
            "client_id": client_id,
            "grant_types": list(grant_types),
            "token_endpoint_auth_method": method,
        }
        registration = await self.app.ctx.clients.preregister(given | metadata)
        return given | {"client_secret": registration.client_secret}

    def authorize_url(self, client_id: str, challenge: str, **changes: str | None) -> str:
        parameters: dict[str, str | None] = {
            "response_type": "code",
            "client_id": client_id,
            "redirect_uri": CALLBACK,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            "state": "state-1",
            "resource": SERVER,
        }
        given = {name: value for name, value in (parameters | changes).items() if value is not None}
        return str(httpx.URL(self.metadata["authorization_endpoint"], params=given))

    async def authorize(self, client_id: str, **changes: str | None) -> tuple[dict[str, str], str]:
        """The parameters that come back to the client, and the PKCE verifier."""
        verifier = secrets.token_urlsafe(48)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        page = await self.person.open(self.authorize_url(client_id, challenge, **changes))
        answer = page if page.is_redirect else await self.person.approve(page)
        target = answer.headers["location"]
        assert target.startswith(CALLBACK)
        return dict(parse_qsl(urlsplit(target).query)), verifier

    async def ask(
        self, endpoint: str, client: dict[str, Any], key: Key | None = None, **fields: str
    ) -> httpx.Response:
        """A form to an endpoint of the metadata, authenticated as the client is registered."""
        return await self.ask_by(client["token_endpoint_auth_method"], endpoint, client, key, **fields)

    async def ask_by(
        self, method: str, endpoint: str, client: dict[str, Any], key: Key | None = None, **fields: str
    ) -> httpx.Response:
        auth: Any = None
        proof = {"client_id": client["client_id"]}
        if method == "client_secret_basic":
            auth, proof = (client["client_id"], client["client_secret"]), {}
        elif method == "client_secret_post":
            proof["client_secret"] = client["client_secret"]
        elif method == "private_key_jwt":
            assert key is not None
            proof = {"client_assertion_type": ASSERTION_TYPE, "client_assertion": self.assertion(client, key)}
        return await self.http.post(self.metadata[endpoint], data=proof | fields, auth=auth)

    def assertion(self, client: dict[str, Any], key: Key) -> str:
        now, name = int(self.clock()), client["client_id"]
        claims = {"iss": name, "sub": name, "aud": self.metadata["issuer"], "iat": now, "exp": now + 60}
        return key.sign(claims | {"jti": secrets.token_urlsafe()})

    async def redeem(
        self, client: dict[str, Any], code: str, verifier: str, key: Key | None = None, **fields: str
    ) -> httpx.Response:
        given = {"code": code, "code_verifier": verifier, "redirect_uri": CALLBACK, "resource": SERVER}
        given["grant_type"] = "authorization_code"
        return await self.ask("token_endpoint", client, key, **(given | fields))

    async def tokens(
        self, client: dict[str, Any], key: Key | None = None, **changes: str | None
    ) -> dict[str, Any]:
        answer, verifier = await self.authorize(client["client_id"], **changes)
        response = await self.redeem(client, answer["code"], verifier, key)
        assert response.status_code == 200, response.text
        tokens: dict[str, Any] = response.json()
        return tokens

    async def opens(self, token: str) -> bool:
        """Whether the token opens the server it is for."""
        response: httpx.Response = await self.app.forward(SERVER, token)
        return response.status_code == 200


Serve = Callable[..., Awaitable[Served]]
"""Takes settings."""
