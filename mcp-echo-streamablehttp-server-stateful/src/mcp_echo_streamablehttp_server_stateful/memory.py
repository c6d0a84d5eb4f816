"""What the server remembers, bounded in number and in idle time, and kept in this process only."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from mcp_echo_streamablehttp_server_stateless.call import Call

Kind = Literal["session", "user"]


class Owner(NamedTuple):
    """Whose memory it is: one session of the handshake era, or one signed-in user of the stateless era."""

    kind: Kind
    id: str

    @classmethod
    def of(cls, call: Call) -> "Owner | None":
        """None when the request belongs to neither, so that nothing can be kept for it."""
        if call.handshake:
            return cls("session", call.session_id) if call.session_id else None
        return cls("user", call.identity.user_id) if call.identity.user_id else None


@dataclass
class Entry:
    first_seen: float = field(default_factory=time.time)
    calls: int = 0
    last_echo: str | None = None


class Memory:
    def __init__(self, timeout: float, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.timeout = timeout
        self.limit = limit
        self.clock = clock
        self._entries: OrderedDict[Owner, tuple[float, Entry]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def recall(self, owner: Owner) -> Entry:
        """The owner's entry, made when there is none; using it restarts its idle time."""
        now = self.clock()
        self._forget_idle(now)
        _, entry = self._entries.pop(owner, (now, None))
        if entry is None:
            entry = Entry()
            if len(self._entries) >= self.limit:
                self._entries.popitem(last=False)
        self._entries[owner] = (now, entry)
        entry.calls += 1
        return entry

    def _forget_idle(self, now: float) -> None:
        """Entries are in the order of their last use, so the idle ones come first."""
        while self._entries:
            owner, (used, _) = next(iter(self._entries.items()))
            if now - used < self.timeout:
                return
            del self._entries[owner]
