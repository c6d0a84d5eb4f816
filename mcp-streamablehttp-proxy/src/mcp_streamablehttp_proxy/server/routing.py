"""Who hears what a server says on its own.

What it says goes to the owner it belongs to. What cannot be told to belong to anyone is not shown to
anyone.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

from msgspec import Raw

from .._common import jsonrpc
from .._common.channel import LoopTimers, Owner, Timers, Turn
from .._common.envelope import SUBSCRIPTION_ID, tag
from .._common.error_codes import INTERNAL_ERROR
from .._common.jsonrpc import Kind, Message
from .questions import NOBODY, Questions

log = logging.getLogger(__name__)

_KEPT = 1024
"""Progress tokens, and questions without an answer, that are remembered."""

Known = TypeVar("Known")

_SUBSCRIPTION_BYTES = SUBSCRIPTION_ID.encode()


class Routing:
    """The open turns of one server process, its owners, and what it asked them."""

    def __init__(self, write: Callable[[bytes], None], *, shared: bool, timers: Timers | None = None) -> None:
        self.shared = shared
        """Whether turns may be of several clients; else all is of one."""
        self.turns: dict[bytes, Turn] = {}
        self.owners: list[Owner] = []
        self.questions = Questions(self.turns, self._put, self._refuse, timers or LoopTimers())
        self._write = write
        self._asked: OrderedDict[bytes, tuple[Owner, Turn | None]] = OrderedDict()
        self._tokens: OrderedDict[bytes, tuple[Turn, bytes]] = OrderedDict()

    # towards the server

    def send(self, turn: Turn) -> bytes:
        """Open a turn, whose id is set; the line for the server, with a progress token of its own."""
        message = turn.message
        if self.shared and (token := turn.token) is not None:
            meta = jsonrpc.dump({**message.meta, "progressToken": turn.id})
            message = message.with_params({**message.params, "_meta": meta})
            _remember(self._tokens, turn.id, (turn, token))
        self.turns[turn.id] = turn
        return message.with_id(turn.id)

    def end(self, turn: Turn, *, answered: bool) -> None:
        """Close a turn: the server answered it, or was told to stop."""
        del self.turns[turn.id]
        if self.shared:
            for id_ in [id_ for id_, (_, about) in self._asked.items() if about is turn]:
                del self._asked[id_]
            if not turn.background:
                (self.questions.answered if answered else self.questions.cancelled)(turn)

    def answer(self, message: Message, owner: Owner) -> bool:
        """Pass on an owner's answer; False if the server never asked this owner."""
        if message.id is None or self._asked.get(message.id, (None,))[0] is not owner:
            return False
        del self._asked[message.id]
        self._write(message.raw)
        return True

    def forget(self, owner: Owner) -> None:
        """Refuse what the server asked an owner that has gone."""
        if owner in self.owners:
            self.owners.remove(owner)
        for id_ in [id_ for id_, (asked, _) in self._asked.items() if asked is owner]:
            del self._asked[id_]
            self._write(jsonrpc.error(id_, INTERNAL_ERROR, "the client has gone"))
        for token in [token for token, (turn, _) in self._tokens.items() if turn.owner is owner]:
            del self._tokens[token]

    def close(self) -> tuple[list[Turn], list[Owner]]:
        """Nobody hears anything any more; the turns to settle, and the owners to tell."""
        turns, owners = list(self.turns.values()), list(self.owners)
        self.turns.clear()
        self.owners.clear()
        self._asked.clear()
        self.questions.close()
        return turns, owners

    # from the server

    def hear(self, message: Message) -> None:
        """A request or notification of the server."""
        if message.method == "notifications/progress":
            self._progress(message)
        elif message.kind is Kind.REQUEST:
            self._question(message)
        elif message.method == "notifications/cancelled":
            self._withdrawn(message)
        elif _SUBSCRIPTION_BYTES in message.raw and (id_ := message.meta.get(SUBSCRIPTION_ID)) is not None:
            turn = self.turns.get(bytes(id_))
            if turn is not None:
                turn.owner.deliver(tag(message, SUBSCRIPTION_ID, turn.client_id), turn)
        elif message.method.endswith("/list_changed") or message.method == "notifications/resources/updated":
            for owner in list(self.owners):
                if owner.wants(message):
                    owner.deliver(message, None)
        else:
            turn = self._about()
            target = turn.owner if turn is not None else self._only_owner()
            if target is None:
                log.debug("notification for nobody dropped")
            else:
                target.deliver(message, turn)

    def _progress(self, message: Message) -> None:
        token = bytes(message.params.get("progressToken") or b"")
        if self.shared:
            known = self._tokens.get(token)
            if known is not None:
                turn, original = known
                own = message.with_params({**message.params, "progressToken": Raw(original)})
                turn.owner.deliver(own, turn)
            return
        for turn in self.turns.values():
            if turn.token == token:
                turn.owner.deliver(message, turn)
                return
        for owner in self.owners:
            owner.deliver(message, None)

    def _question(self, message: Message) -> None:
        if not self.shared and (turn := self._about()) is not None:
            self._put(message, turn)
        elif self.shared and self._under_way and message.method != "ping":
            self.questions.ask(message)
        elif (owner := self._only_owner()) is not None:
            self._hand(message, owner, None)
        elif message.method == "ping":
            self._write(jsonrpc.result(message.id or b"null", b"{}"))
        else:
            self._refuse(message, NOBODY)

    def _withdrawn(self, message: Message) -> None:
        wanted = bytes(message.params.get("requestId") or b"")
        self.questions.withdraw(wanted)
        asked, turn = self._asked.pop(wanted, (None, None))
        listening = self.turns.get(wanted)
        if asked is not None:
            asked.deliver(message, turn)
        elif listening is not None and listening.background:
            listening.owner.deliver(message, listening)

    def _about(self) -> Turn | None:
        """The call that a message without a mark of its own is about, if there is no doubt."""
        if self.shared:
            return self.questions.only()
        return next((turn for turn in reversed(self.turns.values()) if not turn.background), None)

    def _only_owner(self) -> Owner | None:
        return self.owners[0] if len(self.owners) == 1 and not self._under_way else None

    @property
    def _under_way(self) -> bool:
        return not self.questions.quiet or any(not turn.background for turn in self.turns.values())

    def _put(self, message: Message, turn: Turn) -> None:
        self._hand(message, turn.owner, turn)

    def _hand(self, message: Message, owner: Owner, turn: Turn | None) -> None:
        assert message.id is not None
        _remember(self._asked, message.id, (owner, turn))
        owner.deliver(message, turn)

    def _refuse(self, message: Message, reason: str) -> None:
        self._write(message.refused(INTERNAL_ERROR, reason).raw)


def _remember(known: OrderedDict[bytes, Known], key: bytes, value: Known) -> None:
    known[key] = value
    if len(known) > _KEPT:
        known.popitem(last=False)
