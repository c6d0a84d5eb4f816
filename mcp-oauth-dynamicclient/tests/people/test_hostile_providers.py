"""A login provider that answers with anything at all: an OAuth error, never a traceback.

Each answer of a provider that works is given once more with each member replaced by what parsers stumble
over: nested without end, huge, not finite, half a character, of the wrong type.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress

import httpx
from joserfc import jws
from joserfc.jwk import RSAKey
from mcp_oauth_dynamicclient.errors import OAuth2Error
from mcp_oauth_dynamicclient.login import providers
from mcp_oauth_dynamicclient.login.base import UpstreamRequest
from mcp_oauth_dynamicclient.settings import Settings

ISSUER = "https://idp.example"
GITHUB = "https://api.github.com"
NOW = 1_800_000_000.0
REQUEST = UpstreamRequest(
    state="s", redirect_uri="https://auth.example/callback/x", verifier="v" * 43, nonce="n"
)
VALUES = [
    "1" + "0" * 400, "1e400", "-1", "1" * 5000, "NaN", "Infinity", "null", "true", "[]", "{}", '""', '"x"',
    '"\\ud800"', "[" * 5000, "[" * 5000 + "]" * 5000, '[["a"]]', "[1]", '{"a":1}', '"https://[x"',
    '"http://a:b/c"', '"\\u0000"',
]  # fmt: skip
KEY = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})
JWKS: dict[str, object] = {"keys": [KEY.as_dict(private=False)]}
DISCOVERED: dict[str, object] = {
    "issuer": ISSUER, "authorization_endpoint": f"{ISSUER}/auth", "token_endpoint": f"{ISSUER}/token",
    "jwks_uri": f"{ISSUER}/jwks", "userinfo_endpoint": f"{ISSUER}/me",
    "scopes_supported": ["openid", "groups"], "id_token_signing_alg_values_supported": ["RS256"],
    "token_endpoint_auth_methods_supported": ["client_secret_post"],
    "authorization_response_iss_parameter_supported": False,
}  # fmt: skip
CLAIMS: dict[str, object] = {
    "iss": ISSUER, "sub": "grace", "aud": "gateway", "exp": NOW + 300, "iat": NOW, "nbf": NOW, "nonce": "n",
    "azp": "gateway", "at_hash": None, "auth_time": NOW, "name": "Grace",
    "email": "g@example.com", "email_verified": True, "preferred_username": "grace", "groups": ["a"],
}  # fmt: skip
USERINFO: dict[str, object] = {
    "sub": "grace",
    "email": "g@example.com",
    "email_verified": True,
    "groups": ["a"],
}
USER: dict[str, object] = {"id": 7, "login": "grace", "name": "Grace", "email": None}
EMAIL: dict[str, object] = {"email": "g@example.com", "primary": True, "verified": True}
ORG: dict[str, object] = {"login": "org", "slug": "team", "organization": {"login": "org"}}


def texts(good: Mapping[str, object]) -> Iterator[str]:
    """JSON objects like `good`, one member at a time replaced by each of VALUES, or the whole."""
    yield from VALUES
    for name in good:
        for value in VALUES:
            others = {other: json.dumps(held) for other, held in good.items() if other != name}
            yield "{" + ",".join(f'"{one}":{held}' for one, held in [*others.items(), (name, value)]) + "}"


def signed(claims: str, header: str | None = None) -> str:
    if header is None:
        return jws.serialize_compact(
            {"alg": "RS256", "kid": "one"}, claims.encode("utf-8", "surrogatepass"), KEY
        )
    parts = (base64.urlsafe_b64encode(part.encode()).rstrip(b"=").decode() for part in (header, claims, "x"))
    return ".".join(parts)


def tokens(id_token: str) -> str:
    return json.dumps(
        {"access_token": "t", "token_type": "Bearer", "id_token": id_token, "refresh_token": "r"}
    )


def openid(**answers: str) -> Callable[[httpx.Request], httpx.Response]:
    usual = {
        "/.well-known/openid-configuration": json.dumps(DISCOVERED), "/jwks": json.dumps(JWKS),
        "/me": json.dumps(USERINFO), "/token": tokens(signed(json.dumps({**CLAIMS}))),
    }  # fmt: skip
    given = usual | {f"/{name}": text for name, text in answers.items() if name != "discovery"}
    if "discovery" in answers:
        given["/.well-known/openid-configuration"] = answers["discovery"]
    return serving(given)


def github(**answers: str) -> Callable[[httpx.Request], httpx.Response]:
    usual = {
        "/login/oauth/access_token": json.dumps({"access_token": "t", "token_type": "bearer", "scope": ""}),
        "/user": json.dumps(USER), "/user/emails": json.dumps([EMAIL]), "/user/orgs": json.dumps([ORG]),
        "/user/teams": json.dumps([ORG]),
    }  # fmt: skip
    names = {
        "token": "/login/oauth/access_token",
        "user": "/user",
        "emails": "/user/emails",
        "orgs": "/user/orgs",
    }
    return serving(usual | {names.get(name, f"/user/{name}"): text for name, text in answers.items()})


def serving(answers: Mapping[str, str]) -> Callable[[httpx.Request], httpx.Response]:
    def answer(request: httpx.Request) -> httpx.Response:
        text = answers.get(request.url.path)
        if text is None:
            return httpx.Response(404)
        return httpx.Response(200, content=text.encode("utf-8", "surrogatepass"))

    return answer


def cases() -> Iterator[tuple[str, Callable[[httpx.Request], httpx.Response]]]:
    for text in texts(DISCOVERED):
        yield "oidc", openid(discovery=text)
    for text in [*texts(JWKS), *(f'{{"keys":[{key}]}}' for key in texts(KEY.as_dict(private=False)))]:
        yield "oidc", openid(jwks=text)
    for text in texts(USERINFO):
        yield "oidc", openid(me=text)
    for text in [*texts(json.loads(tokens("x"))), *VALUES]:
        yield "oidc", openid(token=text)
    for text in texts(CLAIMS):
        yield "oidc", openid(token=tokens(signed(text)))
    for text in texts({"alg": "RS256", "kid": "one"}):
        yield "oidc", openid(token=tokens(signed(json.dumps(CLAIMS), text)))
    for text in texts({"access_token": "t"}):
        yield "github", github(token=text)
    for text in texts(USER):
        yield "github", github(user=text)
    for text in texts(EMAIL):
        yield "github", github(emails=f"[{text}]")
    for text in texts(ORG):
        yield "github", github(orgs=f"[{text}]", teams=f"[{text}]")


async def test_whatever_a_provider_answers_is_a_person_or_an_oauth_error(
    make_settings: Callable[..., Settings],
) -> None:
    settings = make_settings(
        oidc_issuer=ISSUER, oidc_client_id="gateway", oidc_client_secret="a secret", allowed_oidc_groups="a",
        github_client_id="gateway", github_client_secret="a secret", allowed_github_orgs="org/team",
    )  # fmt: skip
    signed_in = 0
    for name, answer in [("oidc", openid()), ("github", github()), *cases()]:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
            provider = providers(settings, http, lambda: NOW)[name]
            with suppress(OAuth2Error):
                await provider.begin(REQUEST)
            with suppress(OAuth2Error):
                found = await provider.complete(REQUEST, {"code": "c", "state": "s"})
                found.identity.model_dump_json().encode()
                signed_in += 1
            with suppress(OAuth2Error):
                json.dumps(await provider.ask_again("r", "grace"), ensure_ascii=False).encode()
    assert signed_in > 50
