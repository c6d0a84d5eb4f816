"""Requests as an operator sees them, without content: audit lines and counts of tools, spans of all."""

from __future__ import annotations

import logging
import time

from ._common import jsonrpc
from ._common.channel import Turn, TurnCancelledError
from ._common.jsonrpc import Message
from .metrics import ServerMetrics
from .spans import spans, word

log = logging.getLogger("mcp_streamablehttp_proxy.audit")


class ToolCalls:
    """The calls of one server's tools."""

    def __init__(self, server: str, metrics: ServerMetrics) -> None:
        self._server = server
        self._metrics = metrics
        self._spans = spans(server)

    def watch(self, turn: Turn) -> None:
        """Note how a call of a tool ends; to be called before it is sent, while it has the client's words."""
        if turn.message.method == "tools/call":
            tool = _tool(turn.message)
            turn.then(lambda turn: self._note(tool, _outcome(turn), turn.started, turn.principal))
        if self._spans is not None:
            self._spans.open(turn, _outcome)

    def unsent(self, message: Message, user: str, outcome: str, started: float) -> None:
        """Note a call that reached no server; `started` is time.monotonic."""
        if message.method == "tools/call":
            self._note(_tool(message), outcome, started, user)

    def _note(self, tool: str, outcome: str, started: float, user: str) -> None:
        seconds = time.monotonic() - started
        self._metrics.tools.observe(tool, outcome, seconds)
        if log.isEnabledFor(logging.INFO):
            milliseconds = round(seconds * 1000, 1)
            told = {"server": self._server, "tool": tool, "outcome": outcome, "ms": milliseconds}
            log.info("tool call", extra={"user": user, **told})


def _tool(message: Message) -> str:
    name = jsonrpc.text(message.params.get("name"))
    return "" if name is None else word(name)


def _outcome(turn: Turn) -> str:
    outcome = turn.outcome
    if isinstance(outcome, TurnCancelledError):
        return "cancelled"
    if isinstance(outcome, Exception) or outcome is None:
        return "failed"
    if outcome.result is None:
        return "error"
    if b'"isError"' not in outcome.raw and b'"input_required"' not in outcome.raw:
        return "ok"
    result = jsonrpc.object_members(outcome.result)
    if bytes(result.get("isError", b"")) == b"true":
        return "tool_error"
    return "input_required" if bytes(result.get("resultType", b"")) == b'"input_required"' else "ok"
