"""One stdio server as a channel: ids, open turns, and a process that lives and ends.

The calls of several owners get ids of the process's own id space, so that owners never collide. A session
that shares the process with nobody keeps the ids of its client.
"""

from __future__ import annotations

import itertools
import logging
import re
import time
from collections.abc import Callable, Iterable

from .._common import jsonrpc
from .._common.channel import ChannelError, Owner, Turn, TurnCancelledError
from .._common.error_codes import INTERNAL_ERROR
from .._common.jsonrpc import Kind, Message
from .._common.versions import Era
from ..settings import MIB, Server
from ..wire.lines import Oversize
from .backing import Backing
from .link import LinkError, MakeLink
from .process import MAX_UNREAD_INPUT, Process
from .routing import Routing

log = logging.getLogger(__name__)

_JUNK_LOGGED = 20
"""Lines of one process that are no JSON-RPC and logged all the same."""

_ONLY_FROM_CLIENTS = frozenset({"initialize", "server/discover"})
_FIRST_ID = 2_000_000_000
"""Larger than the ids that a client counts up to, so that no late answer to one is taken for another's,
and yet 31 bits."""
_KEPT_ID = re.compile(rb'\d{1,9}|1\d{9}|"[\w.:-]{1,64}"')
"""An id that every server writes as it read it: smaller than _FIRST_ID, or text without escapes."""
_ANY_ID = rb'\d{1,10}|"[\w.:-]{1,64}"'
_ID_IN_HEAD = re.compile(
    rb'\s*\{(?:\s*"jsonrpc"\s*:\s*"2\.0"\s*,)?\s*"id"\s*:\s*(%b)\s*,\s*"(?:jsonrpc|result|error)"' % _ANY_ID
)
_ID_IN_TAIL = re.compile(rb'[\]}"]\s*,\s*"id"\s*:\s*(%b)\s*\}\s*$' % _ANY_ID)


class Child:
    """A server process. `on_end` is called once when it ends for whatever reason."""

    def __init__(
        self,
        server: Server,
        label: str,
        *,
        shared: bool = False,
        on_end: Callable[[Backing, str], None] | None = None,
        link: MakeLink = Process,
    ) -> None:
        self.server = server
        self.era: Era = "handshake"
        """Of the clients that it was started for."""
        self.served = False
        self.closing = False
        self.may_end = False
        """Whether its end would tell nothing: it is asked for an era that it may not know."""
        self.on_question: Callable[[Message], None] | None = None
        """Hears of every request of the server, before it is routed."""
        self.ended: str | None = None
        self.started = time.monotonic()
        self._link = link(server, label, self._line, self._exited)
        self._routing = Routing(self._link.write, shared=shared)
        self._turns = self._routing.turns
        self._on_end = on_end
        self._ids = itertools.count(_FIRST_ID)
        self.junk = 0
        """Lines on stdout that were no messages."""
        self._fault: str | None = None

    def __repr__(self) -> str:
        return f"<Child {self.server.name} pid={self.pid}>"

    # life

    async def start(self) -> None:
        """Spawn the process. Raises ChannelError if it cannot be spawned."""
        try:
            await self._link.start()
        except LinkError as problem:
            self.ended = f"could not start {problem}"
            raise ChannelError(f"server {self.server.name} {self.ended}") from problem

    async def close(self) -> None:
        """End the process group; open turns are settled with an error."""
        self.closing = True
        await self._link.stop()

    def check_memory(self) -> None:
        """End a process that uses more than `memory`."""
        limit = self.server.memory
        if limit is not None and self.alive and self._link.memory > limit:
            self.fail(f"used more than {limit // MIB} MiB of memory")

    def abandon(self, reason: str) -> None:
        """Answer every open turn with an error, and have the server stop."""
        for turn in list(self.open):
            self.expire(turn, reason)

    def fail(self, reason: str) -> None:
        """Kill a process that can no longer be understood."""
        if self.ended is None:
            log.warning("child failed", extra={**self.tags, "reason": reason})
            self._fault = reason
            self._link.kill()

    @property
    def pid(self) -> int:
        return self._link.pid

    @property
    def alive(self) -> bool:
        return self.ended is None and self._link.running

    @property
    def usable(self) -> bool:
        return self.alive and not self.closing

    @property
    def label(self) -> str:
        return self._link.label

    @label.setter
    def label(self, label: str) -> None:
        self._link.label = label

    @property
    def shared(self) -> bool:
        return self._routing.shared

    @shared.setter
    def shared(self, shared: bool) -> None:
        self._routing.shared = shared

    @property
    def tags(self) -> dict[str, object]:
        return {"server": self.server.name, "session": self.label, "pid": self.pid}

    # Channel

    @property
    def name(self) -> str:
        return self.server.name

    @property
    def owners(self) -> Iterable[Owner]:
        return self._routing.owners

    @property
    def open(self) -> Iterable[Turn]:
        return [turn for turn in self._turns.values() if not turn.upkeep]

    @property
    def quiet(self) -> bool:
        """Whether no call that was cancelled may still be under way."""
        return self._routing.questions.quiet

    def attach(self, owner: Owner) -> None:
        self._routing.owners.append(owner)

    def detach(self, owner: Owner) -> None:
        for turn in [turn for turn in self._turns.values() if turn.owner is owner]:
            self.cancel(turn, "the client has gone")
        self._routing.forget(owner)

    def call(self, turn: Turn) -> None:
        if not self.alive:
            raise ChannelError(f"server {self.server.name} {self.ended or 'is not running'}")
        if self._link.unread > MAX_UNREAD_INPUT:
            raise ChannelError(f"server {self.server.name} does not read its input")
        id_ = turn.message.id if turn.keep_id else None
        if id_ is None or id_ in self._turns or not _KEPT_ID.fullmatch(id_):
            id_ = b"%d" % next(self._ids)
        turn.id = id_
        # A busy server is better woken once for all that comes in one turn of the loop.
        at_once = not self._turns
        self._link.write(self._routing.send(turn), at_once=at_once)

    def notify(self, message: Message, owner: Owner | None = None) -> None:
        if message.method != "notifications/cancelled":
            self._link.write(message.raw)
            return
        wanted = bytes(message.params.get("requestId") or b"")
        for turn in self._turns.values():
            if turn.owner is owner and turn.client_id == wanted:
                own = message.with_params({**message.params, "requestId": turn.id})
                self._link.write(own.raw)
                self._end(turn, TurnCancelledError("cancelled by the client"))
                return

    def answer(self, message: Message, owner: Owner) -> bool:
        return self._routing.answer(message, owner)

    def cancel(self, turn: Turn, reason: str) -> None:
        if self._turns.get(turn.id) is turn:
            self._link.write(Message.cancellation(turn.id, reason).raw)
            self._end(turn, TurnCancelledError(reason))

    def expire(self, turn: Turn, reason: str) -> None:
        if self._turns.get(turn.id) is turn:
            self._link.write(Message.cancellation(turn.id, reason).raw)
            self._end(turn, turn.expired(self.name, reason))

    def _end(self, turn: Turn, outcome: Message | Exception, *, answered: bool = False) -> None:
        self._routing.end(turn, answered=answered)
        turn.settle(outcome)

    # from the server

    def _line(self, line: bytes | Oversize) -> None:
        if isinstance(line, Oversize):
            self._oversize(line)
            return
        if not line or line.isspace():
            return
        try:
            if line.lstrip()[:1] == b"[":
                for item in jsonrpc.split_batch(line):  # as servers of 2025-03-26 may answer
                    self._message(jsonrpc.parse(item))
            else:
                self._message(jsonrpc.parse(line))
        except jsonrpc.MessageError as problem:
            self._not_a_message(line, problem)

    def _message(self, message: Message) -> None:
        if message.kind is Kind.RESPONSE:
            self._response(message)
        elif message.kind is Kind.REQUEST and message.method in _ONLY_FROM_CLIENTS:
            self.fail("repeats its input instead of answering")
        else:
            if message.kind is Kind.REQUEST and self.on_question is not None:
                self.on_question(message)
            self._routing.hear(message)

    def _response(self, message: Message) -> None:
        turn = self._turns.get(message.id) if message.id is not None else None
        if turn is not None:
            self.served = True
            self._end(turn, message, answered=True)
            return
        log.debug("late or unknown response dropped", extra=self.tags)
        if message.id is not None:
            self._routing.questions.late(message.id)

    # what is no message, and the end

    def _not_a_message(self, line: bytes, problem: jsonrpc.MessageError) -> None:
        # A banner, or a print() left in: skipped, for whoever waits for an answer has a time-out.
        self.junk += 1
        if self.junk <= _JUNK_LOGGED:
            more = {"further": "not logged"} if self.junk == _JUNK_LOGGED else {}
            extra = {**self.tags, "problem": problem.reason, "text": line[:200].decode("utf-8", "replace")}
            log.warning("stdout line is not JSON-RPC", extra={**extra, **more})
        self._answer_broken(line[:512], line[-512:], "wrote an answer that is not valid JSON-RPC")

    def _oversize(self, line: Oversize) -> None:
        reason = f"wrote a line of {line.size} bytes, more than the cap of {self.server.max_line}"
        log.warning("stdout line over the cap", extra={**self.tags, "bytes": line.size})
        if not self._answer_broken(line.head, line.tail, reason):
            self.fail(reason)

    def _answer_broken(self, head: bytes, tail: bytes, reason: str) -> bool:
        """Answer the call that a broken line was meant for, when that can be made out."""
        found = _ID_IN_HEAD.match(head) or _ID_IN_TAIL.search(tail)
        turn = self._turns.get(found[1]) if found else None
        if turn is None:
            return False
        text = f"server {self.server.name} {reason}"
        self._end(turn, turn.message.refused(INTERNAL_ERROR, text), answered=True)
        return True

    def _exited(self, how: str) -> None:
        self.ended = self._fault or how
        if not self.served and self._link.last_words:
            self.ended += f": {self._link.last_words}"
        reason = f"server {self.server.name} {self.ended}"
        log.log(
            logging.INFO if self.closing else logging.WARNING,
            "child ended",
            extra={**self.tags, "reason": self.ended},
        )
        turns, owners = self._routing.close()
        if self._on_end is not None:
            self._on_end(self, self.ended)
        for turn in turns:
            turn.settle(ChannelError(reason))
        for owner in owners:
            owner.lost(reason)
