"""The stateless server's tools, with an echo that remembers, replayLastEcho and sessionInfo."""

from datetime import UTC, datetime
from typing import Any, Literal

from mcp_echo_streamablehttp_server_stateless.call import Call
from mcp_echo_streamablehttp_server_stateless.redact import fingerprint
from mcp_echo_streamablehttp_server_stateless.toolbox import Arguments, Report, Tool, ToolError
from mcp_echo_streamablehttp_server_stateless.tools import TOOLS
from mcp_echo_streamablehttp_server_stateless.tools.echo import ECHO, EchoArguments, Echoed

from .memory import Kind, Memory, Owner

NO_STATE = (
    "Nothing is kept for this request: protocol 2026-07-28 has no sessions, and nobody is signed in. "
    "Sign in through the gateway (with MCP_TRUST_IDENTITY=true here), or connect with a handshake version."
)


class RememberedEcho(Echoed):
    remembered_for: Kind | None


class Replay(Report):
    message: str
    remembered_for: Kind

    def text(self) -> str:
        return self.message


class SessionInfo(Report):
    kind: Literal["session", "user", "none"]
    session: str | None
    bound_to_user: str | None
    client: str | None
    protocol_version: str
    first_seen: str | None
    calls: int
    has_echo: bool
    idle_timeout_seconds: float

    def text(self) -> str:
        if self.kind == "none":
            return NO_STATE
        if self.kind == "user":
            first = (
                f"Protocol {self.protocol_version} has no sessions: this is kept for {self.bound_to_user}."
            )
        else:
            owner = (
                f"bound to {self.bound_to_user}" if self.bound_to_user else "bound to nobody: its id opens it"
            )
            first = f"Session {self.session} of protocol {self.protocol_version}, {owner}."
        echo = "an echo to replay" if self.has_echo else "no echo yet"
        return (
            f"{first}\n  client {self.client or 'unnamed'}, first seen {self.first_seen}, {self.calls} uses, "
            f"{echo}; forgotten after {self.idle_timeout_seconds:g} idle seconds"
        )


class StatefulTools:
    def __init__(self, memory: Memory) -> None:
        self.memory = memory

    async def echo(self, call: Call, arguments: EchoArguments) -> RememberedEcho:
        owner = Owner.of(call)
        if owner is not None:
            self.memory.recall(owner).last_echo = arguments.message
        return RememberedEcho(message=arguments.message, remembered_for=owner.kind if owner else None)

    async def replay(self, call: Call, arguments: Arguments) -> Replay:
        owner = Owner.of(call)
        if owner is None:
            raise ToolError(NO_STATE)
        message = self.memory.recall(owner).last_echo
        if message is None:
            raise ToolError(f"Nothing has been echoed for this {owner.kind} yet; call echo first.")
        return Replay(message=message, remembered_for=owner.kind)

    async def session_info(self, call: Call, arguments: Arguments) -> SessionInfo:
        owner = Owner.of(call)
        entry = self.memory.recall(owner) if owner else None
        return SessionInfo(
            kind=owner.kind if owner else "none",
            session=fingerprint(owner.id) if owner and owner.kind == "session" else None,
            bound_to_user=call.identity.user_id,
            client=call.client,
            protocol_version=call.protocol_version,
            first_seen=datetime.fromtimestamp(entry.first_seen, UTC).isoformat(timespec="seconds")
            if entry
            else None,
            calls=entry.calls if entry else 0,
            has_echo=entry is not None and entry.last_echo is not None,
            idle_timeout_seconds=self.memory.timeout,
        )

    def all(self) -> list[Tool[Any]]:
        return [
            Tool(
                "echo",
                "Echo",
                "Sends the message back unchanged and remembers it for replayLastEcho.",
                EchoArguments,
                RememberedEcho,
                self.echo,
                read_only=False,
            ),
            Tool(
                "replayLastEcho",
                "Replay the last echo",
                "Sends back the message of your last echo, in this session or (2026-07-28) as this user.",
                Arguments,
                Replay,
                self.replay,
            ),
            *(tool for tool in TOOLS if tool is not ECHO),
            Tool(
                "sessionInfo",
                "Session",
                "Says what this server keeps for you, and to whom it is bound. It shows nobody else's.",
                Arguments,
                SessionInfo,
                self.session_info,
            ),
        ]
