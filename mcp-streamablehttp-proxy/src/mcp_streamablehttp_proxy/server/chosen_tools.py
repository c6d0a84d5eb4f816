"""The tools of a server that clients may see and call, and the names they have for them."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from .._common import jsonrpc
from .._common.channel import Around, Channel, Turn
from .._common.error_codes import INVALID_PARAMS
from .._common.jsonrpc import Message
from ..settings import Tools


def with_chosen_tools(server: Channel, tools: Tools | None) -> Channel:
    return server if tools is None else ChosenTools(server, tools)


class ChosenTools(Around):
    """What is no matter of tools passes through."""

    def __init__(self, server: Channel, tools: Tools) -> None:
        super().__init__(server)
        self._tools = tools

    def call(self, turn: Turn) -> None:
        method = turn.message.method
        if method == "tools/list":
            turn.then(self._choose)  # before whoever asked hears of it
        elif method == "tools/call":
            shown = jsonrpc.decode(turn.message.params.get("name", b"null"))
            own = self._tools.own_name(shown) if isinstance(shown, str) else shown
            if own is None:
                turn.settle(turn.message.refused(INVALID_PARAMS, f"Unknown tool: {shown}"))
                return
            if own != shown:
                params = {**turn.message.params, "name": Raw(jsonrpc.encode(own))}
                turn.message = turn.message.with_params(params)
        super().call(turn)

    def _choose(self, turn: Turn) -> None:
        if not isinstance(turn.outcome, Message) or turn.outcome.result is None:
            return
        result = jsonrpc.object_members(turn.outcome.result)
        try:
            listed = msgspec.json.decode(result.get("tools", b"[]"), type=list[Raw])
        except msgspec.DecodeError:
            return
        shown = Raw(b"[" + b",".join(filter(None, map(self._shown, listed))) + b"]")
        turn.outcome = turn.outcome.with_members(result=Raw(jsonrpc.dump({**result, "tools": shown})))

    def _shown(self, tool: Raw) -> bytes:
        """A tool as clients see it; nothing if they do not."""
        members = jsonrpc.object_members(tool)
        own = jsonrpc.decode(members.get("name", b"null"))
        name = self._tools.shown_name(own) if isinstance(own, str) else None
        if name is None:
            return b""
        return bytes(tool) if name == own else jsonrpc.dump({**members, "name": Raw(jsonrpc.encode(name))})
