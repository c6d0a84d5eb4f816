"""A host inside this process, for the commands that people use: it talks through the bridge."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Self

from . import __version__
from .bridge import Bridge
from .connect import transport_for
from .errors import ClientError
from .http1 import HttpClient, Target
from .jsonrpc import METHOD_NOT_FOUND, MODERN_VERSION_KEY, encode, error
from .oauth.challenge import Challenge, bearer_challenge
from .session import POST_HEADERS
from .settings import Settings

HANDSHAKE_VERSION = "2025-11-25"
MODERN_VERSION = "2026-07-28"
MAX_PAGES = 1000
_CLIENT = {"name": "mcp-streamablehttp-client", "version": __version__}


class ServerError(ClientError):
    """The server answered a request with a JSON-RPC error."""

    def __init__(self, code: Any, text: str) -> None:
        super().__init__(text)
        self.code = code


class Conversation:
    """Requests and their results; implements host.Host."""

    def __init__(self) -> None:
        self._lines: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._modern = False

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings) -> AsyncIterator[Self]:
        """Connected and shaken hands with; raises ClientError."""
        conversation = cls()
        running = asyncio.create_task(Bridge(transport_for(settings), conversation).run())
        try:
            await conversation._greet()
            yield conversation
        finally:
            conversation._lines.put_nowait(None)
            await running

    async def request(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """The result; raises ServerError with the server's own words."""
        identifier = len(self._waiting) + 1
        answer = self._waiting[identifier] = asyncio.get_running_loop().create_future()
        if self._modern:
            envelope = {
                MODERN_VERSION_KEY: MODERN_VERSION,
                "io.modelcontextprotocol/clientInfo": _CLIENT,
                "io.modelcontextprotocol/clientCapabilities": {},
            }
            params = {**params, "_meta": envelope}
        message = {"jsonrpc": "2.0", "id": identifier, "method": method, "params": params}
        self._lines.put_nowait(encode(message))
        value = await answer
        if isinstance(problem := value.get("error"), dict):
            raise ServerError(problem.get("code"), str(problem.get("message")))
        result = value.get("result")
        return result if isinstance(result, dict) else {}

    async def tools(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        params: dict[str, Any] = {}
        for _ in range(MAX_PAGES):
            page = await self.request("tools/list", params)
            found += [tool for tool in page.get("tools", []) if isinstance(tool, dict)]
            if not isinstance(cursor := page.get("nextCursor"), str):
                break
            params = {"cursor": cursor}
        return found

    async def _greet(self) -> None:
        try:
            await self.request(
                "initialize",
                {
                    "protocolVersion": HANDSHAKE_VERSION,
                    "capabilities": {},
                    "clientInfo": _CLIENT,
                },
            )
        except ServerError as refusal:
            self._modern = True
            try:
                await self.request("server/discover", {})
            except ServerError:
                raise refusal from None
        else:
            ready = {"jsonrpc": "2.0", "method": "notifications/initialized"}
            self._lines.put_nowait(encode(ready))

    def start(self, on_host_gone: Callable[[], None]) -> None:
        pass

    async def lines(self) -> AsyncIterator[bytes]:
        while (line := await self._lines.get()) is not None:
            yield line

    def write(self, line: bytes) -> None:
        value = json.loads(line)
        for item in value if isinstance(value, list) else [value]:
            identifier = item.get("id") if isinstance(item, dict) else None
            if identifier is None:
                continue
            if item.get("method") == "ping":
                self._lines.put_nowait(encode({"jsonrpc": "2.0", "id": identifier, "result": {}}))
            elif "method" in item:
                text = "This client cannot ask its user."
                self._lines.put_nowait(error(identifier, METHOD_NOT_FOUND, text))
            elif (future := self._waiting.get(identifier)) is not None and not future.done():
                future.set_result(item)

    async def close(self, seconds: float) -> None:
        pass


async def challenge_of(settings: Settings) -> tuple[Challenge, bool]:
    """How the server answers someone without a token: its challenge, and whether it was 401."""
    http = HttpClient(settings.timeout)
    probe = encode({"jsonrpc": "2.0", "id": 1, "method": "ping"})
    try:
        response = await http.request(
            "POST", Target(settings.server_url), [*settings.headers, *POST_HEADERS], probe
        )
        await response.discard()
        return bearer_challenge(response.challenges), response.status == 401
    finally:
        http.close()
