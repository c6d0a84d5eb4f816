"""The stateless server's tools, with an echo that remembers, replayLastEcho and sessionInfo."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

from mcp_echo_streamablehttp_server_stateless.call import Call
from mcp_echo_streamablehttp_server_stateless.redact import fingerprint
from mcp_echo_streamablehttp_server_stateless.toolbox import Arguments, Report, Tool, ToolError
from mcp_echo_streamablehttp_server_stateless.tools import TOOLS
from mcp_echo_streamablehttp_server_stateless.tools.echo import ECHO, EchoArguments, Echoed
from pydantic import Field

from .entry import Kind
from .memory import NEW, NO_STATE, Memory


class HandleArguments(Arguments):
    handle: str | None = Field(
        None,
        max_length=200,
        title="Handle",
        description="A handle that echo made. Without it what belongs to this session, or to you, is meant.",
    )


class RememberingArguments(EchoArguments):
    handle: str | None = Field(
        None,
        max_length=200,
        title="Handle",
        description=f"Where to remember the message: a handle of yours, or '{NEW}' to make one. "
        "Without it: in this session, or for you.",
    )


class RememberedEcho(Echoed):
    remembered_for: Kind | None = Field(
        title="Remembered for", description="What the message is kept for; null when it is not kept."
    )
    handle: str | None = Field(
        title="Handle", description="The handle to replay it with, if one was asked for."
    )


class Replay(Report):
    message: str = Field(title="Message", description="The message that was echoed last.")
    remembered_for: Kind = Field(title="Remembered for", description="What it was kept for.")

    def text(self) -> str:
        return self.message


class SessionInfo(Report):
    kind: Literal["session", "user", "handle", "none"] = Field(
        title="Kind", description="What state belongs to: this session, you, a handle, or nothing."
    )
    session: str | None = Field(title="Session", description="Fingerprint of the session's id, or null.")
    bound_to_user: str | None = Field(title="Bound to", description="The user who alone can use it, or null.")
    client: str | None = Field(title="Client", description="Name and version that the client gave.")
    protocol_version: str = Field(title="Protocol", description="The version this request speaks.")
    first_seen: str | None = Field(
        title="First seen", description="When it was made, in UTC, or null for nothing."
    )
    calls: int = Field(title="Uses", description="How often echo, replayLastEcho and sessionInfo used it.")
    has_echo: bool = Field(title="Has an echo", description="Whether there is a message to replay.")
    idle_timeout_seconds: float = Field(
        title="Idle time-out", description="Seconds without use after which it is forgotten."
    )

    def text(self) -> str:
        if self.kind == "none":
            return NO_STATE
        bound = f"bound to {self.bound_to_user}" if self.bound_to_user else "bound to nobody: its id opens it"
        if self.kind == "user":
            first = (
                f"Protocol {self.protocol_version} has no sessions: this is kept for {self.bound_to_user}."
            )
        elif self.kind == "handle":
            first = f"A handle, {bound}."
        else:
            first = f"Session {self.session} of protocol {self.protocol_version}, {bound}."
        echo = "an echo to replay" if self.has_echo else "no echo yet"
        return (
            f"{first}\n  client {self.client or 'unnamed'}, first seen {self.first_seen}, {self.calls} uses, "
            f"{echo}; forgotten after {self.idle_timeout_seconds:g} idle seconds"
        )


class StatefulTools:
    def __init__(self, memory: Memory) -> None:
        self.memory = memory

    async def echo(self, call: Call, arguments: RememberingArguments) -> RememberedEcho:
        limit = self.memory.settings.echo_bytes
        if len(arguments.message.encode()) > limit:
            raise ToolError(
                f"A message of more than {limit} bytes is not remembered here; send a shorter one."
            )
        found = await self.memory.use(call, arguments.handle, arguments.message)
        entry, handle = found or (None, None)
        kind = entry.kind if entry else None
        return RememberedEcho(message=arguments.message, remembered_for=kind, handle=handle)

    async def replay(self, call: Call, arguments: HandleArguments) -> Replay:
        found = await self.memory.use(call, arguments.handle)
        if found is None:
            raise ToolError(NO_STATE)
        entry, _ = found
        if entry.last_echo is None:
            raise ToolError(f"Nothing has been echoed for this {entry.kind} yet; call echo first.")
        return Replay(message=entry.last_echo, remembered_for=entry.kind)

    async def session_info(self, call: Call, arguments: HandleArguments) -> SessionInfo:
        found = await self.memory.use(call, arguments.handle)
        entry = found[0] if found else None
        seen = datetime.fromtimestamp(entry.first_seen, UTC).isoformat(timespec="seconds") if entry else None
        session = call.session_id if entry and entry.kind == "session" else None
        return SessionInfo(
            kind=entry.kind if entry else "none",
            session=fingerprint(session) if session else None,
            bound_to_user=call.identity.user_id,
            client=call.client,
            protocol_version=call.protocol_version,
            first_seen=seen,
            calls=entry.calls if entry else 0,
            has_echo=entry is not None and entry.last_echo is not None,
            idle_timeout_seconds=self.memory.settings.session_timeout,
        )

    def all(self) -> list[Tool[Any]]:
        return [
            Tool(
                "echo",
                "Echo",
                "Sends the message back unchanged and remembers it for replayLastEcho.",
                RememberingArguments,
                RememberedEcho,
                self.echo,
                read_only=False,
            ),
            Tool(
                "replayLastEcho",
                "Replay the last echo",
                "Sends back the message of your last echo: in this session, (2026-07-28) as this user, or "
                "under a handle.",
                HandleArguments,
                Replay,
                self.replay,
            ),
            *(tool for tool in TOOLS if tool is not ECHO),
            Tool(
                "sessionInfo",
                "Session",
                "Says what this server keeps for you, and to whom it is bound. It shows nobody else's.",
                HandleArguments,
                SessionInfo,
                self.session_info,
            ),
        ]
