"""A server process that has been introduced, as those who use it have it."""

from __future__ import annotations

from functools import cached_property

from msgspec import Raw

from .._common.channel import Channel
from .._common.client_capabilities import askable
from .._common.jsonrpc import Message
from .._common.modern_to_handshake import ModernToHandshake
from .backing import Backing
from .tool_headers import ToolHeaders


class Backend:
    """The process, and the channel that speaks to it in the words of its users' era."""

    def __init__(
        self,
        child: Backing,
        channel: Channel,
        introduction: Raw | None,
        *,
        greeting: Message | None = None,
        heard: list[Message] | None = None,
    ) -> None:
        self.child = child
        self.channel = channel
        self.introduction = introduction
        """Result of `initialize` or `server/discover`, in the words of the channel."""
        self.greeting = greeting
        """The answer to the `initialize` of the one client that has this process to itself."""
        self.heard = heard or []
        """What the server said before it had a user."""

    @cached_property
    def tool_headers(self) -> ToolHeaders:
        """The headers that a modern channel's tools want."""
        return ToolHeaders(self.channel, self.introduction, self.child.server.request_timeout)

    @property
    def asks(self) -> bool:
        """Whether the server's questions come as requests, which do not say what call they are about."""
        return isinstance(self.channel, ModernToHandshake)

    @property
    def idle(self) -> bool:
        return not tuple(self.channel.owners) and not tuple(self.channel.open)

    @property
    def free(self) -> bool:
        """Whether no call is under way, nor may one that was cancelled."""
        return self.child.quiet and all(turn.background for turn in self.channel.open)

    @property
    def asking(self) -> bool:
        """Whether a call is under way that the server may ask its client about."""
        return not self.child.quiet or any(
            askable(turn.message.method, turn.capabilities) for turn in self.channel.open
        )
