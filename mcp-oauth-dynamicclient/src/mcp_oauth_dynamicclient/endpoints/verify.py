"""ForwardAuth: may this forwarded request go on, and who is it from?

The edge, which alone can call this endpoint, says what was asked (`asked.py`). At `/verify`, what `public.py`
lists goes on to the authorization server; everything else needs a token for the server whose address it is.
An edge that asks only about what it is going to pass to a server asks at `/verify/server`, or at
`/verify/at/NAME`, where nothing goes on without a token: it may have read an address otherwise than we do.

Answers (RFC 6750 section 3, RFC 9728 section 5.1): 200 with the identity; 401 with a challenge; 403 for a
page that may not call servers, or `insufficient_scope`; 406 for a message whose answer has no form that the
client takes; 400 and 404 for addresses that are not ours; 503 while the server, the store or the list of
servers is away.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from .. import pages
from .._common.accept import accepted_by, unacceptable
from .._common.refusal import error_body
from ..client_address import ClientAddress
from ..context import Context
from ..cors import READABLE, Origins, origins_of
from ..errors import InvalidRequestError, InvalidTokenError, StoreUnavailableError
from ..metrics import Metrics
from ..middleware import SecurityHeaders
from ..public import Place, is_preflight
from ..records import Grant
from ..resources import Address
from ..scopes import MCP
from ..servers import Presence
from ..store.recent import RecentStore
from ..tokens import fingerprint
from .answers import NO_STORE, broken
from .asked import METHODS, PATHS, Asked, allows, asked
from .at_servers import UNKNOWN, opens, unavailable, unavailable_page
from .nowhere import nowhere_page

PRINTABLE = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")
REMEMBERED = 4096
"""Tokens whose first use was written into the audit log."""

Headers = list[tuple[bytes, bytes]]
EMPTY: Headers = [(b"content-length", b"0")]


def routes(ctx: Context, verify: Verify) -> APIRouter:
    """The routes for an application that mounts this one below a path; `app.py` calls Verify before any
    routing."""
    router = APIRouter()
    router.routes += [Route(path, verify, methods=METHODS, include_in_schema=False) for path in PATHS]
    return router


class RefusedError(Exception):
    """403: the token lacks the scope."""


class Verify:
    """Plain ASGI, since every request to every server passes here."""

    def __init__(self, ctx: Context, store: RecentStore, metrics: Metrics) -> None:
        self._ctx = ctx
        self._store = store
        self._count = metrics.verify
        self._origins = Origins(ctx.settings)
        self._whose = ClientAddress(self, ctx.settings)
        self._audited: OrderedDict[bytes, None] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            answer = await self._answer(scope)
        except Exception:
            await self._refuse_with(broken(), scope, receive, send)
            raise  # uvicorn writes it into the log
        if isinstance(answer, Response):
            await self._refuse_with(answer, scope, receive, send)
        else:
            await send({"type": "http.response.start", "status": 200, "headers": answer})
            await send({"type": "http.response.body"})

    async def _refuse_with(self, answer: Response, scope: Scope, receive: Receive, send: Send) -> None:
        """The client gets it as it is, so it has what every other answer has."""
        origins = origins_of(scope)
        if origins and self._origins.may_call_servers(origins):
            answer.headers.update(READABLE)
        safe = SecurityHeaders(answer, https=self._ctx.settings.secure_cookies)
        await safe(scope, receive, send)

    async def _answer(self, scope: Scope) -> Response | Headers:
        """The headers with which the request may go on, or what is answered instead."""
        if not allows(scope):
            allowed = {"Allow": ", ".join(METHODS)}
            return _error(405, "invalid_request", "Use GET, HEAD or POST.", allowed)
        try:
            question = asked(scope, self._ctx.resources)
        except InvalidRequestError as error:
            self._count["malformed"] += 1
            return _error(400, "invalid_request", error.description or "")
        headers: dict[bytes, bytes] = dict(scope["headers"])
        method, to_a_server = question.method, question.to_a_server
        opened = opens(method, headers.get(b"accept", b""))
        address = self._ctx.resources.read(question.host, question.target)
        if address.place is Place.ELSEWHERE:
            return self._not_ours(400)
        if is_preflight(method, scope["headers"]) and not to_a_server:
            self._count["open"] += 1
            return EMPTY
        if address.place is not Place.ENDPOINT or question.server not in (None, address.server):
            if address.place is Place.NOWHERE or to_a_server:
                if opened:
                    return await self._nowhere(scope, question)
                return self._not_ours(404)
            self._count["open"] += 1
            return EMPTY + own_credentials(scope)
        try:
            return await self._decide(address, question, headers, scope)
        except StoreUnavailableError as error:
            self._count["unavailable"] += 1
            if opened:
                return pages.refuse_error(self._ctx, "access", error)
            return _error(503, error.error or "", error.description or "", dict(error.get_headers()))

    async def _decide(
        self, address: Address, question: Asked, headers: dict[bytes, bytes], scope: Scope
    ) -> Response | Headers:
        """The identity headers with which a request to a server's endpoint may go on, or the answer."""
        method = question.method
        opened = opens(method, headers.get(b"accept", b""))
        presence = await self._ctx.servers.presence(address.server)
        if presence is Presence.UNKNOWN:
            if opened:
                return await self._nowhere(scope, question)
            self._count["not ours"] += 1
            return JSONResponse(UNKNOWN, 404)
        if presence is Presence.UNDECIDED:
            self._count["unavailable"] += 1
            return unavailable_page(self._ctx, presence) if opened else unavailable(presence)
        if not self._origins.may_call_servers(origins_of(scope)):
            self._count["foreign origin"] += 1
            sentence = (
                "Pages of that Origin may not call servers here; the operator can list it in ALLOWED_ORIGINS."
            )
            return _error(403, "access_denied", sentence)
        if method == "POST" and not address.below:
            listens = headers.get(b"mcp-method") == b"subscriptions/listen"
            objection = unacceptable(accepted_by(scope["headers"]), streams=listens)
            if objection is not None:
                self._count["not acceptable"] += 1
                return Response(error_body(objection), 406, NO_STORE, "application/json")
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() != b"bearer":
            self._count["no token"] += 1
            return self._challenge(address, method, headers)
        try:
            identity = await self._identify(token.strip().decode("latin-1"), address.resource)
        except InvalidTokenError as error:
            self._count["invalid_token"] += 1
            return self._refuse(401, address, "invalid_token", error.description or "")
        except RefusedError:
            self._count["insufficient_scope"] += 1
            return self._refuse(
                403, address, "insufficient_scope", f"The access token lacks the scope {MCP}."
            )
        if presence is not Presence.HERE:
            self._count["unavailable"] += 1
            return unavailable(presence)
        self._count["allowed"] += 1
        return identity

    async def _identify(self, token: str, resource: str) -> Headers:
        """The identity headers of a token that opens `resource` now."""
        claims: dict[str, Any] = {}
        try:
            claims = await self._ctx.tokens.verify(token)
            grant = await self._admit(claims, resource)
        except InvalidTokenError as error:
            self._audit(claims, resource, "refused", error.description)
            raise
        except RefusedError:
            self._audit(claims, resource, "refused", "insufficient_scope")
            raise
        name = fingerprint(token)
        if name not in self._audited:
            self._audit(claims, resource, "allowed")
            self._audited[name] = None
            if len(self._audited) > REMEMBERED:
                self._audited.popitem(last=False)
        statement = await self._ctx.statements.about(grant, claims, resource)
        return [*identity_headers(grant), (b"x-gateway-identity", statement.encode())]

    async def _admit(self, claims: dict[str, Any], resource: str) -> Grant:
        if claims["aud"] not in (resource, self._ctx.settings.issuer):
            raise InvalidTokenError("The access token is for another server.")
        entry = await self._store.recent("grant", claims["grant_id"])
        if entry is None or await self._store.recent("revoked", claims["jti"]) is not None:
            raise InvalidTokenError("The access token has been revoked.")
        grant = Grant.model_validate(entry.value)
        if grant.identity is not None and await self._ctx.policy.still_allowed(grant.identity) is not None:
            raise InvalidTokenError("This person is not admitted here any more.")
        if MCP not in claims["scope"].split():
            raise RefusedError
        return grant

    def _audit(self, claims: dict[str, Any], resource: str, outcome: str, reason: str | None = None) -> None:
        user, client = claims.get("sub"), claims.get("client_id")
        self._ctx.audit.record(
            "access", outcome=outcome, user=user, client=client, resource=resource, reason=reason
        )

    def _not_ours(self, status: int) -> Response:
        self._count["not ours"] += 1
        return _error(status, "invalid_request", "No server of this gateway has this address.")

    async def _nowhere(self, scope: Scope, question: Asked) -> Response:
        self._count["not ours"] += 1
        return await nowhere_page(
            self._ctx,
            Request(scope),
            client=self._whose.of(scope),
            asked=question.target,
            host=question.host,
        )

    def _challenge(self, address: Address, method: str, headers: dict[bytes, bytes]) -> Response:
        """401 without `error`, as no credentials were sent (RFC 6750 section 3.1)."""
        challenge = {"WWW-Authenticate": self._challenge_header(address)}
        if opens(method, headers.get(b"accept", b"")):
            return pages.server_page(self._ctx, address.resource, status=401, headers=challenge)
        return _error(
            401, "unauthorized", "Sign in first: the address in WWW-Authenticate says where.", challenge
        )

    def _refuse(self, status: int, address: Address, error: str, sentence: str) -> Response:
        details = f'error="{error}", error_description="{sentence}", '
        return _error(status, error, sentence, {"WWW-Authenticate": self._challenge_header(address, details)})

    def _challenge_header(self, address: Address, details: str = "") -> str:
        metadata = self._ctx.resources.metadata_url(address.asked)
        return f'Bearer {details}resource_metadata="{metadata}", scope="{MCP}"'


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


def own_credentials(scope: Scope) -> Headers:
    """The credentials for the authorization server itself, which an edge removes unless it is told them
    here."""
    given = [(name, value) for name, value in scope["headers"] if name == b"authorization"]
    cookies = [value for name, value in scope["headers"] if name == b"cookie"]
    return [*given, (b"cookie", b"; ".join(cookies))] if cookies else given


def _error(status: int, error: str, sentence: str, headers: dict[str, str] | None = None) -> Response:
    body = {"error": error, "error_description": sentence}
    return JSONResponse(body, status, {"Cache-Control": "no-store", **(headers or {})})
