"""The store: the few atomic operations that OAuth needs.

Two implementations, chosen by `STORE_URL`, pass one contract suite (`tests/test_store.py`):
`sqlite:///path` (WAL, survives restarts) and `redis://` / `rediss://` (several replicas behave as one).
Values are JSON objects. An expired entry is never returned. Every method raises
`errors.StoreUnavailableError` when the store cannot be reached and then has changed nothing.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Kind = Literal[
    "account",  # key: name
    "card",  # what a server last said of itself: key is its resource identifier
    "client",  # key: client_id; dynamic and pre-registered clients
    "code",  # key: hash of the code
    "counter",  # rate limits and throttles, see `increment`
    "device_code",  # key: hash of the device code
    "first_key",  # that a replica makes the first of a kind of keys: key is the kind
    "grant",  # key: grant_id; owners: user:<user_id>, client:<client_id>
    "jti",  # assertion ids seen (private_key_jwt, ID-JAG): key is issuer and jti
    "key",  # signing keys, private part encrypted: key is the kid
    "membership",  # what a login provider last said about a person: key is the user id
    "login",  # the state parameter of a sign-in at a provider: taken once
    "refresh_token",  # key: hash of the token; owner: grant:<grant_id>
    "revoked",  # key: jti of a single revoked access token, until it expires
    "server",  # a server that the edge has had: key is its name, gone when it was away for long
    "session",  # a signed-in browser: key is the hash of its cookie; owner: user:<user_id>
    "statement_key",  # keys of identity statements, private part encrypted: key is the kid
    "tools",  # a digest of what a server last said its tools are: key is its resource identifier
    "user_code",  # key: normalised user code -> {"device_code": hash}
]


PING, PING_WINDOW = "ping", 60.0
"""The counter that `ping` writes."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored value with the version that `swap` compares."""

    key: str
    value: dict[str, Any]
    version: int
    expires_at: float | None


class Store(Protocol):
    async def add(
        self,
        kind: Kind,
        key: str,
        value: dict[str, Any],
        *,
        expires_at: float | None = None,
        owners: Sequence[str] = (),
    ) -> bool:
        """Create; False (and nothing changed) when the key exists and has not expired."""

    async def put(
        self,
        kind: Kind,
        key: str,
        value: dict[str, Any],
        *,
        expires_at: float | None = None,
        owners: Sequence[str] = (),
    ) -> None:
        """Create or replace; expiry and owners are replaced too."""

    async def get(self, kind: Kind, key: str) -> Entry | None: ...

    async def take(self, kind: Kind, key: str) -> dict[str, Any] | None:
        """Read and delete in one step: of many callers exactly one gets the value."""

    async def swap(
        self,
        kind: Kind,
        key: str,
        version: int,
        value: dict[str, Any],
        *,
        expires_at: float | None = None,
    ) -> bool:
        """Replace value and expiry if the entry still has `version`; owners stay. False if it has not."""

    async def delete(self, kind: Kind, key: str) -> bool:
        """True when there was something to delete."""

    def list(self, kind: Kind, owner: str | None = None) -> AsyncIterator[Entry]:
        """Every live entry of a kind, or those of one owner; entries written meanwhile may be missing."""

    async def increment(self, key: str, *, window: float) -> int:
        """Add one to a counter that ends `window` seconds after its first increment; the new count."""

    async def ping(self) -> None:
        """Raise StoreUnavailableError unless a read and a write would work now."""

    async def close(self) -> None: ...


def new_version() -> int:
    """A number never used before: an entry that was deleted and created again has another version. It is no
    secret, so it does not come from the kernel."""
    return random.getrandbits(53)
