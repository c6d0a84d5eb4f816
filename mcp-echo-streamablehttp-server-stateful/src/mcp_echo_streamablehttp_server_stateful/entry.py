"""What the server keeps: one record for a session, for a signed-in user, or for a handle."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import Literal

Kind = Literal["session", "user", "handle"]


def new_id() -> str:
    """256 random bits: whoever knows the id of a session or handle of nobody may use it."""
    return secrets.token_urlsafe(32)


def key_of(kind: Kind, id_: str) -> str:
    """Where a record stands. The id itself is not kept: it opens what it names."""
    return f"{kind}:{hashlib.sha256(id_.encode('utf-8', 'surrogatepass')).hexdigest()}"


@dataclass(frozen=True, slots=True)
class Entry:
    """`owner` is the user who made it, empty for nobody; times are seconds since the epoch.

    `hello` is the JSON of a session's `initialize` parameters, with which it is opened again elsewhere.
    """

    key: str
    kind: Kind
    owner: str
    first_seen: float
    used_at: float
    calls: int = 0
    last_echo: str | None = None
    hello: str = ""
