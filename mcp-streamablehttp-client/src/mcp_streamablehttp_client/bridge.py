"""The bridge: a stdio MCP server whose every message is answered by the remote server."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from ._common.error_codes import INVALID_REQUEST, PARSE_ERROR
from .errors import ClientError, WrongEraError, describe
from .handshake import HandshakeEra
from .host import TOO_LONG, Host
from .jsonrpc import Message, encode, error, parse
from .lobby import Lobby
from .modern import ModernEra
from .relay import Call, Relay
from .settings import MAX_MESSAGE_BYTES, MODERN_VERSION
from .transport import Transport

if TYPE_CHECKING:
    from .translation import Translated

log = logging.getLogger(__name__)

GRACE_SECONDS = 1.0
"""How long answers are awaited after the host closed stdin, and how long the farewell may take."""

_HANDSHAKE = frozenset({"initialize", "notifications/initialized"})


class Bridge:
    def __init__(self, transport: Transport, host: Host) -> None:
        self._transport = transport
        self._host = host
        self._relay = Relay(host)
        self._handshake_era = HandshakeEra(transport, self._relay)
        self._modern_era = ModernEra(transport, self._relay)
        self._tasks: set[asyncio.Task[None]] = set()
        self._handshake: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()
        self._translated: dict[bool, Translated] = {}
        """By whether the host's message is modern; only where the server speaks the other era."""
        self._introducing = asyncio.Lock()
        self._lobby = Lobby(transport.settings, host, transport.authorization, self._connect, self._dispatch)

    async def run(self) -> None:
        """Relay until the host has no more to say, goes away, or `stop` is called."""
        self._host.start(self.stop)
        reading = asyncio.create_task(self._read())
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait({reading, stopping}, return_when=asyncio.FIRST_COMPLETED)
        reading.cancel()
        stopping.cancel()
        await self._farewell()

    def stop(self) -> None:
        self._stop.set()

    async def _read(self) -> None:
        async for line in self._host.lines():
            if line is TOO_LONG:
                text = f"A message is longer than {MAX_MESSAGE_BYTES} bytes."
                self._host.write(error(None, INVALID_REQUEST, text))
                continue
            try:
                message = parse(line)
            except (ValueError, RecursionError):
                self._host.write(error(None, PARSE_ERROR, "A line is not a JSON-RPC message."))
                continue
            self._dispatch(message)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE_SECONDS):
                await self._relay.all_answered()

    def _dispatch(self, message: Message) -> None:
        modern = message.modern_version is not None
        if (translated := self._translated.get(modern)) is not None and message.method != "initialize":
            translated.take(message)
            return
        if message.method == "notifications/cancelled" and self._cancel(message):
            return
        waits = modern and self._transport.authorization.waits_at is not None
        if (
            waits or (self._lobby.open and not modern and message.method != "initialize")
        ) and self._lobby.takes(message):
            return
        self._start(self._relay.open(message), modern)

    def _connect(self, initialize: Message) -> None:
        """Once more, for a host that was answered already."""
        call = self._relay.open(initialize)
        call.answered_here = True
        self._start(call, modern=False)

    def _start(self, call: Call, modern: bool) -> None:
        message = call.message
        task = asyncio.create_task(self._send(call, None if modern else self._handshake))
        call.task = task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if message.method in _HANDSHAKE:
            self._handshake = task
        if (modern and message.ids) or message.method == "initialize":
            self._lobby.watch(call)

    def _cancel(self, message: Message) -> bool:
        """True when the notification ends here: a 2026-07-28 request is cancelled by closing it."""
        call = self._relay.find(message.params.get("requestId"))
        if call is not None:
            call.cancelled = True
            if call.message.modern_version is not None and call.task is not None:
                call.task.cancel()
                return True
        return message.modern_version is not None

    async def _send(self, call: Call, after: asyncio.Task[None] | None) -> None:
        while after is not None and not after.done():
            await asyncio.wait({after})
            if self._handshake is not asyncio.current_task():
                after = self._handshake  # an initialized that the lobby held comes first, too
        message = call.message
        opened_late = self._lobby.open and message.modern_version is None and message.method != "initialize"
        if opened_late and self._lobby.takes(message):
            self._relay.settle(call)
            return
        translated = self._translated.get(message.modern_version is not None)
        if translated is not None and message.method != "initialize":
            self._relay.settle(call)
            translated.take(message)
            return
        try:
            await self._in_its_era(call)
        except ClientError as problem:
            log.info("%s: %s", call.message.method or "answer", problem)
            self._relay.fail(call, str(problem))
        except Exception as problem:  # the host gets an answer whatever happens
            log.error("unexpected: %s", describe(problem))  # noqa: TRY400
            self._relay.fail(call, "The bridge failed unexpectedly; see its log.")
        finally:
            self._relay.settle(call)
            if message.method == "initialize":
                if call.result is not None:
                    self._transport.authorization.introduced(call.result)
                if call.answered_here:
                    self._lobby.left(call)

    async def _in_its_era(self, call: Call) -> None:
        """Send as it is; where the server speaks the other era only, through a translator."""
        modern = call.message.modern_version is not None
        era = self._modern_era if modern else self._handshake_era
        pinned = self._transport.settings.protocol
        if pinned is not None and modern != (pinned == MODERN_VERSION):
            if not await self._translate(call):
                raise ClientError(f"The server does not speak {pinned} (see --protocol).")
            return
        try:
            await era.send(call)
        except WrongEraError as wrong:
            if pinned is not None or not await self._translate(call):
                await wrong.refusal()

    async def _translate(self, call: Call) -> bool:
        """Whether the server speaks the other era; then the call is on its way there."""
        from . import translation  # most bridges never need it

        message = call.message
        if message.modern_version is not None:
            async with self._introducing:
                if True not in self._translated:
                    found = await translation.before_a_handshake_server(self._transport, self._host, message)
                    if found is None:
                        return False
                    self._translated[True] = found
            self._relay.settle(call)
            self._translated[True].take(message)
            return True
        if message.method != "initialize":
            return False
        if (before := self._translated.pop(False, None)) is not None:
            await before.close()
        introduced = await translation.before_a_modern_server(self._transport, self._host, message)
        if introduced is None:
            return False
        self._translated[False], result = introduced
        answer = b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (encode(message.value["id"]), result)
        self._relay.deliver(answer)
        return True

    async def _farewell(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        with contextlib.suppress(TimeoutError, ClientError):
            async with asyncio.timeout(GRACE_SECONDS):
                await self._handshake_era.close()
                for translated in self._translated.values():
                    await translated.close()
        await self._transport.close()
        await self._host.close(GRACE_SECONDS)
