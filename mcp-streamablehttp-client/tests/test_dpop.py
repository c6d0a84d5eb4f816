"""Tokens bound to a key (RFC 9449), against a server that checks every proof and demands nonces."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .oauth_server import Gate, OAuth
from .support import Json, Run, StartBridge, sdk_server, serving
from .test_oauth import change_tokens, stored


class Binding:
    """In front of the usual server: lets through what a proof goes with, as a plain request, and
    says on the way back that the tokens are DPoP tokens."""

    def __init__(self, oauth: OAuth, app: ASGIApp) -> None:
        self.oauth, self.app = oauth, app
        self.kind = "DPoP"
        self.challenges = "Bearer"
        self.keys: dict[str, str] = {}
        self.used: set[str] = set()
        self.refused: list[str] = []
        self.nonces = {"/token": "t-1", "/mcp": "m-1"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path")
        if path not in self.nonces or (path == "/mcp" and not self.token(scope)):
            await self.app(scope, receive, self.challenging(send))
            return
        fault, thumbprint = self.fault(scope, path)
        if fault:
            self.refused.append(f"{path} {fault}")
            status, name = (400, fault) if path == "/token" else (401, f'DPoP error="{fault}"')
            headers = {"WWW-Authenticate": name, "DPoP-Nonce": self.nonces[path]}
            await JSONResponse({"error": fault}, status, headers=headers)(scope, receive, send)
        elif path == "/token":
            await self.issue(thumbprint, scope, receive, send)
        else:
            plain = [(n, v.replace(b"DPoP ", b"Bearer ")) for n, v in scope["headers"] if n != b"dpop"]
            await self.app({**scope, "headers": plain}, receive, send)

    def challenging(self, send: Send) -> Send:
        async def renamed(message: Message) -> None:
            if message["type"] == "http.response.start":
                scheme = self.challenges.encode()
                message["headers"] = [
                    (n, v.replace(b"Bearer ", scheme + b" ")) for n, v in message["headers"]
                ]
            await send(message)

        return renamed

    @staticmethod
    def token(scope: Scope) -> str:
        return Request(scope).headers.get("authorization", "").partition(" ")[2]

    def fault(self, scope: Scope, path: str) -> tuple[str, str]:
        request = Request(scope)
        try:
            key, claims, header = self.verified(request.headers["dpop"])
        except (KeyError, ValueError):
            return "invalid_dpop_proof", ""
        right = claims["htm"] == request.method and claims["htu"] == f"{self.oauth.origin}{path}"
        if header["typ"] != "dpop+jwt" or "d" in header["jwk"] or not right or claims["jti"] in self.used:
            return "invalid_dpop_proof", ""
        self.used.add(claims["jti"])
        if path == "/mcp":
            token = self.token(scope)
            hashed = base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()
            if claims["ath"] != hashed or self.keys.get(token) != key:
                return "invalid_token", key
            if not request.headers["authorization"].startswith("DPoP "):
                return "invalid_token", key
        return ("" if claims.get("nonce") == self.nonces[path] else "use_dpop_nonce"), key

    @staticmethod
    def verified(proof: str) -> tuple[str, Json, Json]:
        head = proof.partition(".")[0]
        header = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
        key = ECKey.import_key(header["jwk"])
        return key.thumbprint(), jwt.decode(proof, key, algorithms=["ES256"]).claims, header

    async def issue(self, thumbprint: str, scope: Scope, receive: Receive, send: Send) -> None:
        start: Json = {}

        async def typed(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
                return
            answer = json.loads(message["body"])
            if "access_token" in answer:
                self.keys[answer["access_token"]] = thumbprint
                answer["token_type"] = self.kind
            await JSONResponse(answer, start["status"])(scope, receive, send)

        await self.app(scope, receive, typed)


@pytest.fixture
def binding() -> Iterator[Binding]:
    made: list[Binding] = []

    def make(origin: str) -> ASGIApp:
        oauth = OAuth(origin, metadata={"dpop_signing_alg_values_supported": ["RS256", "ES256"]})
        made.append(Binding(oauth, Gate(oauth, sdk_server())))
        return made[0]

    with serving(make):
        yield made[0]


async def test_tokens_are_bound_to_a_key_and_every_request_proves_it(
    binding: Binding, run: Run, bridge: StartBridge, environment: dict[str, str]
) -> None:
    """One nonce is fetched at each place; a new one that the server demands later is taken too."""
    host = await bridge(binding.oauth.url)
    assert "result" in await host.handshake()
    for number, nonce in enumerate(("m-1", "m-2")):
        binding.nonces["/mcp"] = nonce
        host.request(number, "tools/call", {"name": "add", "arguments": {"a": 1, "b": number}})
        assert "result" in await host.message()
    assert set(binding.refused) == {"/token use_dpop_nonce", "/mcp use_dpop_nonce"}
    assert binding.oauth.count("authorize") == 1
    key = json.loads(stored(environment, "tokens")[1]["dpop_key"])
    assert ECKey.import_key(key).thumbprint() in binding.keys.values()


async def test_a_renewed_token_is_bound_to_the_same_key(
    binding: Binding, run: Run, environment: dict[str, str]
) -> None:
    await run("login", binding.oauth.url)
    change_tokens(environment, issued_at=0, expires_at=1)
    finished = await run("tools", binding.oauth.url)
    assert finished.status == 0
    assert binding.oauth.count("authorize") == 1
    assert len(binding.keys) == 2
    assert len(set(binding.keys.values())) == 1


async def test_a_stolen_token_is_worth_nothing_without_its_key(
    binding: Binding, run: Run, bridge: StartBridge, environment: dict[str, str]
) -> None:
    await run("login", binding.oauth.url)
    token = stored(environment, "tokens")[1]["access_token"]
    thief = await bridge(binding.oauth.url, "--header", f"Authorization: Bearer {token}")
    assert "error" in await thief.handshake()
    assert "/mcp invalid_dpop_proof" in binding.refused


@pytest.mark.parametrize("scheme", ["Bearer", "DPoP"])
async def test_the_doctor_proves_the_key_too(
    scheme: str, binding: Binding, run: Run, environment: dict[str, str]
) -> None:
    """At the token endpoint, and at the server with the token it was given and with an invented one."""
    binding.challenges = scheme
    await run("login", binding.oauth.url)
    binding.refused.clear()
    finished = await run("doctor", binding.oauth.url, "--json")
    hops = json.loads(finished.stdout)["hops"]
    assert not [hop for hop in hops if hop["state"] == "wrong"], hops
    assert {"token", "refresh", "audience", "handshake", "modern"} <= {
        hop["hop"] for hop in hops if hop["state"] == "well"
    }
    assert set(binding.refused) == {
        "/token use_dpop_nonce",
        "/mcp use_dpop_nonce",
        "/mcp invalid_token",  # the invented one
    }


async def test_a_server_that_answers_bearer_all_the_same_is_taken_at_its_word(
    binding: Binding, run: Run, environment: dict[str, str]
) -> None:
    binding.kind = "Bearer"
    assert (await run("login", binding.oauth.url)).status == 0
    assert stored(environment, "tokens")[1]["bound"] is False


async def test_a_server_that_does_not_announce_proofs_gets_none(
    oauth: OAuth, run: Run, environment: dict[str, str]
) -> None:
    await run("login", oauth.url)
    assert stored(environment, "tokens")[1]["dpop_key"] is None
