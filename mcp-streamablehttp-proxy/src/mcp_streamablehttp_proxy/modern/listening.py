"""A `subscriptions/listen` that the proxy serves itself, for a child of the handshake era."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final

from .. import jsonrpc
from ..call import Call, CallCancelled, ChildError
from ..child import Child
from ..http import Refused
from ..jsonrpc import Message
from ..streams import MAX_UNSENT
from .answer import Answer
from .discover import offers
from .envelope import SUBSCRIPTION_ID, tag

_CHANGES: Final = {
    "toolsListChanged": ("tools", "notifications/tools/list_changed"),
    "promptsListChanged": ("prompts", "notifications/prompts/list_changed"),
    "resourcesListChanged": ("resources", "notifications/resources/list_changed"),
}
_RESOURCES: Final = "resourceSubscriptions"
_MOST_RESOURCES: Final = 1000
_UPDATED: Final = "notifications/resources/updated"


class Listening:
    """One listener and its filter; `id` is the raw JSON id of its request."""

    def __init__(self, message: Message) -> None:
        """Raises Refused (-32602) for a filter that is none."""
        self.id = message.id or b"null"
        raw = message.params.get("notifications")
        asked = None if raw is None else jsonrpc.decode(raw)
        uris = asked.get(_RESOURCES, []) if isinstance(asked, dict) else []
        if not isinstance(asked, dict) or not _strings(uris) or len(uris) > _MOST_RESOURCES:
            raise Refused(
                400,
                jsonrpc.INVALID_PARAMS,
                "params.notifications must be an object; its resourceSubscriptions a list of "
                f"at most {_MOST_RESOURCES} URIs",
            )
        self.changes = [name for name in _CHANGES if asked.get(name) is True]
        self.uris: list[str] = list(dict.fromkeys(uris))
        self._asked = frozenset(asked)
        self._notes: deque[bytes] = deque()
        self._unsent = 0
        self._wake = asyncio.Event()
        self._over = False
        self._cut = False

    def wants(self, message: Message) -> bool:
        if message.method == _UPDATED:
            uri = jsonrpc.decode(message.params.get("uri", b"null"))
            return isinstance(uri, str) and any(_within(uri, one) for one in self.uris)
        return any(_CHANGES[name][1] == message.method for name in self.changes)

    def offer(self, message: Message) -> None:
        if self.wants(message) and self._unsent < MAX_UNSENT:
            note = tag(message, SUBSCRIPTION_ID, self.id).raw
            self._unsent += len(note)
            self._notes.append(note)
            self._wake.set()

    def end(self) -> None:
        """End gracefully: the client gets the result."""
        self._over = True
        self._wake.set()

    def cut(self) -> None:
        """End because the server did: no result, which tells the client to listen again."""
        self._over = self._cut = True
        self._wake.set()

    async def serve(self, answer: Answer, child: Child, followed: Followed) -> None:
        """Acknowledge what the server can tell, then tell it until either side ends."""
        can = child.introduction
        self.changes = [name for name in self.changes if offers(can, _CHANGES[name][0], "listChanged")]
        granted: list[str] = []
        wanted, self.uris = self.uris, granted
        try:
            if offers(can, "resources", "subscribe"):
                for uri in wanted:
                    if await followed.add(uri):
                        granted.append(uri)
            await answer.note(self._acknowledgement())
            while not answer.gone:
                self._wake.clear()
                while self._notes:
                    note = self._notes.popleft()
                    self._unsent -= len(note)
                    await answer.note(note)
                if self._over:
                    break
                await answer.wait(self._wake)
        finally:
            for uri in granted:
                followed.drop(uri)
        if self._cut:
            await answer.cut()
        else:
            await answer.finish(final_result(self.id))

    def _acknowledgement(self) -> bytes:
        honoured: dict[str, Any] = dict.fromkeys(self.changes, True)
        if _RESOURCES in self._asked and self.uris:
            honoured[_RESOURCES] = self.uris
        body = jsonrpc.notification("notifications/subscriptions/acknowledged", {"notifications": honoured})
        return tag(jsonrpc.parse(body), SUBSCRIPTION_ID, self.id).raw


def final_result(id_: bytes) -> bytes:
    """The response that ends a subscription gracefully."""
    meta = b'{"%b":%b}' % (SUBSCRIPTION_ID.encode(), id_)
    return jsonrpc.result(id_, b'{"resultType":"complete","_meta":%b}' % meta)


class Followed:
    """Resources that a child of the handshake era was asked to report on, and for how many."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._uris: dict[str, tuple[int, Call]] = {}

    label = "subscriptions"

    async def add(self, uri: str) -> bool:
        """Subscribe, if nobody has; whether the server agreed."""
        try:
            count, call = self._uris.get(uri) or (0, self._send("resources/subscribe", uri))
            self._uris[uri] = (count + 1, call)
            async with asyncio.timeout(self._child.server.request_timeout):
                response = await asyncio.shield(call.future)
        except (ChildError, CallCancelled, TimeoutError):
            self._uris.pop(uri, None)
            return False
        except asyncio.CancelledError:
            self.drop(uri)
            raise
        if response is None or response.result is None:
            self._uris.pop(uri, None)
            return False
        return True

    def drop(self, uri: str) -> None:
        """One follower less; the last one unsubscribes."""
        count, call = self._uris.get(uri, (0, None))
        if call is None:
            return
        if count > 1:
            self._uris[uri] = (count - 1, call)
            return
        del self._uris[uri]
        if self._child.alive:
            self._send("resources/unsubscribe", uri)

    def _send(self, method: str, uri: str) -> Call:
        message = jsonrpc.parse(jsonrpc.request(0, method, {"uri": uri}))
        return self._child.call(message, self, aside=True)

    # Owner

    def deliver(self, message: Message, call: Call | None) -> None:
        return

    def wants(self, message: Message) -> bool:
        return False

    def lost(self, reason: str) -> None:
        return


def _strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _within(uri: str, subscribed: str) -> bool:
    """Whether a resource is the one subscribed to, or a part of it."""
    return uri == subscribed or uri.startswith(subscribed.rstrip("/") + "/")
