"""The handshake era's session: its id, its version, and how to open it again when it is lost."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from typing import Any

from ._common.error_codes import METHOD_NOT_FOUND
from .errors import ClientError
from .http1 import Headers, Response
from .jsonrpc import Message, answered_ids, encode, rpc_error
from .stream import read_messages
from .transport import Transport

log = logging.getLogger(__name__)

POST_HEADERS: Headers = [
    ("Content-Type", "application/json"),
    ("Accept", "application/json, text/event-stream"),
]
_PING = encode({"jsonrpc": "2.0", "id": "mcp-streamablehttp-client:ping", "method": "ping"})
_NAMES_THE_SESSION = re.compile(rb"session|not initialized", re.IGNORECASE)


class Session:
    """`generation` counts the sessions opened; 0 before the first.

    The old id is given up only when there is a new session: an answer of something on the way (an
    ingress, a proxy) must not end what the server still knows.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.id: str | None = None
        self.version: str | None = None
        self.generation = 0
        self._lost = self._owed = False
        self._initialize: Message | None = None
        self._initialized: bytes | None = None
        self._standing: dict[tuple[str, str], bytes] = {}
        self._opening = asyncio.Lock()

    def headers(self) -> Headers:
        found: Headers = []
        if self.version is not None:
            found.append(("MCP-Protocol-Version", self.version))
        if self.id is not None:
            found.append(("Mcp-Session-Id", self.id))
        return found

    def begin(self, initialize: Message) -> None:
        """Forget the previous session: the host starts a new one."""
        self.id = self.version = self._initialized = None
        self._initialize = initialize
        self._standing.clear()
        self._lost = self._owed = False
        self.generation += 1

    def adopt(self, response: Response) -> None:
        """Take the session id from the answer to `initialize`."""
        if response.status == 200:
            self.id = response.headers.get("mcp-session-id")

    def opened(self, answer: Any) -> None:
        """Take the negotiated version from the result of `initialize`."""
        result = answer.get("result") if isinstance(answer, dict) else None
        version = result.get("protocolVersion") if isinstance(result, dict) else None
        if isinstance(version, str) and version.isascii() and version.isprintable():
            self.version = version

    def confirmed(self, initialized: bytes, *, delivered: bool) -> None:
        """Take the host's `notifications/initialized`; one that got lost is sent before the next
        message, since servers refuse requests until it comes."""
        self._initialized = initialized
        self._owed = not delivered

    def remember(self, message: Message) -> None:
        """What the server keeps with a session and a new one has to be told again."""
        uri = str(message.params.get("uri"))
        if message.method in ("logging/setLevel", "resources/subscribe"):
            key = uri if message.method == "resources/subscribe" else ""
            self._standing[message.method, key] = message.raw
        elif message.method == "resources/unsubscribe":
            self._standing.pop(("resources/subscribe", uri), None)

    async def lost(self, generation: int, status: int, body: bytes) -> bool:
        """Whether the server refused a message because it does not know its session.

        It says so itself; or a bare 404, which anything on the way may have sent, is asked after:
        when a ping in the session is refused too, the session is what is wrong.
        """
        if status not in (400, 404):
            return False
        if generation != self.generation:
            return True
        if self.id is None:
            return False
        if says_unknown(status, body):
            self._lost = True
            return True
        return status == 404 and rpc_error(body) is None and not await self._stands()

    async def check(self) -> None:
        """Ping; a session that the server does not know is opened again. Raises ClientError."""
        generation = self.generation
        response = await self._post(_PING)
        if says_unknown(response.status, await response.read()):
            await self.reopen(generation)

    async def ready(self) -> None:
        """Call before a message: open again what is known to be lost. Raises ClientError."""
        if self._lost:
            await self.reopen(self.generation)
        if self._owed and self._initialized is not None:
            response = await self._tell(self._initialized)
            self._owed = not response.ok

    async def reopen(self, generation: int) -> None:
        """Perform the host's handshake again, unless that was done since `generation`.

        Raises ClientError; what was known before is then still known.
        """
        async with self._opening:
            if generation != self.generation:
                return
            initialize = self._initialize
            if initialize is None or not isinstance(initialize.value, dict):
                raise ClientError("The server has forgotten the session; restart the host to connect again.")
            log.info("the server has forgotten the session; opening a new one")
            identifier = f"mcp-streamablehttp-client:{generation}"
            body = encode({**initialize.value, "id": identifier})
            response = await self._transport.request("POST", POST_HEADERS, body, repeatable=True)
            answer = await _answer(response, identifier)
            if response.status != 200 or "result" not in answer:
                raise ClientError(
                    "The server has forgotten the session and opens no new one"
                    f" ({response.status} {response.reason}); try again."
                )
            self.adopt(response)
            self.opened(answer)
            self.generation += 1
            self._lost = False
            told = [self._initialized] if self._initialized is not None else []
            self._owed = False
            for message in (*told, *self._standing.values()):
                await self._tell(message)

    async def end(self) -> None:
        """DELETE the session; whether the server allows that (405) does not matter."""
        if self.id is not None:
            headers, self.id = self.headers(), None
            await (await self._transport.request("DELETE", headers)).discard()

    async def _post(self, message: bytes) -> Response:
        headers = [*POST_HEADERS, *self.headers()]
        return await self._transport.request("POST", headers, message, repeatable=True)

    async def _tell(self, message: bytes) -> Response:
        response = await self._post(message)
        await response.discard()
        return response

    async def _stands(self) -> bool:
        """Whether a ping in the session is not refused; weather counts for the session."""
        try:
            response = await self._tell(_PING)
        except ClientError:
            return True
        return response.status not in (400, 404)


def says_unknown(status: int, body: bytes) -> bool:
    """Whether a refusal names the session as its reason: 404 (2025-11-25 transports, "Session
    management"), or 400 as the TypeScript SDK says it after a restart."""
    value = rpc_error(body)
    if value is None:
        return status == 404 and len(body) < 1000 and _NAMES_THE_SESSION.search(body) is not None
    error = value["error"]
    text = str(error.get("message")).encode(errors="replace")
    if status == 404:
        return bool(error.get("code") != METHOD_NOT_FOUND)
    return status == 400 and _NAMES_THE_SESSION.search(text) is not None


async def _answer(response: Response, identifier: str) -> dict[str, Any]:
    """The answer to a request of our own, empty when there is none."""
    try:
        async for item in read_messages(response):
            if item.data and identifier in answered_ids(answer := json.loads(item.data)):
                return answer if isinstance(answer, dict) else {}
    except (ClientError, ValueError):
        pass
    finally:
        response.close()
    return {}
