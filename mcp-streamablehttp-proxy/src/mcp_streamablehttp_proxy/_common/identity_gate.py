"""Takes requests that carry a valid identity statement, and ends streams whose statement no longer holds."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING
from urllib.parse import quote

from .gateway_identity import GatewayIdentity, GatewayUnavailableError
from .identity_header import HEADER, REVOKED
from .identity_statement import Statement, StatementRefusedError
from .refusal import refuse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from .public_url import PublicUrl

RENEW_EVERY = 60.0
"""Seconds after which an open call has its statement renewed."""

_STATEMENT = HEADER.lower().encode()
_IDENTITY = (b"x-user-id", b"x-user-name", b"x-client-id")
_DROPPED = frozenset((_STATEMENT, *_IDENTITY))
_PRINTABLE = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")
_FORWARDED = b"x-forwarded-"


class IdentityGate:
    """403 for a request without a valid statement for this server, 503 while none can be checked.

    `GET /health` needs none, nor does `/metrics` for whoever asks without passing the edge. What the
    application sees of the person is the statement's word: `X-User-Id`, `X-User-Name` and `X-Client-Id` of
    the request itself are dropped.

    A standing stream (GET, `subscriptions/listen`) ends with its statement, and the client opens another. A
    call goes on while its statement is renewed every minute, and ends when that is refused: its client seems
    to have left, and the future in `scope["state"]` (identity_header.REVOKED) is done, which tells it from a
    client that may come back.
    """

    def __init__(
        self, app: ASGIApp, gateway: GatewayIdentity, own: PublicUrl, *, renew_every: float = RENEW_EVERY
    ) -> None:
        self.app = app
        self.gateway = gateway
        self.own = own
        self.renew_every = renew_every

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _open(scope):
            await self.app(scope, receive, send)
            return
        stated = _header(scope, _STATEMENT)
        text = None if stated is None else stated.decode("latin-1")
        try:
            statement = await self.gateway.check(text, self.own.resource(_path(scope)))
        except StatementRefusedError as error:
            await refuse(send, 403, str(error))
        except GatewayUnavailableError:
            sentence = "The gateway cannot be asked for its keys at the moment; try again."
            await refuse(send, 503, sentence, [(b"retry-after", b"2")])
        else:
            request = _Request(self.gateway, statement, scope, receive, send, self.renew_every)
            try:
                await self.app(_told(scope, statement, request.left), request.receive, request.send)
            finally:
                request.close()


class _Request:
    """One request as the application sees it: the client has left once its statement holds no longer."""

    def __init__(
        self,
        gateway: GatewayIdentity,
        statement: Statement,
        scope: Scope,
        receive: Receive,
        send: Send,
        renew_every: float,
    ) -> None:
        self._gateway = gateway
        self._statement = statement
        self._receive = receive
        self._send = send
        self._renew_every = renew_every
        self._listening = _header(scope, b"mcp-method") == b"subscriptions/listen"
        self._standing = self._listening or scope["method"] == "GET"
        self._body = b""
        self._read = self._started = self._streaming = self._over = False
        loop = asyncio.get_running_loop()
        self.left: asyncio.Future[None] = loop.create_future()
        self._watching: asyncio.Task[None] | None = None
        left = max(0.0, statement.expires_at - gateway.now())
        self._timer = loop.call_later(left if self._standing else min(renew_every, left), self._begin)

    async def receive(self) -> Message:
        if not self._read:
            message = await self._receive()
            if self._listening:
                self._body += message.get("body", b"")
            self._read = not message.get("more_body", False)
            return message
        waiting = asyncio.ensure_future(self._receive())
        try:
            await asyncio.wait((waiting, self.left), return_when=asyncio.FIRST_COMPLETED)
            return waiting.result() if waiting.done() else {"type": "http.disconnect"}
        finally:
            waiting.cancel()

    async def send(self, message: Message) -> None:
        if self._over:
            return
        if message["type"] == "http.response.start":
            self._started = True
            self._streaming = any(
                name.lower() == b"content-type" and value.startswith(b"text/event-stream")
                for name, value in message["headers"]
            )
        elif not message.get("more_body", False):
            self._over = True
        await self._send(message)

    def close(self) -> None:
        self._over = True
        self._timer.cancel()
        if self._watching is not None:
            self._watching.cancel()

    def _begin(self) -> None:
        self._watching = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        if not self._standing:
            await self._refused()
        if not self._over:
            await self._finish()

    async def _refused(self) -> None:
        """Renew the statement again and again; returns when that is refused, or came too late."""
        while True:
            try:
                self._statement = await self._gateway.renew(self._statement)
            except StatementRefusedError:
                return
            except GatewayUnavailableError:
                if self._statement.expires_at <= self._gateway.now():
                    return
            await asyncio.sleep(self._renew_every)

    async def _finish(self) -> None:
        self._over = True
        if not self._started:
            await refuse(self._send, 403, "The sign-in behind this request was revoked.")
        elif self._streaming:
            body = _last_word(self._body) if self._listening else b""
            await self._send({"type": "http.response.body", "body": body})
        self.left.set_result(None)


def _last_word(request: bytes) -> bytes:
    """The result that ends a subscription gracefully (MCP 2026-07-28, Subscriptions); nothing for a request
    that only its header calls one."""
    try:
        id_ = json.loads(request)["id"]
    except (ValueError, RecursionError, KeyError, TypeError):
        return b""
    result = {"resultType": "complete", "_meta": {"io.modelcontextprotocol/subscriptionId": id_}}
    return (
        b"event: message\ndata: %b\n\n" % json.dumps({"jsonrpc": "2.0", "id": id_, "result": result}).encode()
    )


def _path(scope: Scope) -> str:
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return path.removeprefix(root) if root else path


def _open(scope: Scope) -> bool:
    """Whether the request needs no statement: health, and metrics asked for inside."""
    path = _path(scope)
    if path == "/health":
        return scope["method"] in ("GET", "HEAD")
    inside = not any(name.startswith(_FORWARDED) for name, _ in scope["headers"])
    return path == "/metrics" and scope["method"] in ("GET", "HEAD") and inside


def _header(scope: Scope, name: bytes) -> bytes | None:
    """The value of a header that came exactly once."""
    values: list[bytes] = [value for key, value in scope["headers"] if key == name]
    return values[0] if len(values) == 1 else None


def _told(scope: Scope, statement: Statement, revoked: asyncio.Future[None]) -> Scope:
    """The request with the statement's word on the person, printable ASCII as the gate writes it."""
    kept = [pair for pair in scope["headers"] if pair[0] not in _DROPPED]
    values = zip(_IDENTITY, (statement.user_id, statement.name, statement.client_id), strict=True)
    said = [(name, quote(value.strip(), safe=_PRINTABLE).encode()) for name, value in values if value]
    state = {**scope.get("state", {}), "gateway_statement": statement, REVOKED: revoked}
    return {**scope, "headers": [*kept, *said], "state": state}
