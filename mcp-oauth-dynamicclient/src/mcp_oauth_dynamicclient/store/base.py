"""The store: the few atomic operations OAuth needs (design section 6).

Two implementations, chosen by `STORE_URL`, pass one contract suite (`tests/test_store.py`):
`sqlite:///path` (WAL, survives restarts) and `redis://` / `rediss://` (several replicas behave as one).
Values are JSON objects. An expired entry is never returned. Every method raises
`errors.StoreUnavailable` when the store cannot be reached and then has changed nothing.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Kind = Literal[
    "account",  # key: name
    "client",  # key: client_id; dynamic and pre-registered clients
    "code",  # key: hash of the code
    "counter",  # rate limits and throttles, see `increment`
    "device_code",  # key: hash of the device code
    "grant",  # key: grant_id; owners: user:<user_id>, client:<client_id>
    "jti",  # assertion ids seen (private_key_jwt, ID-JAG): key is issuer and jti
    "key",  # signing keys, private part encrypted: key is the kid
    "membership",  # what GitHub last said about a person's organisations: key is the user id
    "login",  # the state parameter of a sign-in at a provider: taken once
    "refresh_token",  # key: hash of the token; owner: grant:<grant_id>
    "revoked",  # key: jti of a single revoked access token, until it expires
    "session",  # a signed-in browser: key is the hash of its cookie; owner: user:<user_id>
    "user_code",  # key: normalised user code -> {"device_code": hash}
]


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored value with the version that `swap` compares."""

    key: str
    value: dict[str, Any]
    version: int
    expires_at: float | None


@dataclass(frozen=True, slots=True)
class Limit:
    """So many times in so many seconds, counted as `increment` counts."""

    counter: str
    allowed: int
    window: float


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
        """Create or replace, whatever is there; expiry and owners are replaced too."""

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

    async def put_within(
        self,
        limit: Limit,
        kind: Kind,
        key: str,
        value: dict[str, Any],
        *,
        expires_at: float | None = None,
    ) -> bool:
        """Count and put in one step; False, with nothing put, once the limit is passed."""

    async def ping(self) -> None:
        """Raise StoreUnavailable unless a read would work now."""

    async def close(self) -> None: ...


def new_version() -> int:
    """Never used before, so that an entry deleted and made anew cannot be taken for the old one; it is not a
    secret, so it need not ask the kernel."""
    return random.getrandbits(53)
