"""What surrounds the endpoints: a cap on bodies, safe headers, HEAD."""

from __future__ import annotations

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


class HeadIsGet:
    """Answers HEAD wherever GET is answered (RFC 9110 section 9.3.2): the same without the body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def without_body(message: Message) -> None:
            if message["type"] == "http.response.body":
                message["body"] = b""
            await send(message)

        if scope["type"] == "http" and scope["method"] == "HEAD":
            await self._app({**scope, "method": "GET"}, receive, without_body)
        else:
            await self._app(scope, receive, send)
