"""What the host is answered while there is no connection yet: nobody has signed in, or the server is slow.

Hosts give up on a server that does not answer `initialize` in time, and show nothing that a person
could do about it. Here they get an answer in time and one tool, `sign_in`; when the connection is
there they are told that everything has changed.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable
from typing import Any

from . import __version__
from ._common.error_codes import INTERNAL_ERROR, METHOD_NOT_FOUND
from .host import Output
from .jsonrpc import Message, encode, error
from .relay import Call
from .settings import Settings
from .transport import Authorization

log = logging.getLogger(__name__)

LATEST_HANDSHAKE = "2025-11-25"
SIGN_IN = "sign_in"
ADDRESS_SECONDS = 20.0
"""How long `sign_in` waits for the address to open, which takes a few requests."""
_LISTS = {
    "tools/list": "tools",
    "prompts/list": "prompts",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
}
_FRESH = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
_RESTART = "The server's tools appear by themselves afterwards; if nothing appears, restart this program."


class Lobby:
    """`open` from the moment the host is answered here until there is a connection."""

    def __init__(
        self,
        settings: Settings,
        host: Output,
        authorization: Authorization,
        connect: Callable[[Message], None],
        say: Callable[[Message], None],
    ) -> None:
        self._settings = settings
        self._host = host
        self._authorization = authorization
        self._connect = connect
        self._say = say
        self.open = False
        self._problem: str | None = None
        self._initialize: Message | None = None
        self._initialized: Message | None = None
        self._changed = asyncio.Event()
        self._numbers = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self._held: list[Message] = []
        """On the way: what the host wants to know waits for the server's own words."""
        authorization.on_wait = lambda _: self._changes()

    def watch(self, call: Call) -> None:
        """Answer a first request here if nothing else has in time."""
        asyncio.get_running_loop().call_later(self._settings.first_answer, self._late, call)

    def _late(self, call: Call) -> None:
        if not call.waiting or call.cancelled or call.answered_here:
            return
        message = call.message
        if message.modern_version is not None:
            if self._authorization.waits_at is not None and self.takes(message):
                call.answered_here = True
            return
        self.open = call.answered_here = True
        self._initialize = message
        self._answer(message, self._introduction(message))

    def left(self, call: Call) -> None:
        """The way to the server was tried: the connection is there, or something is in the way."""
        if call.result is None:
            self._problem = call.failure or "The server refused the connection."
            self._changes()
            return
        self.open = False
        self._changes()
        held, self._held = self._held, []
        for message in (*([self._initialized] if self._initialized is not None else []), *held):
            self._say(message)
        for what in ("tools", "prompts", "resources"):
            self._host.write(encode({"jsonrpc": "2.0", "method": f"notifications/{what}/list_changed"}))

    def takes(self, message: Message) -> bool:
        """Whether a message of the host ends here."""
        if isinstance(message.value, list):
            return False
        if message.modern_version is None:
            if not message.ids:
                if message.method == "notifications/initialized":
                    self._initialized = message
                return True
            if message.method == "ping":
                self._answer(message, {})
                return True
        if self._from_here_now:
            self._from_here(message)
        elif message.modern_version is None:
            self._held.append(message)
        else:
            return False
        return True

    @property
    def _from_here_now(self) -> bool:
        return self._authorization.waits_at is not None or self._problem is not None

    def _changes(self) -> None:
        self._changed.set()
        if self._from_here_now:
            held, self._held = self._held, []
            for message in held:
                self._from_here(message)

    def _from_here(self, message: Message) -> None:
        method = message.method or ""
        if method == "server/discover":
            self._answer(message, {"supportedVersions": ["2026-07-28"], **self._about(), **_FRESH})
        elif method in _LISTS:
            items = [_TOOL] if method == "tools/list" else []
            self._answer(message, {_LISTS[method]: items} | self._hints(message))
        elif method == "completion/complete":
            self._answer(message, {"completion": {"values": []}} | self._hints(message))
        elif method in ("logging/setLevel", "resources/subscribe", "resources/unsubscribe"):
            self._answer(message, {})
        elif method == "tools/call" and message.params.get("name") == SIGN_IN:
            task = asyncio.create_task(self._sign_in(message))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif method in ("tools/call", "prompts/get", "resources/read"):
            self._host.write(error(message.ids[0], INTERNAL_ERROR, self._state()))
        else:
            self._host.write(error(message.ids[0], METHOD_NOT_FOUND, self._state()))

    async def _sign_in(self, message: Message) -> None:
        """A person asked: windows and refusals of before do not count."""
        self._authorization.forgive()
        if self._problem is not None and self._initialize is not None:
            self._problem = None
            self._connect(self._initialize)
        elif (address := self._authorization.waits_at) is not None:
            from .oauth.browser import show

            show(address)
        loop = asyncio.get_running_loop()
        until = loop.time() + ADDRESS_SECONDS
        try:
            async with asyncio.timeout_at(until):
                while self.open and self._problem is None and self._authorization.waits_at is None:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            pass
        address = self._authorization.waits_at
        if address is not None:
            self._ask_to_open(address)
        self._answer(
            message,
            {"content": [{"type": "text", "text": self._state()}], "isError": self._problem is not None}
            | self._hints(message),
        )

    def _ask_to_open(self, address: str) -> None:
        """URL elicitation (2025-11-25), where the host has it."""
        params = self._initialize.params if self._initialize is not None else {}
        can = params.get("capabilities")
        elicitation = can.get("elicitation") if isinstance(can, dict) else None
        if isinstance(elicitation, dict) and "url" in elicitation:
            identifier = f"mcp-streamablehttp-client:sign-in:{next(self._numbers)}"
            question = {
                "mode": "url",
                "elicitationId": identifier,
                "url": address,
                "message": f"Sign in to {self._settings.server_url}",
            }
            request = {"jsonrpc": "2.0", "id": identifier, "method": "elicitation/create", "params": question}
            self._host.write(encode(request))

    def _state(self) -> str:
        if not self.open and self._initialize is not None:
            return f"Signed in. {_RESTART}"
        if (address := self._authorization.waits_at) is not None:
            return f"To sign in, open this address in your browser: {address}\n{_RESTART}"
        if self._problem is not None:
            return f"{self._problem} Call the tool {SIGN_IN} to try again."
        return "The sign-in is under way."

    def _introduction(self, initialize: Message) -> dict[str, Any]:
        """The server's own words of an earlier connection, else what can be said without them."""
        known = self._authorization.introduction()
        asked = initialize.params.get("protocolVersion")
        about = self._about()
        version = asked if isinstance(asked, str) and asked <= LATEST_HANDSHAKE else LATEST_HANDSHAKE
        if known is None:
            return {"protocolVersion": version, **about}
        can = known.get("capabilities")
        capabilities = about["capabilities"] | (can if isinstance(can, dict) else {})
        return {**known, "protocolVersion": version, "capabilities": capabilities}

    def _about(self) -> dict[str, Any]:
        changing = {"listChanged": True}
        return {
            "capabilities": {
                "tools": changing,
                "prompts": changing,
                "resources": changing,
                "completions": {},
            },
            "serverInfo": {"name": "mcp-streamablehttp-client", "version": __version__},
            "instructions": f"There is no connection to {self._settings.server_url} yet; it may need a "
            f"sign-in (tool {SIGN_IN}).",
        }

    def _hints(self, message: Message) -> dict[str, Any]:
        return _FRESH if message.modern_version is not None else {}

    def _answer(self, message: Message, result: dict[str, Any]) -> None:
        self._host.write(encode({"jsonrpc": "2.0", "id": message.ids[0], "result": result}))


_TOOL = {
    "name": SIGN_IN,
    "title": "Sign in",
    "description": "Sign in to the server. Until then it has no other tools. " + _RESTART,
    "inputSchema": {"type": "object", "properties": {}},
}
