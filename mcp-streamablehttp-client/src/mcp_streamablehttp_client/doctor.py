"""Walks the way from here to a server, hop by hop; common/hop_checks judges what it finds.

The walk ends at the first hop that is wrong: what lies behind it cannot be told from here. It
registers a client only where this program has none, and deletes that again where it may; nobody
signs in, and no tool is called.
"""

from __future__ import annotations

import asyncio
import secrets
import ssl
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx

from . import __version__
from ._common import hop_checks as check
from ._common import hop_checks_oauth as oauth
from ._common.addresses import AddressError
from ._common.hop import Bearer, Reply, Verdict, unseen, well
from ._common.versions import LATEST_HANDSHAKE_VERSION, MODERN_VERSION
from .credentials.records import Tokens
from .credentials.store import Store
from .errors import ClientError
from .http1 import tls_context
from .http1.connect import NEXT_ADDRESS_SECONDS
from .jsonrpc import MODERN_VERSION_KEY
from .oauth import dpop
from .oauth.urls import checked
from .oauth.web import Web
from .proxies import proxy_for
from .settings import Settings, is_loopback

SECONDS = 15.0
MAX_BYTES = 512 * 1024
REDIRECT_URI = "http://127.0.0.1:33418/callback"
_CLIENT = {"name": "mcp-streamablehttp-client", "version": __version__}
_POST = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
_INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": LATEST_HANDSHAKE_VERSION, "capabilities": {}, "clientInfo": _CLIENT},
}
_DISCOVER = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "server/discover",
    "params": {
        "_meta": {
            MODERN_VERSION_KEY: MODERN_VERSION,
            "io.modelcontextprotocol/clientInfo": _CLIENT,
            "io.modelcontextprotocol/clientCapabilities": {},
        }
    },
}


class _NoAnswerError(Exception):
    """No HTTP answer was had; the text is the library's own."""


class Doctor:
    def __init__(self, settings: Settings, store: Store, now: Callable[[], float]) -> None:
        self._now = now
        self._settings = settings
        self._url = settings.server_url
        self._store = store
        self._web = Web(settings)
        self._date: str | None = None
        self._registered: Reply | None = None

    async def examine(self) -> AsyncIterator[Verdict]:
        """Every verdict, in the order of the way; after a wrong one only the clock's."""
        async for verdict in self._walk():
            yield verdict
            if verdict.state == "wrong":
                break
        await self._forget(self._registered)
        yield check.check_clock(self._date, self._now())

    async def _walk(self) -> AsyncIterator[Verdict]:
        yield check.check_url(self._url)
        async for verdict in self._connection():
            yield verdict
        loopback = is_loopback(urlsplit(self._url).hostname)
        try:
            opened = await self._post(_INITIALIZE)
        except _NoAnswerError as problem:
            yield check.check_https(self._url, loopback=loopback, problem=str(problem))
            return
        yield check.check_https(self._url, loopback=loopback)
        yield check.check_redirect(self._url, opened)
        if 300 <= opened.status < 400:
            return  # a warning; the address it leads to is worth a walk of its own
        challenge = oauth.check_challenge(self._url, opened)
        if challenge.state == "wrong" and (right := await self._right_address()):
            challenge = check.elsewhere(self._url, right, opened)
        yield challenge
        tokens = None
        if opened.status == 401:
            async for verdict in self._authorization(opened):
                yield verdict
            found = self._store.server(self._url)
            tokens = self._store.tokens(found.issuer, found.resource) if found is not None else None
            if tokens is None or found is None:
                yield unseen("handshake", f"not signed in; run: mcp-streamablehttp-client login {self._url}")
                return
            yield oauth.check_audience(tokens.access_token, found.resource, found.issuer, self._now())
            invented = replace(tokens, access_token=f"x{secrets.token_hex(16)}")
            yield oauth.check_invented_token(await self._post(_INITIALIZE, invented))
            opened = await self._post(_INITIALIZE, tokens)
        async for verdict in self._first_calls(opened, tokens):
            yield verdict

    async def _connection(self) -> AsyncIterator[Verdict]:
        parts = urlsplit(self._url)
        host, secure = parts.hostname or "", parts.scheme == "https"
        port = parts.port or (443 if secure else 80)
        if proxy_for(secure, host, port) is not None:
            yield unseen("dns", "a proxy looks the name up and connects (HTTPS_PROXY, ALL_PROXY)")
            return
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, type=1)
            yield check.check_names(host, sorted({str(address[0]) for *_, address in found}))
        except OSError as problem:
            yield check.check_names(host, [], problem.strerror or str(problem))
            return
        try:
            async with asyncio.timeout(SECONDS):
                _, writer = await asyncio.open_connection(
                    host, port, happy_eyeballs_delay=NEXT_ADDRESS_SECONDS
                )
            writer.close()
        except (OSError, TimeoutError) as problem:
            yield check.check_connection(host, port, str(problem) or "no answer in time")
            return
        yield check.check_connection(host, port)
        if not secure:
            return
        try:
            async with asyncio.timeout(SECONDS):
                _, writer = await asyncio.open_connection(
                    host,
                    port,
                    ssl=tls_context(self._settings.trust),
                    happy_eyeballs_delay=NEXT_ADDRESS_SECONDS,
                )
            session = writer.get_extra_info("ssl_object")
            ends = (session.getpeercert() or {}).get("notAfter")
            ends_at = ssl.cert_time_to_seconds(ends) if isinstance(ends, str) else None
            yield check.check_tls(host, version=session.version() or "", ends_at=ends_at, now=self._now())
            writer.close()
        except (OSError, TimeoutError) as problem:
            yield check.check_tls(host, problem=str(problem) or "no answer in time")

    async def _authorization(self, refusal: Reply) -> AsyncIterator[Verdict]:
        where, reply = await self._resource_metadata(refusal)
        yield oauth.check_resource_metadata(self._url, where, reply)
        metadata = reply.document or {}
        issuer, resource = metadata["authorization_servers"][0], metadata["resource"]
        where, reply = await self._issuer_metadata(issuer)
        yield oauth.check_issuer(issuer, where, reply)
        server = reply.document or {}
        issuer = str(server.get("issuer"))
        client_id, registered = await self._client(issuer, server)
        if registered is not None or self._store.client(issuer) is None:
            yield oauth.check_registration(server, registered)
        else:
            yield well("registration", f"as {client_id}, from an earlier sign-in")
        if registered is not None:
            client_id = str((registered.document or {}).get("client_id"))
        if client_id is None:
            yield unseen("authorize", "there is no client id to ask with")
            return
        state = secrets.token_urlsafe(8)
        query = {
            "response_type": "code",
            "client_id": client_id,
            "redirect_uri": self._redirect_uri(issuer, registered),
            "state": state,
            "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
            "code_challenge_method": "S256",
            "resource": resource,
        }
        address = self._checked(server, "authorization_endpoint")
        page = await self._ask("GET", f"{address}{'&' if '?' in address else '?'}{urlencode(query)}")
        yield oauth.check_authorize(page, query["redirect_uri"], state, issuer)
        code = {
            "grant_type": "authorization_code",
            "code": "doctor",
            "redirect_uri": query["redirect_uri"],
            "code_verifier": secrets.token_urlsafe(32),
        }
        yield oauth.check_token("token", await self._token(server, code, client_id, registered, resource))
        refresh = {"grant_type": "refresh_token", "refresh_token": "doctor"}
        yield oauth.check_token(
            "refresh", await self._token(server, refresh, client_id, registered, resource)
        )

    async def _resource_metadata(self, refusal: Reply) -> tuple[str, Reply]:
        parts = urlsplit(self._url)
        bearer = Bearer.of(refusal.headers.get("www-authenticate"))
        announced = bearer.parameters.get("resource_metadata") if bearer is not None else None
        root = f"{parts.scheme}://{parts.netloc}/.well-known/oauth-protected-resource"
        places = [announced] if announced else [root + parts.path.rstrip("/"), root]
        return await self._first(places)

    async def _issuer_metadata(self, issuer: str) -> tuple[str, Reply]:
        parts = urlsplit(issuer)
        origin, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
        places = [
            f"{origin}/.well-known/{kind}{path}"
            for kind in ("oauth-authorization-server", "openid-configuration")
        ]
        return await self._first(
            [*places, *([f"{issuer.rstrip('/')}/.well-known/openid-configuration"] if path else [])]
        )

    async def _first(self, places: list[str]) -> tuple[str, Reply]:
        """The first document there is; else the answer of the first place."""
        answers = []
        for place in places:
            reply = await self._ask("GET", checked(place, "metadata address", self._url))
            if reply.status == 200:
                return place, reply
            answers.append((place, reply))
        return answers[0]

    async def _client(self, issuer: str, server: dict[str, Any]) -> tuple[str | None, Reply | None]:
        """The client id given or kept; else the answer to a registration, if one could be asked for."""
        if self._settings.client_id is not None:
            return self._settings.client_id, None
        if (kept := self._store.client(issuer)) is not None:
            return kept.client_id, None
        if server.get("registration_endpoint") is None:
            return None, None
        request = {
            "client_name": "mcp-streamablehttp-client doctor",
            "redirect_uris": [REDIRECT_URI],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
        }
        address = self._checked(server, "registration_endpoint")
        self._registered = await self._ask("POST", address, json=request)
        return None, self._registered

    def _redirect_uri(self, issuer: str, registered: Reply | None) -> str:
        kept = self._store.client(issuer)
        return kept.redirect_uri if registered is None and kept and kept.redirect_uri else REDIRECT_URI

    async def _token(
        self,
        server: dict[str, Any],
        form: dict[str, str],
        client_id: str,
        registered: Reply | None,
        resource: str,
    ) -> Reply:
        kept = self._store.client(str(server.get("issuer")))
        secret = (
            ((registered.document or {}).get("client_secret")) if registered else kept and kept.client_secret
        )
        fields = form | {"client_id": client_id, "resource": resource}
        fields |= {"client_secret": secret} if secret else {}
        algorithms = server.get("dpop_signing_alg_values_supported")
        key = dpop.new_key() if isinstance(algorithms, list) and dpop.ALGORITHM in algorithms else None
        address = self._checked(server, "token_endpoint")
        return await self._proved("POST", address, key, headers={}, data=fields)

    async def _forget(self, registered: Reply | None) -> None:
        document = (registered.document if registered is not None else None) or {}
        url, token = document.get("registration_client_uri"), document.get("registration_access_token")
        if isinstance(url, str) and isinstance(token, str):
            address = checked(url, "registration_client_uri", self._url)
            await self._ask("DELETE", address, headers={"Authorization": f"Bearer {token}"})

    async def _first_calls(self, opened: Reply, tokens: Tokens | None) -> AsyncIterator[Verdict]:
        has_token = tokens is not None or self._settings.brings_own_authorization
        handshake = check.check_handshake(opened, has_token=has_token)
        modern = check.check_modern(await self._post(_DISCOVER, tokens), has_token=has_token)
        if modern.state == "well" and check.refuses_the_handshake(opened):
            handshake = unseen("handshake", f"the server speaks {MODERN_VERSION} only")
        yield handshake
        unknown = None
        if (identifier := opened.headers.get("mcp-session-id")) is not None:
            ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
            unknown = await self._post(ping, tokens, **{"Mcp-Session-Id": secrets.token_hex(16)})
            await self._authorized("DELETE", tokens, headers={"Mcp-Session-Id": identifier})
        if handshake.state == "well":
            yield check.check_session(opened, unknown)
        yield modern

    async def _right_address(self) -> str | None:
        """Where a server is, when there is none at the address given."""
        parts = urlsplit(self._url)
        origin, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
        guesses = [
            f"{origin}{path}/mcp",
            f"{origin}/mcp",
            f"{origin}{path}",
            f"{origin}{path}/",
            f"{origin}{path}/sse",
        ]
        for guess in dict.fromkeys(guesses):
            if guess == self._url:
                continue
            try:
                method = "GET" if guess.endswith("/sse") else "POST"
                reply = await self._ask(
                    method, guess, json=_INITIALIZE if method == "POST" else None, headers=self._headers()
                )
            except _NoAnswerError:
                continue
            if check.is_server(reply):
                return guess
        return None

    async def _post(self, message: dict[str, Any], tokens: Tokens | None = None, **more: str) -> Reply:
        mirrored = {"MCP-Protocol-Version": MODERN_VERSION, "Mcp-Method": "server/discover"}
        fields = more | (mirrored if message is _DISCOVER else {})
        return await self._authorized("POST", tokens, headers=fields, json=message)

    async def _authorized(
        self, method: str, tokens: Tokens | None, headers: dict[str, str], **parts: Any
    ) -> Reply:
        """To the server, with the token as it wants to be sent."""
        fields = self._headers() | headers
        if tokens is None:
            return await self._ask(method, self._url, headers=fields, **parts)
        key = tokens.dpop_key if tokens.bound else None
        fields["Authorization"] = f"{'Bearer' if key is None else 'DPoP'} {tokens.access_token}"
        return await self._proved(method, self._url, key, tokens.access_token, headers=fields, **parts)

    async def _proved(
        self,
        method: str,
        url: str,
        key: str | None,
        access_token: str | None = None,
        *,
        headers: dict[str, str],
        **parts: Any,
    ) -> Reply:
        """With a proof of the key, if there is one, made once more with the nonce that is demanded
        (RFC 9449 sections 8 and 9)."""
        if key is None:
            return await self._ask(method, url, headers=headers, **parts)
        nonce = None
        while True:
            proof = dpop.proof(key, method, url, access_token=access_token, nonce=nonce)
            reply = await self._ask(method, url, headers=headers | {"DPoP": proof}, **parts)
            demanded = reply.headers.get("dpop-nonce")
            if reply.status not in (400, 401) or demanded is None or nonce is not None:
                return reply
            nonce = demanded

    def _headers(self) -> dict[str, str]:
        return _POST | dict(self._settings.headers)

    def _checked(self, server: dict[str, Any], name: str) -> str:
        return checked(server.get(name), name, self._url)

    async def _ask(self, method: str, url: str, **parts: Any) -> Reply:
        """Raises _NoAnswerError."""
        try:
            async with (
                asyncio.timeout(SECONDS),
                self._web.client(url) as http,
                http.stream(method, url, **parts) as response,
            ):
                fields = {name.lower(): value for name, value in response.headers.items()}
                self._date = fields.get("date", self._date)
                reply = Reply(response.status_code, fields)
                body = b""
                async for chunk in response.aiter_bytes():
                    body += chunk
                    reply = Reply(response.status_code, fields, body)
                    streams = reply.media_type == "text/event-stream"
                    if len(body) > MAX_BYTES or (streams and (reply.message or method == "GET")):
                        break
                return reply
        except (httpx.HTTPError, httpx.InvalidURL, AddressError, TimeoutError) as problem:
            raise _NoAnswerError(str(problem) or type(problem).__name__) from problem


async def examine(
    settings: Settings, store: Store, now: Callable[[], float] = time.time
) -> AsyncIterator[Verdict]:
    """Every hop; a way that breaks off in between is a verdict, too."""
    doctor = Doctor(settings, store, now)
    last = None
    try:
        async for verdict in doctor.examine():
            last = verdict
            yield verdict
    except (_NoAnswerError, ClientError, ValueError) as problem:
        yield check.broke_off(last, str(problem))
