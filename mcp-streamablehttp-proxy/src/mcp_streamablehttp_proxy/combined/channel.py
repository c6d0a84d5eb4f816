"""The servers as one channel of 2026-07-28: everything goes to the one that it is for, or to all of them.

A server that does not answer in time, or not at all, is left out, and the others answer. When it is there
again, listeners are told that the lists have changed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping

from msgspec import Raw

from .._common import jsonrpc
from .._common.channel import Channel, ChannelError, LoopTimers, Owner, Timers, Turn, TurnCancelledError
from .._common.era_words import RESOURCE_NOT_FOUND
from .._common.error_codes import INVALID_PARAMS, METHOD_NOT_FOUND
from .._common.jsonrpc import Kind, Message, MessageError
from .._common.subscriptions import LISTEN
from .listening import Listening
from .merged import LISTINGS, Listing, cursors, introduction, page
from .names import Names
from .resources import Resources

log = logging.getLogger(__name__)

PATIENCE = 30.0
"""Seconds that one server may take for its part of a list, before the others are shown without it."""

_NAMED = frozenset(("tools/call", "prompts/get"))
_NO_SUCH_THING = tuple(Raw(b"%d" % code) for code in (RESOURCE_NOT_FOUND, INVALID_PARAMS, METHOD_NOT_FOUND))
"""Errors of a server that does not have a resource."""


class Sent:
    """What the turn at one server is for: the context of an inner turn."""

    __slots__ = ("outer", "server", "shared")

    def __init__(self, outer: Turn, server: str, *, shared: bool) -> None:
        self.outer = outer
        self.server = server
        self.shared = shared
        """Whether other servers work on the same request, so that their progress would mix."""


class Combined:
    """`servers` are channels of 2026-07-28 by name, in the order in which they are shown."""

    label = "combination"

    def __init__(
        self,
        name: str,
        servers: Mapping[str, Channel],
        names: Names,
        info: Mapping[str, str],
        timers: Timers | None = None,
    ) -> None:
        self.name = name
        self._servers = servers
        self._names = names
        self._info = info
        self._timers = timers or LoopTimers()
        self._resources = Resources(servers)
        self._owners: list[Owner] = []
        self._open: dict[Turn, list[Turn]] = {}
        self._away: dict[str, str] = {}
        """Why a server was left out, for those that were."""
        self._listening = Listening(servers, self._send, self._resources.owner, self._timers)

    # Channel

    @property
    def owners(self) -> Iterable[Owner]:
        return self._owners

    @property
    def open(self) -> Iterable[Turn]:
        return [turn for turn in (*self._open, *self._listening.open) if not turn.upkeep]

    def attach(self, owner: Owner) -> None:
        self._owners.append(owner)

    def detach(self, owner: Owner) -> None:
        if owner in self._owners:
            self._owners.remove(owner)
        for turn in [turn for turn in (*self._open, *self._listening.open) if turn.owner is owner]:
            self.cancel(turn, "the client has gone")

    def call(self, turn: Turn) -> None:
        method, params = turn.message.method, turn.message.params
        try:
            if method == "server/discover":
                self._ask(turn, dict.fromkeys(self._servers, turn.message), self._introduce)
            elif method in LISTINGS:
                self._list(turn, LISTINGS[method])
            elif method == LISTEN:
                self._listening.add(turn)
            elif method in _NAMED:
                self._call_named(turn, _text(params.get("name")))
            elif method == "resources/read":
                self._ask_whoever_has(_text(params.get("uri")), turn)
            elif method == "completion/complete":
                self._complete(turn)
            else:
                reason = f"{method} does not say which of several servers it is for"
                turn.settle(turn.message.refused(METHOD_NOT_FOUND, reason))
        except MessageError as problem:
            turn.settle(turn.message.refused(problem.code, problem.reason))

    def notify(self, message: Message, owner: Owner | None = None) -> None:
        """Drops notifications: of those that 2026-07-28 has, none is for a server."""

    def answer(self, message: Message, owner: Owner) -> bool:
        return False

    def cancel(self, turn: Turn, reason: str) -> None:
        if self._drop(turn, reason):
            turn.settle(TurnCancelledError(reason))

    def expire(self, turn: Turn, reason: str) -> None:
        if self._drop(turn, reason):
            turn.settle(turn.expired(self.name, reason))

    def _drop(self, turn: Turn, reason: str) -> bool:
        sent = self._open.pop(turn, None)
        if sent is None:
            return self._listening.drop(turn, reason)
        for inner in sent:
            self._at(inner).cancel(inner, reason)
        return True

    # one server

    def _send(self, outer: Turn, server: str, message: Message, *, shared: bool = False) -> Turn:
        """Send a request to one server, for a turn of the combination's own owner."""
        inner = Turn(
            message,
            self,
            principal=outer.principal,
            capabilities=outer.capabilities,
            asker=outer.asker,
            background=outer.background,
            upkeep=outer.upkeep,
        )
        inner.context = Sent(outer, server, shared=shared)
        try:
            self._servers[server].call(inner)
        except ChannelError as problem:
            inner.settle(problem)
        inner.then(lambda inner: self._heard_of(server, inner))
        return inner

    def _one(self, turn: Turn, server: str, message: Message, then: Callable[[Turn], None]) -> None:
        self._keep(turn)
        inner = self._send(turn, server, message)
        self._open[turn].append(inner)
        inner.then(lambda inner: then(inner) if turn in self._open else None)

    def _keep(self, turn: Turn) -> None:
        if turn not in self._open:
            self._open[turn] = []
            turn.then(lambda _: self._open.pop(turn, None))

    def _at(self, inner: Turn) -> Channel:
        return self._servers[inner.context.server]

    def _call_named(self, turn: Turn, shown: str) -> None:
        found = self._names.owner(shown)
        if found is None:
            kind = "tool" if turn.message.method == "tools/call" else "prompt"
            raise MessageError(INVALID_PARAMS, f"Unknown {kind}: {shown}")
        server, own = found
        message = turn.message.with_params({**turn.message.params, "name": jsonrpc.encode(own)})
        self._one(turn, server, message, lambda inner: _pass_on(inner, turn))

    def _complete(self, turn: Turn) -> None:
        raw = turn.message.params.get("ref")
        ref = jsonrpc.object_members(raw)
        if "uri" in ref:
            self._ask_whoever_has(_text(ref["uri"]), turn)
            return
        shown = _text(ref.get("name"))
        found = self._names.owner(shown)
        if found is None:
            raise MessageError(INVALID_PARAMS, f"Unknown prompt: {shown}")
        own = jsonrpc.dump({**ref, "name": jsonrpc.encode(found[1])})
        message = turn.message.with_params({**turn.message.params, "ref": own})
        self._one(turn, found[0], message, lambda inner: _pass_on(inner, turn))

    def _ask_whoever_has(self, uri: str, turn: Turn) -> None:
        likely = (self._resources.owner(uri), *self._resources.likely(uri), *self._servers)
        self._try(uri, turn, list(dict.fromkeys(one for one in likely if one is not None)), [])

    def _try(self, uri: str, turn: Turn, servers: list[str], failed: list[Turn]) -> None:
        """Ask one after the other until one has it: reading is safe to repeat. Who is known to have it is
        asked alone, unless it has it no more."""
        server, *others = servers

        def answered(inner: Turn) -> None:
            reading = turn.message.method == "resources/read"
            if _result(inner) is not None:
                if reading:
                    self._resources.note(uri, server)
                _pass_on(inner, turn)
                return
            if reading and isinstance(inner.outcome, Message) and not _told(inner):
                self._resources.forget(uri, server)
            if others and self._resources.owner(uri) != server:
                self._try(uri, turn, others, [*failed, inner])
            else:
                _pass_on(next((one for one in (*failed, inner) if _told(one)), inner), turn)

        self._one(turn, server, turn.message, answered)

    # all servers

    def _list(self, turn: Turn, listing: Listing) -> None:
        goes_on = cursors(turn.message.params.get("cursor"))
        messages = dict.fromkeys(self._servers, turn.message)
        if goes_on is not None:
            messages = {
                server: turn.message.with_params(
                    {**turn.message.params, "cursor": jsonrpc.encode(goes_on[server])}
                )
                for server in self._servers
                if server in goes_on
            }

        def show(server: str, own: str) -> str | None:
            if listing.named:
                return self._names.shown(server, own)
            note = self._resources.note if listing.key == "uri" else self._resources.note_template
            return own if note(own, server) else None

        def merge(parts: Mapping[str, Raw], *, whole: bool) -> bytes:
            return page(listing, parts, show, whole=whole, info=self._info)

        self._ask(turn, messages, merge)

    def _introduce(self, parts: Mapping[str, Raw], *, whole: bool) -> bytes:
        return introduction(self._info, parts)

    def _ask(self, turn: Turn, messages: Mapping[str, Message], merge: Callable[..., bytes]) -> None:
        """Send each server its message, and answer when all have answered or time is up."""
        self._keep(turn)
        asked: dict[str, Turn] = {}

        def finish() -> None:
            timer.cancel()
            if turn.settled:
                return
            for server, inner in asked.items():
                if not inner.settled:
                    self._leave_out(server, f"did not answer within {PATIENCE:g} s")
            # Those that are late go on, so that a slow start ends some day.
            self._open.pop(turn, None)
            parts = {
                server: result for server, inner in asked.items() if (result := _result(inner)) is not None
            }
            broken = [inner.outcome for inner in asked.values() if isinstance(inner.outcome, ChannelError)]
            whole = all(isinstance(inner.outcome, Message) for inner in asked.values())
            if not parts and broken and len(broken) == len(asked):
                turn.settle(broken[0])
            else:
                turn.settle(turn.message.answered(merge(parts, whole=whole)))

        timer = self._timers.call_later(PATIENCE, finish)
        turn.then(lambda _: timer.cancel())
        for server, message in messages.items():
            asked[server] = self._send(turn, server, message, shared=True)
        self._open[turn].extend(asked.values())
        for inner in asked.values():
            inner.then(lambda _: finish() if all(one.settled for one in asked.values()) else None)
        if not asked:
            finish()

    # who is there

    @property
    def away(self) -> Mapping[str, str]:
        """Why servers are left out, by name."""
        return self._away

    def _leave_out(self, server: str, reason: str) -> None:
        if server not in self._away:
            log.warning("server left out of the combination", extra={"server": server, "reason": reason})
        self._away[server] = reason

    def _heard_of(self, server: str, inner: Turn) -> None:
        if isinstance(inner.outcome, TurnCancelledError):
            return
        if isinstance(inner.outcome, ChannelError):
            if inner.context.shared:
                self._leave_out(server, str(inner.outcome))
            return
        if self._away.pop(server, None) is not None:
            log.info("server is back in the combination", extra={"server": server})
            self._listening.changed()
        self._listening.awake(server)

    # Owner

    def deliver(self, message: Message, turn: Turn | None) -> None:
        if turn is None:
            return
        if message.kind is Kind.REQUEST:
            reason = "a server of 2026-07-28 asks by its results"
            self._at(turn).answer(message.refused(METHOD_NOT_FOUND, reason), self)
        elif turn.message.method == LISTEN:
            self._listening.hear(message, turn)
        elif not (turn.context.shared and message.method == "notifications/progress"):
            outer: Turn = turn.context.outer
            if not outer.settled:
                outer.owner.deliver(message, outer)

    def wants(self, message: Message) -> bool:
        return False

    def lost(self, reason: str) -> None:
        """Turns are settled one by one; a server that ended is started by the next of them."""


def _text(raw: Raw | None) -> str:
    value = None if raw is None else jsonrpc.decode(raw)
    return value if isinstance(value, str) else ""


def _result(inner: Turn) -> Raw | None:
    return inner.outcome.result if isinstance(inner.outcome, Message) else None


def _told(inner: Turn) -> bool:
    """Whether a server answered, and not only that it has no such thing."""
    if not isinstance(inner.outcome, Message):
        return False
    error = inner.outcome.error
    return error is None or jsonrpc.object_members(error).get("code") not in _NO_SUCH_THING


def _pass_on(inner: Turn, outer: Turn) -> None:
    if inner.outcome is not None:
        outer.refused.extend(inner.refused)
        outer.settle(inner.outcome)
