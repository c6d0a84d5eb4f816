"""A host of one era in front of a server of the other: common's translators, put between the two.

Imported when a server turns out to speak the other era only; most never do.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Iterable
from typing import Any

from msgspec import Raw

from . import __version__
from ._common import jsonrpc
from ._common.channel import Channel, ChannelError, Owner, Turn, TurnCancelledError
from ._common.envelope import envelope_of, wrap
from ._common.error_codes import INTERNAL_ERROR
from ._common.handshake_to_modern import HandshakeToModern
from ._common.introduction import initialize_from_discover, speaks_modern
from ._common.jsonrpc import Kind, Message
from ._common.modern_to_handshake import ModernToHandshake
from ._common.parked_calls import ParkedCalls
from ._common.versions import LATEST_HANDSHAKE_VERSION
from .errors import ClientError
from .handshake import HandshakeEra
from .host import Host
from .jsonrpc import Message as HostMessage
from .jsonrpc import parse
from .modern import ModernEra
from .relay import Call, Relay
from .transport import Transport

log = logging.getLogger(__name__)

Era = HandshakeEra | ModernEra
_CLIENT = {"name": "mcp-streamablehttp-client", "version": __version__}


class _Relay(Relay):
    """Gives what the server says to a channel instead of the host."""

    def __init__(self, hear: Callable[[bytes, Call | None], None]) -> None:
        self._hear = hear
        super().__init__(_NoHost())

    def hand_over(self, raw: bytes, source: Call | None) -> None:
        self._hear(raw, source)


class _NoHost:
    """A channel has owners; errors of its calls settle their turns."""

    def write(self, line: bytes) -> None: ...


class RemoteChannel:
    """Implements common's Channel: the remote server in its own era."""

    def __init__(self, transport: Transport, make_era: Callable[[Transport, Relay], Era]) -> None:
        self.name = transport.authority
        self._relay = _Relay(self._heard)
        self.era = make_era(transport, self._relay)
        self._ids = itertools.count(1)
        self._owners: list[Owner] = []
        self._turns: dict[bytes, Turn] = {}
        self._calls: dict[Call, Turn] = {}
        self._asked: dict[bytes, Owner] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def owners(self) -> Iterable[Owner]:
        return self._owners

    @property
    def open(self) -> Iterable[Turn]:
        return [turn for turn in self._turns.values() if not turn.upkeep]

    def attach(self, owner: Owner) -> None:
        self._owners.append(owner)

    def detach(self, owner: Owner) -> None:
        if owner in self._owners:
            self._owners.remove(owner)
        for turn in [turn for turn in self._turns.values() if turn.owner is owner]:
            self.cancel(turn, "the client has gone")

    def call(self, turn: Turn) -> None:
        turn.id = jsonrpc.encode(next(self._ids))
        self._turns[turn.id] = turn
        call = self._relay.open(parse(turn.message.with_id(turn.id)))
        self._calls[call] = turn
        call.task = self._start(self._send(call, turn))

    def notify(self, message: Message, owner: Owner | None = None) -> None:
        self._start(self.tell(message.raw))

    def answer(self, message: Message, owner: Owner) -> bool:
        if message.id is None or self._asked.pop(message.id, None) is None:
            return False
        self._start(self.tell(message.raw))
        return True

    def cancel(self, turn: Turn, reason: str) -> None:
        if self._turns.pop(turn.id, None) is None:
            return
        for call in [call for call, of in self._calls.items() if of is turn]:
            call.cancelled = True
            if isinstance(self.era, ModernEra):
                if call.task is not None:
                    call.task.cancel()
            else:
                self.notify(Message.cancellation(turn.id, reason))
        turn.settle(TurnCancelledError(reason))

    def expire(self, turn: Turn, reason: str) -> None:
        self.cancel(turn, reason)

    async def tell(self, raw: bytes) -> None:
        """Send what has no answer; what became of it is for the log."""
        try:
            await self.era.send(self._relay.open(parse(raw)))
        except ClientError as problem:
            log.warning("a message was not delivered: %s", problem)

    async def close(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        if isinstance(self.era, HandshakeEra):
            await self.era.close()

    def _start(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _send(self, call: Call, turn: Turn) -> None:
        problem = "the server gave no answer"
        try:
            await self.era.send(call)
        except ClientError as failure:
            problem = str(failure)
        finally:
            self._relay.settle(call)
            self._calls.pop(call, None)
            if self._turns.pop(turn.id, None) is not None:
                turn.settle(ChannelError(problem))

    def _heard(self, raw: bytes, source: Call | None) -> None:
        try:
            message = jsonrpc.parse(raw)
        except jsonrpc.MessageError as problem:
            log.warning("the server sent something that is no message: %s", problem)
            return
        if message.kind is Kind.RESPONSE:
            if (answered := self._turns.pop(message.id or b"", None)) is not None:
                answered.settle(message)
            return
        turn = self._calls.get(source) if source is not None else self._by_token(message)
        if message.kind is Kind.REQUEST:
            owner = turn.owner if turn is not None else next(iter(self._owners), None)
            if owner is not None and message.id is not None:
                self._asked[message.id] = owner
                owner.deliver(message, turn)
        elif turn is not None:
            turn.owner.deliver(message, turn)
        else:
            for owner in tuple(self._owners):
                if owner.wants(message):
                    owner.deliver(message, None)

    def _by_token(self, message: Message) -> Turn | None:
        token = message.params.get("progressToken")
        return next((turn for turn in self._turns.values() if token and turn.token == bytes(token)), None)


class Translated:
    """The host as the owner of what it asks a translator; it hears everything."""

    label = "the host"

    def __init__(
        self, host: Host, remote: RemoteChannel, translator: Channel, capabilities: dict[str, Any]
    ) -> None:
        self._host = host
        self._remote = remote
        self._translator = translator
        self._capabilities = capabilities
        translator.attach(self)

    def take(self, message: HostMessage) -> None:
        """A message of the host, or a batch of them."""
        items = message.value if isinstance(message.value, list) else None
        for raw in [message.raw] if items is None else jsonrpc.split_batch(message.raw):
            self._take(jsonrpc.parse(raw))

    def _take(self, message: Message) -> None:
        if message.kind is Kind.RESPONSE:
            self._translator.answer(message, self)
        elif message.kind is Kind.REQUEST:
            turn = Turn(message, self, principal=self.label, capabilities=self._capabilities)
            try:
                self._translator.call(turn)
            except ChannelError as problem:
                turn.settle(problem)
            turn.then(self._answered)
        elif message.method == "notifications/cancelled":
            wanted = bytes(message.params.get("requestId") or b"")
            for turn in self._translator.open:
                if turn.owner is self and turn.client_id == wanted:
                    self._translator.cancel(turn, "cancelled by the client")
            self._translator.notify(message, self)
        else:
            self._translator.notify(message, self)

    def _answered(self, turn: Turn) -> None:
        try:
            response = turn.response()
        except TurnCancelledError:
            return
        except ChannelError as problem:
            response = turn.message.refused(INTERNAL_ERROR, str(problem))
        self._host.write(response.with_id(turn.client_id))

    def deliver(self, message: Message, turn: Turn | None) -> None:
        self._host.write(message.raw)

    def wants(self, message: Message) -> bool:
        return True

    def lost(self, reason: str) -> None:
        log.warning("%s", reason)

    async def close(self) -> None:
        await self._remote.close()


async def before_a_modern_server(
    transport: Transport, host: Host, initialize: HostMessage
) -> tuple[Translated, bytes] | None:
    """For a host that shakes hands, with the result of its `initialize`; None when the server does
    not speak 2026-07-28 either."""
    asked = jsonrpc.parse(initialize.raw)
    client_info = asked.params.get("clientInfo", Raw(jsonrpc.encode(_CLIENT)))
    remote = RemoteChannel(transport, ModernEra)
    envelope = envelope_of(client_info, Raw(b"{}"))
    discovered = speaks_modern(await _asked(remote, wrap(Message.request("server/discover", {}), envelope)))
    if discovered is None:
        await remote.close()
        return None
    translator = HandshakeToModern(remote, discovered, client_info)
    version = initialize.params.get("protocolVersion")
    result = initialize_from_discover(discovered, version if isinstance(version, str) else "")
    capabilities = initialize.params.get("capabilities")
    can = capabilities if isinstance(capabilities, dict) else {}
    return Translated(host, remote, translator, can), result


async def before_a_handshake_server(
    transport: Transport, host: Host, first: HostMessage
) -> Translated | None:
    """For a host of 2026-07-28, whose first message this is; None when the server takes no handshake."""
    meta = jsonrpc.parse(first.raw).meta
    params = {
        "protocolVersion": _pinned(transport) or LATEST_HANDSHAKE_VERSION,
        "capabilities": meta.get("io.modelcontextprotocol/clientCapabilities", Raw(b"{}")),
        "clientInfo": meta.get("io.modelcontextprotocol/clientInfo", Raw(jsonrpc.encode(_CLIENT))),
    }
    remote = RemoteChannel(transport, HandshakeEra)
    answer = await _asked(remote, Message.request("initialize", params))
    if answer is None or answer.result is None:
        await remote.close()
        return None
    await remote.tell(Message.notification("notifications/initialized").raw)
    translator = ModernToHandshake(remote, answer.result, ParkedCalls())
    return Translated(host, remote, translator, {})


def _pinned(transport: Transport) -> str | None:
    protocol = transport.settings.protocol
    return protocol if protocol is not None and protocol[:2] == "20" else None


class _Asker:
    """The owner of this program's own questions."""

    label = "the bridge"

    def deliver(self, message: Message, turn: Turn | None) -> None: ...

    def wants(self, message: Message) -> bool:
        return False

    def lost(self, reason: str) -> None: ...


async def _asked(remote: RemoteChannel, message: Message) -> Message | None:
    """The answer to a question of our own, None when there is none."""
    turn = Turn(message, _Asker())
    remote.call(turn)
    try:
        return await turn.answered()
    except (ChannelError, TurnCancelledError) as problem:
        log.debug("%s: %s", message.method, problem)
        return None
