"""All sessions of one server, found by id by the user that opened them and nobody else."""

from __future__ import annotations

import logging
import time
from collections import Counter
from weakref import WeakValueDictionary

from .._common.channel import UnavailableError
from .._common.jsonrpc import Message
from ..server.pool import Pool
from ..settings import Settings
from .events import Budget
from .session import Session
from .streams import Stream

log = logging.getLogger(__name__)


SHARE = 4
"""A user whom the gateway named has at most one in so many of the sessions."""

LEAST_IDLE = 60.0
"""Seconds without a call after which a session's process may be ended for who comes."""


class Sessions:
    def __init__(self, pool: Pool, settings: Settings) -> None:
        self._pool = pool
        self._settings = settings
        self._sessions: dict[bytes, Session] = {}
        self._opening: Counter[str] = Counter()
        self._budgets: WeakValueDictionary[str, Budget] = WeakValueDictionary()
        pool.give_way = self.give_way

    def __len__(self) -> int:
        return len(self._sessions)

    def get(self, id_: bytes, principal: str) -> Session | None:
        session = self._sessions.get(id_)
        if session is None or session.principal != principal or session.ended is not None:
            return None
        return session

    async def open(
        self, message: Message, principal: str, standing: Stream | None = None
    ) -> tuple[Session, Message]:
        """A new session and the server's answer to `initialize`; kept only if that is a result.

        Raises ChannelError.
        """
        self._make_room(principal)
        server = self._pool.server
        session = Session(self._pool, self._settings, principal, self._budget(principal), standing)
        self._opening[principal] += 1
        try:
            response = await session.open(message)
            if response.result is None:
                session.close()
            else:
                self._sessions[session.id.encode()] = session
                log.info("session opened", extra={"server": server.name, "session": session.label})
        except BaseException:
            session.close()
            raise
        finally:
            self._opening[principal] -= 1
        return session, response

    def _make_room(self, principal: str) -> None:
        """Raises UnavailableError when all sessions are taken, or all that one user may have."""
        server = self._pool.server
        most, share = server.max_sessions, max(1, server.max_sessions // SHARE)
        mine = sum(session.principal == principal for session in self._sessions.values())
        if principal and mine + self._opening[principal] >= share:
            if not self._end_idle(principal):
                raise UnavailableError(
                    f"you have {share} sessions at server {server.name}, the most", server.wait
                )
        elif len(self._sessions) + self._opening.total() >= most and not self.give_way(principal):
            raise UnavailableError(f"server {server.name} is at its limit of {most} sessions", server.wait)

    def _budget(self, principal: str) -> Budget | None:
        return self._budgets.setdefault(principal, Budget()) if principal else None

    def give_way(self, principal: str, own: bool = False) -> bool:
        """End an idle session for one that comes: the comer's own first, then of whoever has most."""
        if own:
            return self._end_idle(principal)
        held = Counter(session.principal for session in self._sessions.values())
        others = [name for name, _ in held.most_common() if name != principal]
        return any(self._end_idle(name) for name in (principal, *others))

    def _end_idle(self, principal: str) -> bool:
        """Most clients never send DELETE. One that comes back gets 404, and initializes again by itself."""
        latest = time.monotonic() - LEAST_IDLE
        idle = [
            session
            for session in self._sessions.values()
            if session.principal == principal and session.quiet and session.last_used <= latest
        ]
        if idle:
            self.close(min(idle, key=lambda session: session.last_used), "made room for another")
        return bool(idle)

    def close(self, session: Session, reason: str) -> None:
        if self._sessions.pop(session.id.encode(), None) is not None:
            extra = {"server": self._pool.server.name, "session": session.label, "reason": reason}
            log.info("session closed", extra=extra)
        session.close()

    def sweep(self) -> None:
        """Close what has ended or was idle for `idle_timeout`; forget old events."""
        now = time.monotonic()
        for session in list(self._sessions.values()):
            if session.ended is not None:
                self.close(session, session.ended)
            elif session.idle and now - session.last_used > self._pool.server.idle_timeout:
                self.close(session, "idle")
            else:
                session.store.expire()

    def drain(self) -> None:
        """Disconnect the standing streams; a client may come back to them."""
        for session in self._sessions.values():
            session.standing.disconnect()

    def close_all(self) -> None:
        for session in list(self._sessions.values()):
            self.close(session, "shutdown")
