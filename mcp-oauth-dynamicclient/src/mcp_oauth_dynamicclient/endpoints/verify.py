"""ForwardAuth: may this forwarded request go on to the server it is for, and who is it from?

Plain ASGI, since every request to every server passes here. The edge, which alone can call this endpoint,
says what was asked in `X-Forwarded-Method`, `-Host` and `-Uri`. Answers (RFC 6750 section 3, RFC 9728 section
5.1): 200 with the identity; 401 with a challenge; 403 `insufficient_scope`; 400 and 404 for addresses that
are not ours; 503 while the store is away.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from .. import pages
from ..context import Context
from ..errors import InvalidTokenError, StoreUnavailable
from ..metrics import Metrics
from ..records import Grant
from ..store import Entry
from ..store.recent import Name, RecentStore
from ..tokens import fingerprint
from .metadata import SCOPE

METHODS = ("GET", "HEAD", "POST")
PRINTABLE = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")
FORWARDED = {b"x-forwarded-host", b"x-forwarded-uri", b"x-forwarded-method", b"authorization"}
REMEMBERED = 4096

Headers = list[tuple[bytes, bytes]]
EMPTY: Headers = [(b"content-length", b"0")]
NO_BODY = {"type": "http.response.body"}


def routes(ctx: Context, verify: Verify) -> APIRouter:
    """For an application that mounts this one below a path; `app.py` calls Verify before any routing."""
    router = APIRouter()
    router.routes.append(Route("/verify", verify, methods=METHODS, include_in_schema=False))
    return router


class Refused(Exception):
    """403: the token lacks the scope."""


@dataclass(frozen=True, slots=True)
class Admission:
    """That a token opened a server, and everything that was read to decide it."""

    resource: str
    claims: dict[str, Any]
    relies_on: Sequence[tuple[Name, Entry | None]] | None
    """None: on time as well, so it has to be decided again."""
    headers: Headers


class Verify:
    def __init__(self, ctx: Context, store: RecentStore, metrics: Metrics) -> None:
        self._ctx = ctx
        self._store = store
        self._count = metrics.verify
        self._resource = lru_cache(4096)(self._derive)
        self._admitted: OrderedDict[bytes, Admission] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in METHODS:
            allow = [(b"allow", b"GET, HEAD, POST")]
            return await _answer(send, 405, "invalid_request", "Use GET, HEAD or POST.", allow)
        headers: dict[bytes, bytes] = dict(scope["headers"])
        host, uri = headers.get(b"x-forwarded-host"), headers.get(b"x-forwarded-uri")
        if host is None or uri is None or (len(headers) != len(scope["headers"]) and _repeated(scope)):
            self._count["malformed"] += 1
            sentence = (
                "The edge must send X-Forwarded-Method, X-Forwarded-Host and X-Forwarded-Uri, once each."
            )
            return await _answer(send, 400, "invalid_request", sentence)
        resource = self._resource(host, uri)
        if resource is None or headers.get(b"x-forwarded-method") == b"OPTIONS":
            return await self._without_token(headers, send)
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() != b"bearer":
            self._count["no token"] += 1
            return await self._challenge(scope, receive, send, resource, headers)
        try:
            identity = await self._identify(token.strip().decode("latin-1"), resource)
        except InvalidTokenError as error:
            self._count["invalid_token"] += 1
            return await self._refuse(send, 401, resource, "invalid_token", error.description)
        except Refused:
            self._count["insufficient_scope"] += 1
            sentence = f"The access token lacks the scope {SCOPE}."
            return await self._refuse(send, 403, resource, "insufficient_scope", sentence)
        except StoreUnavailable as error:
            self._count["unavailable"] += 1
            return await _answer(send, 503, error.error, error.description, [(b"retry-after", b"1")])
        self._count["allowed"] += 1
        await send({"type": "http.response.start", "status": 200, "headers": identity})
        return await send(NO_BODY)

    def _derive(self, host: bytes, uri: bytes) -> str | None:
        return self._ctx.resources.of_request(host.decode("latin-1"), uri.decode("latin-1"))

    async def _identify(self, token: str, resource: str) -> Headers:
        """The identity headers of a token that opens `resource` now."""
        name = fingerprint(token)
        known = self._admitted.get(name)
        if (
            known is not None
            and known.resource == resource
            and known.claims is self._ctx.tokens.remembered(name)
            and self._store.unchanged(known.relies_on)
        ):
            return known.headers
        claims: dict[str, Any] = {}
        try:
            claims = await self._ctx.tokens.verify(token)
            admission = await self._admit(claims, resource)
        except InvalidTokenError as error:
            self._audit(claims, resource, "refused", error.description)
            raise
        except Refused:
            self._audit(claims, resource, "refused", "insufficient_scope")
            raise
        if known is None:
            self._audit(claims, resource, "allowed")
        self._admitted[name] = admission
        if len(self._admitted) > REMEMBERED:
            self._admitted.popitem(last=False)
        return admission.headers

    async def _admit(self, claims: dict[str, Any], resource: str) -> Admission:
        recent, policy = self._store.recent, self._ctx.policy
        if claims["aud"] not in (resource, self._ctx.settings.issuer):
            raise InvalidTokenError("The access token is for another server.")
        names: list[Name] = [("grant", claims["grant_id"]), ("revoked", claims["jti"])]
        entry, revoked = [await recent(*name) for name in names]
        if entry is None or revoked is not None:
            raise InvalidTokenError("The access token has been revoked.")
        grant = Grant.model_validate(entry.value)
        rules: tuple[Name, ...] | None = ()
        if grant.identity is not None:
            if await policy.still_allowed(grant.identity) is not None:
                raise InvalidTokenError("This person is not admitted here any more.")
            rules = policy.relies_on(grant.identity)
        if SCOPE not in claims["scope"].split():
            raise Refused
        relies_on = None if rules is None else [(name, await recent(*name)) for name in (*names, *rules)]
        return Admission(resource, claims, relies_on, identity_headers(grant))

    def _audit(self, claims: dict[str, Any], resource: str, outcome: str, reason: str | None = None) -> None:
        user, client = claims.get("sub"), claims.get("client_id")
        self._ctx.audit.record(
            "access", outcome=outcome, user=user, client=client, resource=resource, reason=reason
        )

    async def _without_token(self, headers: dict[bytes, bytes], send: Send) -> None:
        """What no token guards: preflights, metadata, health, and the authorization server's own endpoints.

        The last get their `Authorization` header back, which an edge otherwise removes.
        """
        sent = headers[b"x-forwarded-host"], headers[b"x-forwarded-uri"]
        host, uri = (value.decode("latin-1") for value in sent)
        resources = self._ctx.resources
        if resources.is_own(host, uri):
            given = headers.get(b"authorization")
            kept = [] if given is None else [(b"authorization", given)]
        elif resources.is_open(host, uri) or self._resource(*sent) is not None:
            kept = []
        else:
            self._count["not ours"] += 1
            status = 404 if resources.is_ours(host) else 400
            return await _answer(
                send, status, "invalid_request", "No server of this gateway has this address."
            )
        self._count["open"] += 1
        await send({"type": "http.response.start", "status": 200, "headers": EMPTY + kept})
        return await send(NO_BODY)

    async def _challenge(
        self, scope: Scope, receive: Receive, send: Send, resource: str, headers: dict[bytes, bytes]
    ) -> None:
        """401 without `error`, as no credentials were sent (RFC 6750 section 3.1)."""
        challenge = self._challenge_header(resource)
        if headers.get(b"x-forwarded-method", b"GET") == b"GET" and prefers_html(headers.get(b"accept", b"")):
            named = {"WWW-Authenticate": challenge.decode()}
            page = pages.server_page(self._ctx, resource, status=401, headers=named)
            return await page(scope, receive, send)
        sentence = "Sign in first: the address in WWW-Authenticate says where."
        return await _answer(send, 401, "unauthorized", sentence, [(b"www-authenticate", challenge)])

    async def _refuse(self, send: Send, status: int, resource: str, error: str, sentence: str) -> None:
        challenge = self._challenge_header(resource, f'error="{error}", error_description="{sentence}", ')
        await _answer(send, status, error, sentence, [(b"www-authenticate", challenge)])

    def _challenge_header(self, resource: str, details: str = "") -> bytes:
        metadata = self._ctx.resources.metadata_url(resource)
        return f'Bearer {details}resource_metadata="{metadata}", scope="{SCOPE}"'.encode()


def identity_headers(grant: Grant) -> Headers:
    """What a server learns: who and through which client, and nothing that could be used again.

    Values are printable ASCII; other characters and `%` are percent-encoded (UTF-8).
    """
    if grant.identity is None:
        user_id, name = f"client:{grant.client_id}", grant.client_name
    else:
        user_id, name = grant.identity.user_id, grant.identity.login
    values = {b"x-user-id": user_id, b"x-user-name": name, b"x-client-id": grant.client_id}
    safe = [(header, quote(value.strip(), safe=PRINTABLE).encode()) for header, value in values.items()]
    return EMPTY + safe


def prefers_html(accept: bytes) -> bool:
    """Whether a person's browser asks: clients of the protocol accept JSON or an event stream."""
    lowered = accept.lower()
    return b"text/html" in lowered and b"json" not in lowered and b"event-stream" not in lowered


def _repeated(scope: Scope) -> bool:
    names = [name for name, _ in scope["headers"] if name in FORWARDED]
    return len(names) != len(set(names))


async def _answer(send: Send, status: int, error: str, sentence: str, headers: Headers | None = None) -> None:
    body = json.dumps({"error": error, "error_description": sentence}).encode()
    length = (b"content-length", str(len(body)).encode())
    kind = (b"content-type", b"application/json")
    start: Headers = [kind, length, (b"cache-control", b"no-store"), *(headers or [])]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body})
