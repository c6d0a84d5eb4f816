"""A stage for channels: a server and a client that only record, and a clock that a test moves.

Events go in by hand, messages come out in lists: no sockets, no event loop, no sleep.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from common import jsonrpc
from common.channel import Owner, Turn, TurnCancelledError
from common.jsonrpc import Message

PREFIX = "io.modelcontextprotocol/"
JSON = dict[str, Any]


class Clock:
    """Timers that ring when `advance` passes them."""

    def __init__(self) -> None:
        self.now = 0.0
        self._timers: list[_Timer] = []

    def call_later(self, delay: float, callback: Callable[..., object], /, *args: Any) -> _Timer:
        timer = _Timer(self.now + delay, callback, args)
        self._timers.append(timer)
        return timer

    def advance(self, seconds: float) -> None:
        self.now += seconds
        while due := [timer for timer in self._timers if timer.due <= self.now and not timer.over]:
            first = min(due, key=lambda timer: timer.due)
            first.over = True
            first.callback(*first.args)


@dataclass
class _Timer:
    due: float
    callback: Callable[..., object]
    args: tuple[Any, ...]
    over: bool = False

    def cancel(self) -> None:
        self.over = True


@dataclass
class Server:
    """The channel behind a translator: keeps what it is sent, and says what a test has it say."""

    name: str = "stage"
    owners: list[Owner] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    notes: list[JSON] = field(default_factory=list)
    answers: list[JSON] = field(default_factory=list)

    @property
    def open(self) -> Iterable[Turn]:
        return [turn for turn in self.turns if not turn.settled]

    def attach(self, owner: Owner) -> None:
        self.owners.append(owner)

    def detach(self, owner: Owner) -> None:
        self.owners.remove(owner)

    def call(self, turn: Turn) -> None:
        self.turns.append(turn)

    def notify(self, message: Message, owner: Owner | None = None) -> None:
        self.notes.append(read(message))

    def answer(self, message: Message, owner: Owner) -> bool:
        self.answers.append(read(message))
        return True

    def cancel(self, turn: Turn, reason: str) -> None:
        turn.settle(TurnCancelledError(reason))

    def expire(self, turn: Turn, reason: str) -> None:
        raise NotImplementedError

    # what a test has it do

    @property
    def newest(self) -> Turn:
        return self.turns[-1]

    def saw(self, turn: Turn | None = None) -> JSON:
        """The request that a turn (the newest) carries."""
        return read((turn or self.newest).message)

    def results(self, turn: Turn, **result: Any) -> None:
        turn.settle(turn.message.answered(jsonrpc.encode(result)))

    def fails(self, turn: Turn, code: int, reason: str, data: object = None) -> None:
        turn.settle(turn.message.refused(code, reason, data))

    def says(self, turn: Turn | None, method: str, **params: Any) -> None:
        (turn.owner if turn is not None else self.owners[0]).deliver(
            Message.notification(method, params), turn
        )

    def asks(self, turn: Turn | None, id_: str | int, method: str, **params: Any) -> None:
        question = Message.request(method, params, jsonrpc.encode(id_))
        (turn.owner if turn is not None else self.owners[0]).deliver(question, turn)


@dataclass
class Client:
    """An owner that keeps what it hears."""

    label: str = "client"
    heard: list[JSON] = field(default_factory=list)
    ended: str | None = None

    def deliver(self, message: Message, turn: Turn | None) -> None:
        self.heard.append(read(message))

    def wants(self, message: Message) -> bool:
        return True

    def lost(self, reason: str) -> None:
        self.ended = reason

    def turn(self, message: Message, **options: Any) -> Turn:
        return Turn(message, self, **options)


def modern(method: str, capabilities: Mapping[str, Any] | None = None, /, **params: Any) -> Message:
    """A request with its envelope; `meta` adds to that."""
    meta = {
        f"{PREFIX}protocolVersion": "2026-07-28",
        f"{PREFIX}clientInfo": {"name": "stage", "version": "1"},
        f"{PREFIX}clientCapabilities": capabilities or {},
        **params.pop("meta", {}),
    }
    return Message.request(method, {**params, "_meta": meta}, b'"r1"')


def read(message: Message) -> JSON:
    decoded: JSON = json.loads(message.raw)
    return decoded


def result(turn: Turn) -> JSON:
    """The result of a settled turn."""
    found: JSON = read(turn.response())["result"]
    return found


def error(turn: Turn) -> JSON:
    found: JSON = read(turn.response())["error"]
    return found
