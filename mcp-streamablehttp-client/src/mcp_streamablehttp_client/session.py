"""The handshake era's session: its id, its version, and how to open it again when it is lost."""

import asyncio
import json
import logging
from typing import Any

from .errors import ClientError
from .http1 import Headers, Response
from .jsonrpc import Message, answered_ids, encode
from .stream import read_messages
from .transport import Transport

log = logging.getLogger(__name__)

POST_HEADERS: Headers = [
    ("Content-Type", "application/json"),
    ("Accept", "application/json, text/event-stream"),
]


class Session:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.id: str | None = None
        self.version: str | None = None
        self._initialize: Message | None = None
        self._initialized: bytes | None = None
        self._reopening = asyncio.Lock()
        self._reopened = 0

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

    def confirmed(self, initialized: bytes) -> None:
        self._initialized = initialized

    async def reopen(self, lost: str) -> bool:
        """After 404: perform the host's handshake again. True when there is a new session."""
        async with self._reopening:
            if self.id != lost:
                return self.id is not None
            if self._initialize is None or not isinstance(self._initialize.value, dict):
                return False
            log.info("the server has forgotten the session; opening a new one")
            self.id = self.version = None
            self._reopened += 1
            identifier = f"mcp-streamablehttp-client:{self._reopened}"
            body = encode({**self._initialize.value, "id": identifier})
            response = await self._transport.request("POST", POST_HEADERS, body)
            self.adopt(response)
            if not await self._await_result(response, identifier):
                return False
            if self._initialized is not None:
                headers = [*POST_HEADERS, *self.headers()]
                await (await self._transport.request("POST", headers, self._initialized)).discard()
            return True

    async def _await_result(self, response: Response, identifier: str) -> bool:
        try:
            async for item in read_messages(response):
                if item.data and identifier in answered_ids(answer := json.loads(item.data)):
                    self.opened(answer)
                    return response.status == 200 and "result" in answer
        except (ClientError, ValueError):
            pass
        finally:
            response.close()
        return False

    async def end(self) -> None:
        """DELETE the session; whether the server allows that (405) does not matter."""
        if self.id is not None:
            headers, self.id = self.headers(), None
            await (await self._transport.request("DELETE", headers)).discard()
