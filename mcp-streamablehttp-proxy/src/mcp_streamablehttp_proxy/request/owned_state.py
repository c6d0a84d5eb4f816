"""`requestState` that leads its retry back to the replica where the call began."""

from __future__ import annotations

from msgspec import Raw

from .._common import jsonrpc
from .._common.jsonrpc import Message
from .._common.replica_set import ReplicaSet

_STATE = "requestState"
_STATE_IN_JSON = b'"requestState"'


class OwnedState:
    """Around the state that the server, or the translator in front of it, made."""

    def __init__(self, replicas: ReplicaSet) -> None:
        self._replicas = replicas

    def inner(self, message: Message) -> Message:
        """A request with the state as it was made; with one that no replica put out, as it came."""
        if _STATE_IN_JSON not in message.raw:
            return message
        state = jsonrpc.decode(message.params.get(_STATE, b"null"))
        opened = self._replicas.seal.open(state, "state") if isinstance(state, str) else None
        if opened is None:
            return message
        return message.with_params({**message.params, _STATE: jsonrpc.encode(opened[1])})

    async def outer(self, response: Message) -> Message:
        """A response whose state names this replica."""
        if response.result is None or _STATE_IN_JSON not in response.raw:
            return response
        result = jsonrpc.object_members(response.result)
        state = jsonrpc.decode(result.get(_STATE, b"null"))
        own = await self._replicas.own()
        if not isinstance(state, str) or own is None:
            return response
        owned = Raw(jsonrpc.encode(self._replicas.seal.close(own, state, "state")))
        return response.with_members(result=Raw(jsonrpc.dump({**result, _STATE: owned})))
