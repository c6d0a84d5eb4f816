"""A stage for the combination: servers and a client that only record, and a clock that a test moves."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from mcp_streamablehttp_proxy._common import jsonrpc
from mcp_streamablehttp_proxy._common.channel import ChannelError, Owner, Turn, TurnCancelledError
from mcp_streamablehttp_proxy._common.jsonrpc import Message
from mcp_streamablehttp_proxy.combined.channel import Combined
from mcp_streamablehttp_proxy.combined.names import Names

from ..support import Json

PREFIX = "io.modelcontextprotocol/"


class Timer:
    def __init__(self, due: float, callback: Callable[[], object]) -> None:
        self.due, self.callback, self.over = due, callback, False

    def cancel(self) -> None:
        self.over = True


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[Timer] = []

    def call_later(self, delay: float, callback: Callable[..., object], /, *args: Any) -> Timer:
        timer = Timer(self.now + delay, lambda: callback(*args))
        self.timers.append(timer)
        return timer

    def advance(self, seconds: float) -> None:
        self.now += seconds
        while due := [timer for timer in self.timers if not timer.over and timer.due <= self.now]:
            first = min(due, key=lambda timer: timer.due)
            first.over = True
            first.callback()


class Server:
    """Keeps what it is sent, and says what a test has it say."""

    owners: tuple[Owner, ...] = ()

    def __init__(self, name: str) -> None:
        self.name = name
        self.turns: list[Turn] = []
        self.cancelled: list[Turn] = []
        self.broken: str | None = None

    @property
    def open(self) -> Iterable[Turn]:
        return [turn for turn in self.turns if not turn.settled]

    def attach(self, owner: Owner) -> None:
        raise NotImplementedError

    def detach(self, owner: Owner) -> None:
        raise NotImplementedError

    def call(self, turn: Turn) -> None:
        if self.broken is not None:
            raise ChannelError(f"server {self.name} {self.broken}")
        self.turns.append(turn)

    def notify(self, message: Message, owner: Owner | None = None) -> None:
        raise NotImplementedError

    def answer(self, message: Message, owner: Owner) -> bool:
        raise NotImplementedError

    def cancel(self, turn: Turn, reason: str) -> None:
        self.cancelled.append(turn)
        turn.settle(TurnCancelledError(reason))

    def expire(self, turn: Turn, reason: str) -> None:
        raise NotImplementedError

    def saw(self) -> Json:
        """The newest request."""
        found: Json = json.loads(self.turns[-1].message.raw)
        return found

    def results(self, **result: Any) -> None:
        turn = self.turns[-1]
        turn.settle(turn.message.answered(jsonrpc.encode(result)))

    def fails(self, code: int, reason: str) -> None:
        turn = self.turns[-1]
        turn.settle(turn.message.refused(code, reason))

    def ends(self) -> None:
        self.turns[-1].settle(ChannelError(f"server {self.name} exited"))

    def says(self, method: str, **params: Any) -> None:
        turn = self.turns[-1]
        turn.owner.deliver(Message.notification(method, params), turn)


class Stage:
    """Two servers, `a` and `b`, whose names begin with `a_` and `b_`, and a client of both."""

    label = "client"

    def __init__(self, prefixes: Mapping[str, str] | None = None) -> None:
        prefixes = prefixes or {"a": "a_", "b": "b_"}
        self.servers = {name: Server(name) for name in prefixes}
        self.a, self.b = list(self.servers.values())[:2]
        self.clock = Clock()
        self.heard: list[Json] = []
        info = {"name": "both", "version": "1"}
        self.channel = Combined("both", self.servers, Names(prefixes), info, self.clock)

    def call(self, method: str, /, upkeep: bool = False, **params: Any) -> Turn:
        meta = {f"{PREFIX}protocolVersion": "2026-07-28", f"{PREFIX}clientCapabilities": {}}
        message = Message.request(method, {**params, "_meta": meta}, b'"r1"')
        turn = Turn(message, self, principal="ada", upkeep=upkeep)
        self.channel.call(turn)
        return turn

    def deliver(self, message: Message, turn: Turn | None) -> None:
        self.heard.append(json.loads(message.raw))

    def wants(self, message: Message) -> bool:
        return True

    def lost(self, reason: str) -> None:
        raise NotImplementedError


def result(turn: Turn) -> Json:
    found: Json = json.loads(turn.response().raw)["result"]
    return found


def error(turn: Turn) -> Json:
    found: Json = json.loads(turn.response().raw)["error"]
    return found
