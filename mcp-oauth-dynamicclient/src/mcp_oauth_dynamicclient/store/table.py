"""One kind of entry as records of one type, and the compare-and-swap loop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Generic, Literal, NamedTuple, TypeVar

from pydantic import BaseModel

from ..errors import TemporarilyUnavailableError
from .base import Kind, Store

R = TypeVar("R", bound=BaseModel)

ATTEMPTS = 50
"""Each lost swap is somebody else's success: more of them than a burst of requests can cause."""


class Updated(NamedTuple, Generic[R]):
    before: R
    after: R
    """`before` itself when nothing was to be changed."""


class Table(Generic[R]):
    """Raises StoreUnavailableError as the store does."""

    def __init__(self, store: Store, kind: Kind, record: type[R]) -> None:
        self._store = store
        self._kind: Kind = kind
        self._record = record

    async def add(
        self, key: str, record: R, *, expires_at: float | None = None, owners: Sequence[str] = ()
    ) -> bool:
        """Create; False (and nothing changed) when the key exists and has not expired."""
        value = record.model_dump()
        return await self._store.add(self._kind, key, value, expires_at=expires_at, owners=owners)

    async def put(
        self, key: str, record: R, *, expires_at: float | None = None, owners: Sequence[str] = ()
    ) -> None:
        """Create or replace; expiry and owners are replaced too."""
        await self._store.put(self._kind, key, record.model_dump(), expires_at=expires_at, owners=owners)

    async def get(self, key: str) -> R | None:
        entry = await self._store.get(self._kind, key)
        return None if entry is None else self._record.model_validate(entry.value)

    async def take(self, key: str) -> R | None:
        """Read and delete in one step: of many callers exactly one gets the record."""
        value = await self._store.take(self._kind, key)
        return None if value is None else self._record.model_validate(value)

    async def update(
        self,
        key: str,
        change: Callable[[R], R | None],
        *,
        expires_at: float | Literal["kept"] | None = "kept",
    ) -> Updated[R] | None:
        """Replace a record by what `change` makes of it; the owners stay. None when there is no such entry.

        `change` returns None to leave it as it is, and may raise, which changes nothing. It is called again
        when somebody else was faster. Raises TemporarilyUnavailableError when that never ends.
        """
        for _ in range(ATTEMPTS):
            entry = await self._store.get(self._kind, key)
            if entry is None:
                return None
            before = self._record.model_validate(entry.value)
            after = change(before)
            if after is None:
                return Updated(before, before)
            ends = entry.expires_at if expires_at == "kept" else expires_at
            value = after.model_dump()
            if await self._store.swap(self._kind, key, entry.version, value, expires_at=ends):
                return Updated(before, after)
        raise TemporarilyUnavailableError("Too many requests change this at the same time; try again.")

    async def delete(self, key: str) -> bool:
        """True when there was something to delete."""
        return await self._store.delete(self._kind, key)

    async def list(self, owner: str | None = None) -> AsyncIterator[tuple[str, R]]:
        """Key and record of every live entry, or of one owner's; what is written meanwhile may be missing."""
        async for entry in self._store.list(self._kind, owner):
            yield entry.key, self._record.model_validate(entry.value)
