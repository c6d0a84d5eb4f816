"""One stdio server as a partner in JSON-RPC: ids, pending calls, and who hears what it says.

Several owners (sessions, or requests of the stateless era) may share a child. Their calls get ids
of the child's own id space, so that owners never collide; where a child serves one session alone,
its calls keep the ids they came with. What the server says on its
own goes to the owner it belongs to; what cannot be told to belong to anyone is not shown to
anyone.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any, Final

from msgspec import Raw

from . import jsonrpc
from .call import Call, CallCancelled, ChildError, Dialect, Owner, progress_token
from .framing import Oversize
from .jsonrpc import Kind, Message
from .process import MAX_UNREAD_INPUT, Process, SpawnError
from .settings import Era, Server

log = logging.getLogger(__name__)

_JUNK_PATIENCE: Final = 5.0
_JUNK_LINES: Final = 100
_ONLY_FROM_CLIENTS: Final = frozenset({"initialize", "server/discover"})
_KEPT_TOKENS: Final = 1024
_SUBSCRIPTION_ID: Final = "io.modelcontextprotocol/subscriptionId"
_SUBSCRIPTION_BYTES: Final = _SUBSCRIPTION_ID.encode()
_FIRST_ID: Final = 2_000_000_000
"""Larger than the ids that a client counts up to, so that no late answer to one is taken for another's,
and yet 31 bits."""
_KEPT_ID: Final = re.compile(rb'\d{1,9}|1\d{9}|"[\w.:-]{1,64}"')
"""An id that every server writes as it read it: smaller than _FIRST_ID, or text without escapes."""
_ANY_ID: Final = rb'\d{1,10}|"[\w.:-]{1,64}"'
_ID_IN_HEAD: Final = re.compile(
    rb'\s*\{(?:\s*"jsonrpc"\s*:\s*"2\.0"\s*,)?\s*"id"\s*:\s*(%b)\s*,\s*"(?:jsonrpc|result|error)"' % _ANY_ID
)
_ID_IN_TAIL: Final = re.compile(rb'[\]}"]\s*,\s*"id"\s*:\s*(%b)\s*\}\s*$' % _ANY_ID)


class Child:
    """A server process. `on_end` is called once when it ends for whatever reason."""

    def __init__(
        self,
        server: Server,
        label: str,
        *,
        joint: bool = False,
        on_end: Callable[[Child, str], None] | None = None,
    ) -> None:
        self.server = server
        self.joint = joint
        self.era: Era | None = None
        self.introduction: Raw | None = None
        """Result of `initialize` or `server/discover`, when the proxy itself asked for it."""
        self.greeting: Message | None = None
        """Answer to an `initialize` that was asked before its client was there."""
        self.extra: dict[str, Any] = {}
        """For the era that owns this child; nothing here reads it."""
        self.dialect: Dialect | None = None
        """Speaks for the owners, once it is set; its own calls go to the child as they are."""
        self.observer: Callable[[Message], None] | None = None
        """Hears of every changed list before the owners do."""
        self.served = False
        self.closing = False
        self.ended: str | None = None
        self.started = time.monotonic()
        self.last_used = self.started
        self._process = Process(server, label, self._line, self._exited)
        self._on_end = on_end
        self._ids = itertools.count(_FIRST_ID)
        self._calls: dict[bytes, Call] = {}
        self._owners: list[Owner] = []
        self._asked: dict[bytes, Owner] = {}
        self._tokens: OrderedDict[bytes, tuple[Owner, bytes]] = OrderedDict()
        self._junk = 0
        self._fault: str | None = None

    def __repr__(self) -> str:
        return f"<Child {self.server.name} pid={self.pid}>"

    # life

    async def start(self) -> None:
        """Spawn the process. Raises ChildError if it cannot be spawned."""
        try:
            await self._process.start()
        except SpawnError as problem:
            self.ended = f"could not start {problem}"
            raise ChildError(f"server {self.server.name} {self.ended}") from None

    async def close(self) -> None:
        """End the process group; pending calls are answered with an error."""
        self.closing = True
        await self._process.stop()

    def fail(self, reason: str) -> None:
        """Kill a child that can no longer be understood."""
        if self.ended is None:
            log.warning("child failed", extra={**self.tags, "reason": reason})
            self._fault = reason
            self._process.kill()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self.ended is None and self._process.pid != 0

    @property
    def label(self) -> str:
        return self._process.label

    @label.setter
    def label(self, label: str) -> None:
        self._process.label = label

    @property
    def tags(self) -> dict[str, object]:
        return {"server": self.server.name, "session": self.label, "pid": self.pid}

    # owners

    @property
    def owners(self) -> Iterable[Owner]:
        return self._owners

    @property
    def busy(self) -> bool:
        return bool(self._calls)

    def attach(self, owner: Owner) -> None:
        self._owners.append(owner)

    def detach(self, owner: Owner) -> None:
        """Forget an owner: cancel its calls at the server, refuse what the server asked it."""
        if owner in self._owners:
            self._owners.remove(owner)
        if self.dialect is not None:
            self.dialect.detach(owner)
        for call in [call for call in self._calls.values() if call.owner is owner]:
            self.cancel(call, "the client has gone")
        for id_ in [id_ for id_, asked in self._asked.items() if asked is owner]:
            del self._asked[id_]
            self._process.write(jsonrpc.error(id_, jsonrpc.INTERNAL_ERROR, "the client has gone"))
        for ours in [ours for ours, (who, _) in self._tokens.items() if who is owner]:
            del self._tokens[ours]
        self.last_used = time.monotonic()

    # towards the server

    def call(self, message: Message, owner: Owner, *, aside: bool = False, keep_id: bool = False) -> Call:
        """Send a request, under an id of its own unless the one it has can be kept, which is only for an
        owner who shares the child with nobody. Raises ChildError if the server cannot take it."""
        self._check()
        if self.dialect is not None and owner is not self.dialect:
            return self.dialect.call(message, owner)
        id_ = message.id if keep_id else None
        if id_ is None or id_ in self._calls or not _KEPT_ID.fullmatch(id_):
            id_ = b"%d" % next(self._ids)
        if self.joint and (token := progress_token(message)) is not None:
            meta = {**message.meta, "progressToken": id_}
            message = message.with_params({**message.params, "_meta": jsonrpc.dump(meta)})
            self._remember(id_, owner, token)
        # A busy server is better woken once for all that comes in one turn of the loop.
        self._process.write(message.with_id(id_), at_once=not self._calls)
        future: asyncio.Future[Message | None] = asyncio.get_running_loop().create_future()
        call = Call(id_, message, owner, future)
        call.aside = aside
        self._calls[id_] = call
        return call

    async def ask(self, method: str, params: object, owner: Owner) -> Message:
        """A request of the proxy's own; the response, result or error. Raises ChildError."""
        message = jsonrpc.parse(jsonrpc.request(0, method, params))
        return await self.call(message, owner).response()

    def notify(self, message: Message, owner: Owner) -> None:
        """Send a notification; ids in `notifications/cancelled` become the child's."""
        if self.dialect is not None and owner is not self.dialect:
            self.dialect.notify(message, owner)
            return
        if message.method == "notifications/cancelled":
            wanted = message.params.get("requestId")
            for call in self._calls.values():
                if call.owner is owner and wanted is not None and bytes(wanted) == call.client_id:
                    params = {**message.params, "requestId": call.id}
                    self._process.write(message.with_params(params).raw)
                    self._abandon(call, "cancelled by the client")
                    return
            return
        self._process.write(message.raw)

    def answer(self, message: Message, owner: Owner) -> bool:
        """Pass on the answer to a request of the server; False if it never asked this owner."""
        if self.dialect is not None and owner is not self.dialect:
            return self.dialect.answer(message, owner)
        if message.id is None or self._asked.get(message.id) is not owner:
            return False
        del self._asked[message.id]
        self._process.write(message.raw)
        return True

    def cancel(self, call: Call, reason: str) -> None:
        """Tell the server to stop, and forget the call: a late response is dropped."""
        if self.dialect is not None and call.owner is not self.dialect:
            self.dialect.cancel(call, reason)
            return
        if call.id in self._calls:
            params = {"requestId": Raw(call.id), "reason": reason}
            self._process.write(jsonrpc.notification("notifications/cancelled", params))
            self._abandon(call, reason)

    def expire(self, call: Call, reason: str) -> None:
        """Tell the server to stop, and answer the call with an error of the proxy's own."""
        if self.dialect is not None and call.owner is not self.dialect:
            self.dialect.expire(call, reason)
            return
        if self._calls.pop(call.id, None) is not None:
            params = {"requestId": Raw(call.id), "reason": reason}
            self._process.write(jsonrpc.notification("notifications/cancelled", params))
            self._settle(call, f"server {self.server.name} {reason}", jsonrpc.REQUEST_TIMEOUT)

    def _abandon(self, call: Call, reason: str) -> None:
        del self._calls[call.id]
        if not call.future.done():
            call.future.set_exception(CallCancelled(reason))
            call.future.exception()

    def _check(self) -> None:
        if not self.alive:
            raise ChildError(f"server {self.server.name} {self.ended or 'is not running'}")
        if self._process.unread > MAX_UNREAD_INPUT:
            raise ChildError(f"server {self.server.name} does not read its input")

    def _remember(self, ours: bytes, owner: Owner, token: bytes) -> None:
        self._tokens[ours] = (owner, token)
        if len(self._tokens) > _KEPT_TOKENS:
            self._tokens.popitem(last=False)

    # from the server

    def _line(self, line: bytes | Oversize) -> None:
        if isinstance(line, Oversize):
            self._oversize(line)
            return
        if not line or line.isspace():
            return
        try:
            message = jsonrpc.parse(line)
        except jsonrpc.MessageError as problem:
            self._not_a_message(line, problem)
            return
        if message.kind is Kind.RESPONSE:
            self._response(message)
        else:
            self._spoken(message)

    def _response(self, message: Message) -> None:
        call = self._calls.pop(message.id, None) if message.id is not None else None
        if call is None:
            log.debug("late or unknown response dropped", extra=self.tags)
            return
        self.served = True
        if not call.future.done():
            call.future.set_result(message)

    def _spoken(self, message: Message) -> None:
        if message.method == "notifications/progress":
            self._progress(message)
        elif message.kind is Kind.REQUEST:
            self._request(message)
        else:
            self._notification(message)

    def _progress(self, message: Message) -> None:
        raw = message.params.get("progressToken")
        token = b"" if raw is None else bytes(raw)
        if self.joint:
            known = self._tokens.get(token)
            if known is None:
                return
            owner, original = known
            call = self._calls.get(token)
            message = message.with_params({**message.params, "progressToken": original})
            owner.deliver(message, call)
            return
        for call in self._calls.values():
            if call.token == token:
                call.owner.deliver(message, call)
                return
        for owner in self._owners:
            owner.deliver(message, None)

    def _request(self, message: Message) -> None:
        if message.method in _ONLY_FROM_CLIENTS:
            self.fail("repeats its input instead of answering")
            return
        call = self._attributable()
        owner = call.owner if call else self._only_owner()
        if message.method == "ping" and owner is None:
            self._process.write(jsonrpc.result(message.id or b"null", b"{}"))
        elif owner is None:
            reason = "no client that this request could belong to"
            self._process.write(jsonrpc.error(message.id, jsonrpc.INTERNAL_ERROR, reason))
        else:
            assert message.id is not None
            self._asked[message.id] = owner
            owner.deliver(message, call)

    def _notification(self, message: Message) -> None:
        if message.method == "notifications/cancelled":
            wanted = bytes(message.params.get("requestId") or b"")
            asked = self._asked.pop(wanted, None)
            listening = self._calls.get(wanted)
            if asked is not None:
                asked.deliver(message, None)
            elif listening is not None and listening.aside:
                listening.owner.deliver(message, listening)
            return
        if _SUBSCRIPTION_BYTES in message.raw and (id_ := message.meta.get(_SUBSCRIPTION_ID)) is not None:
            listening = self._calls.get(bytes(id_))
            if listening is not None:
                listening.owner.deliver(message, listening)
            return
        belongs_to_all = message.method.endswith("/list_changed") or (
            message.method == "notifications/resources/updated"
        )
        if belongs_to_all:
            if self.observer is not None:
                self.observer(message)
            for owner in list(self._owners):
                if owner.wants(message):
                    owner.deliver(message, None)
            return
        call = self._attributable()
        target = call.owner if call else self._only_owner()
        if target is None:
            log.debug("notification for nobody dropped", extra=self.tags)
        else:
            target.deliver(message, call)

    def _attributable(self) -> Call | None:
        """The newest pending call, unless calls of several owners are pending."""
        newest: Call | None = None
        for call in self._calls.values():
            if call.aside:
                continue
            if newest is not None and call.owner is not newest.owner:
                return None
            newest = call
        return newest

    def _only_owner(self) -> Owner | None:
        return self._owners[0] if len(self._owners) == 1 and not self._calls else None

    # what is no message, and the end

    def _not_a_message(self, line: bytes, problem: jsonrpc.MessageError) -> None:
        log.warning("stdout line is not JSON-RPC", extra={**self.tags, "problem": problem.reason})
        if self._answer_broken(line[:512], line[-512:], "wrote an answer that is not valid JSON-RPC"):
            return
        self._junk += 1
        if self.served:
            return
        if self._junk == 1:
            asyncio.get_running_loop().call_later(_JUNK_PATIENCE, self._give_up)
        elif self._junk >= _JUNK_LINES:
            self._give_up()

    def _give_up(self) -> None:
        if not self.served:
            self.fail("printed something other than JSON-RPC on stdout")

    def _oversize(self, line: Oversize) -> None:
        reason = f"wrote a line of {line.size} bytes, more than the cap of {self.server.max_line}"
        log.warning("stdout line over the cap", extra={**self.tags, "bytes": line.size})
        if not self._answer_broken(line.head, line.tail, reason):
            self.fail(reason)

    def _answer_broken(self, head: bytes, tail: bytes, reason: str) -> bool:
        """Answer the call that a broken line was meant for, when that can be made out."""
        found = _ID_IN_HEAD.match(head) or _ID_IN_TAIL.search(tail)
        call = self._calls.pop(found[1], None) if found else None
        if call is None:
            return False
        self._settle(call, f"server {self.server.name} {reason}")
        return True

    def _settle(self, call: Call, reason: str, code: int = jsonrpc.INTERNAL_ERROR) -> None:
        if not call.future.done():
            text = jsonrpc.error(call.id, code, reason)
            call.future.set_result(jsonrpc.parse(text))

    def _exited(self, how: str) -> None:
        self.ended = self._fault or how
        reason = f"server {self.server.name} {self.ended}"
        log.log(
            logging.INFO if self.closing else logging.WARNING,
            "child ended",
            extra={**self.tags, "reason": self.ended},
        )
        calls, self._calls = list(self._calls.values()), {}
        for call in calls:
            if not call.future.done():
                call.future.set_exception(ChildError(reason))
                call.future.exception()
        self._asked.clear()
        owners, self._owners = list(self._owners), []
        if self._on_end is not None:
            self._on_end(self, self.ended)
        if self.dialect is not None:
            self.dialect.lost(reason)
        for owner in owners:
            owner.lost(reason)
