"""What surrounds every endpoint but /verify: a cap on bodies, CORS, safe headers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .errors import InvalidRequestError

MAX_BODY = 128 * 1024


class BodyLimit:
    """413 for a body of more than MAX_BODY bytes, announced or not."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        received = 0

        async def limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > MAX_BODY:
                raise InvalidRequestError(f"The body is larger than {MAX_BODY} bytes.", status_code=413)
            return message

        return await self._app(scope, limited, send)


class Direct:
    """Answers one open endpoint without FastAPI's routing, which takes longer than its work."""

    def __init__(
        self,
        app: ASGIApp,
        method: str,
        path: str,
        endpoint: Callable[[Request], Awaitable[Response]],
        errors: Mapping[Any, Callable[[Request, Any], Response | Awaitable[Response]]],
    ) -> None:
        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            response = await endpoint(Request(scope, receive, send))
            await response(scope, receive, send)

        self._app = app
        self._method, self._path = method, path
        self._endpoint = ExceptionMiddleware(answer, errors)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        mine = scope["type"] == "http" and scope["method"] == self._method and scope["path"] == self._path
        await (self._endpoint if mine else self._app)(scope, receive, send)


class SecurityHeaders:
    """Safe defaults for answers that do not set their own."""

    def __init__(self, app: ASGIApp, https: bool) -> None:
        self._app = app
        self._defaults = [
            (b"x-content-type-options", b"nosniff"),
            (b"x-frame-options", b"DENY"),
            (b"referrer-policy", b"no-referrer"),
            (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
            (b"cache-control", b"no-store"),
        ]
        if https:
            self._defaults.append((b"strict-transport-security", b"max-age=31536000"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_defaults(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                named = {name.lower() for name, _ in headers}
                headers += (default for default in self._defaults if default[0] not in named)
                message["headers"] = headers
            await send(message)

        await self._app(scope, receive, with_defaults)


class OpenCors:
    """Lets web pages of any origin call the endpoints that never act on a cookie."""

    paths = ("/.well-known/", "/jwks", "/token", "/register", "/revoke", "/device_authorization")

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        names = dict(scope.get("headers", ()))
        if scope["type"] != "http" or b"origin" not in names or not self._covers(scope["path"]):
            return await self._app(scope, receive, send)
        if scope["method"] == "OPTIONS" and b"access-control-request-method" in names:
            headers = [
                (b"access-control-allow-origin", b"*"),
                (b"access-control-allow-methods", b"GET, POST, PUT, DELETE"),
                (b"access-control-allow-headers", b"Authorization, Content-Type, MCP-Protocol-Version"),
                (b"access-control-max-age", b"3600"),
                (b"cache-control", b"no-store"),
            ]
            await send({"type": "http.response.start", "status": 204, "headers": headers})
            return await send({"type": "http.response.body"})

        async def with_origin(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Access-Control-Allow-Origin"] = "*"
                headers["Access-Control-Expose-Headers"] = "WWW-Authenticate, Retry-After"
            await send(message)

        return await self._app(scope, receive, with_origin)

    def _covers(self, path: str) -> bool:
        return any(path == start.rstrip("/") or f"{start.rstrip('/')}/" in path for start in self.paths)
