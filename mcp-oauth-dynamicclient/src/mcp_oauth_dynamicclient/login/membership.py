"""Organisation membership at GitHub after the sign-in: asked again every few minutes, as long as it matters.

GitHub's token rests in the store encrypted, only when organisation rules are set.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from ..errors import AccessDeniedError, OAuth2Error
from ..records import Identity, Record
from ..sealing import Seal
from ..settings import Settings
from ..store import Entry, Kind, Store
from .github_api import GitHubApi

RECHECK_AFTER = 180.0
"""Seconds after which membership is asked again."""
TRUSTED_FOR = 3600.0
"""Seconds for which the last answer counts while GitHub does not answer."""

Read = Callable[[Kind, str], Awaitable[Entry | None]]


class Membership(Record):
    sealed_token: str
    groups: tuple[str, ...]
    checked_at: float


class Memberships:
    """`read` looks up what is known; the store's own `get` unless told otherwise."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        api: GitHubApi,
        now: Callable[[], float],
        *,
        read: Read | None = None,
    ) -> None:
        self._store = store
        self._api = api
        self._now = now
        self._read = read or store.get
        self._seal = Seal(settings.gateway_secret.get_secret_value(), "github token", now)
        self._lifetime = settings.refresh_token_lifetime + TRUSTED_FOR
        self._asking: dict[str, asyncio.Lock] = {}

    async def remember(self, identity: Identity, token: str) -> None:
        """Keep what is needed to ask again about somebody who has just signed in."""
        await self._save(identity.user_id, self._seal.seal({"token": token}), identity.groups)

    async def groups(self, identity: Identity) -> tuple[str, ...]:
        """Where the person belongs now; empty when GitHub no longer says so."""
        if not self._api.by_organisation:
            return ()
        known = await self._known(self._read, identity)
        if known is None:
            return ()
        if self._now() - known.checked_at < RECHECK_AFTER:
            return known.groups
        async with self._asking.setdefault(identity.user_id, asyncio.Lock()):
            known = await self._known(self._store.get, identity)
            if known is None or self._now() - known.checked_at < RECHECK_AFTER:
                return known.groups if known else ()
            return await self._ask(identity, known)

    async def _ask(self, identity: Identity, known: Membership) -> tuple[str, ...]:
        opened = self._seal.open(known.sealed_token)
        try:
            groups = await self._api.groups(opened["token"]) if opened else ()
        except AccessDeniedError:
            groups = ()
        except OAuth2Error:
            return known.groups if self._now() - known.checked_at < TRUSTED_FOR else ()
        await self._save(identity.user_id, known.sealed_token, groups)
        return groups

    async def _known(self, read: Read, identity: Identity) -> Membership | None:
        entry = await read("membership", identity.user_id)
        return Membership.model_validate(entry.value) if entry else None

    async def _save(self, user_id: str, sealed_token: str, groups: tuple[str, ...]) -> None:
        now = self._now()
        record = Membership(sealed_token=sealed_token, groups=groups, checked_at=now)
        await self._store.put("membership", user_id, record.model_dump(), expires_at=now + self._lifetime)
