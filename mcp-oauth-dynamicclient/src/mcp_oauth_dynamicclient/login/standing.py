"""Whether a login provider still vouches for somebody who signed in.

It is asked again beside the requests: by a task that a request at the gate starts but does not wait for, and
when a client refreshes. What a provider gave for asking again (GitHub's token, an OpenID refresh token) rests
in the store, sealed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from ..errors import AccessDeniedError, OAuth2Error, TemporarilyUnavailableError
from ..records import Identity, Record
from ..sealing import Seal
from ..settings import Settings
from ..store import Entry, Kind, Store, Table
from .base import LoginProvider

log = logging.getLogger(__name__)

ASK_AFTER = 180.0
"""Seconds after which a provider is asked again about somebody who is active."""
ASK_AGAIN_AFTER = 30.0
"""Seconds before it is asked again when it did not answer; of many replicas one asks."""
TRUSTED_FOR = 4 * 3600.0
"""Seconds for which the last answer counts while the provider does not answer."""

Read = Callable[[Kind, str], Awaitable[Entry | None]]


class Standing(Record):
    """What a provider said last about a person."""

    sealed_token: str
    groups: tuple[str, ...]
    checked_at: float
    """When it last answered."""
    asked_at: float = 0
    failing_since: float | None = None
    refused: bool = False
    """It no longer vouches for the person, who has to sign in there again."""


class Standings:
    """`read` looks up what is known at the gate; the store's own `get` unless told otherwise."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        providers: Mapping[str, LoginProvider],
        now: Callable[[], float],
        *,
        read: Read | None = None,
    ) -> None:
        self.providers = providers
        self._table = Table(store, "membership", Standing)
        self._now = now
        self._read = read or store.get
        secret = settings.gateway_secret.get_secret_value()
        self._seals = {name: Seal(secret, f"{name} token", now) for name in providers}
        self._lifetime = settings.refresh_token_lifetime + TRUSTED_FOR
        self._asking: dict[str, asyncio.Task[None]] = {}

    async def remember(self, identity: Identity, token: str | None) -> None:
        """Somebody has just signed in; `token` is for asking again, if the provider gave one."""
        if token is None:
            await self._table.delete(identity.user_id)
            return
        now = self._now()
        sealed = self._seals[identity.provider].seal({"token": token})
        standing = Standing(sealed_token=sealed, groups=identity.groups, checked_at=now)
        await self._table.put(identity.user_id, standing, expires_at=now + self._lifetime)

    async def known(self, identity: Identity) -> Standing | None:
        """What is known now; None when the provider cannot be asked about the person."""
        entry = await self._read("membership", identity.user_id)
        return None if entry is None else Standing.model_validate(entry.value)

    def counts(self, standing: Standing) -> bool:
        """Whether the last answer may still be relied on."""
        since = standing.failing_since
        return not standing.refused and (since is None or self._now() - since < TRUSTED_FOR)

    def ask_meanwhile(self, identity: Identity, standing: Standing) -> None:
        """Start asking if it is time, and do not wait: no request at the gate is as slow as a provider."""
        if self._is_due(standing) and identity.user_id not in self._asking:
            task = asyncio.create_task(self._ask_beside(identity))
            self._asking[identity.user_id] = task
            task.add_done_callback(lambda _: self._asking.pop(identity.user_id, None))

    async def renew(self, identity: Identity) -> None:
        """Ask if it is time, and wait for the answer. Raises TemporarilyUnavailableError when the provider
        has not answered for too long: then nobody can say, and the client may come again."""
        standing = await self._table.get(identity.user_id)
        if standing is None:
            return
        if self._is_due(standing):
            await self._ask(identity)
            standing = await self._table.get(identity.user_id) or standing
        if not standing.refused and not self.counts(standing):
            label = self.providers[identity.provider].label
            raise TemporarilyUnavailableError(
                f"{label} cannot be asked about this person now; try again in a few minutes."
            )

    async def settle(self) -> None:
        """Wait for what is being asked."""
        await asyncio.gather(*self._asking.values())

    async def aclose(self) -> None:
        for task in self._asking.values():
            task.cancel()
        await asyncio.gather(*self._asking.values(), return_exceptions=True)

    def _is_due(self, standing: Standing) -> bool:
        now = self._now()
        waited = now - standing.checked_at >= ASK_AFTER and now - standing.asked_at >= ASK_AGAIN_AFTER
        return waited and not standing.refused

    async def _ask_beside(self, identity: Identity) -> None:
        try:
            await self._ask(identity)
        except OAuth2Error as error:  # the store is away: the next request tries again
            log.warning("%s was not asked about %s: %s", identity.provider, identity.user_id, error.reason)

    async def _ask(self, identity: Identity) -> None:
        now = self._now()
        claim = {"asked_at": now}
        # Of many replicas one may ask: a provider that rotates its tokens takes a second use for theft.
        claimed = await self._update(
            identity, lambda found: found.model_copy(update=claim) if self._is_due(found) else None
        )
        if claimed is None:
            return
        sealed_token = claimed.sealed_token
        try:
            changes = await self._answer(identity, claimed)
        except AccessDeniedError:
            changes = {"refused": True, "groups": (), "checked_at": now}
        except OAuth2Error as error:
            log.warning("%s did not answer: %s (%s)", identity.provider, error.reason, error.detail)
            changes = {"failing_since": claimed.failing_since or now}
        # Unless the person has signed in again meanwhile.
        await self._update(
            identity,
            lambda found: found.model_copy(update=changes) if found.sealed_token == sealed_token else None,
        )

    async def _answer(self, identity: Identity, standing: Standing) -> dict[str, object]:
        seal = self._seals[identity.provider]
        opened = seal.open(standing.sealed_token)
        if opened is None:
            raise AccessDeniedError("What was kept for asking again cannot be read any more.")
        answer = await self.providers[identity.provider].ask_again(opened["token"], identity.subject)
        groups = standing.groups if answer.groups is None else answer.groups
        known = {"groups": groups, "checked_at": self._now(), "failing_since": None}
        if answer.token != opened["token"]:
            known["sealed_token"] = seal.seal({"token": answer.token})
        return known

    async def _update(
        self, identity: Identity, change: Callable[[Standing], Standing | None]
    ) -> Standing | None:
        """The standing after the change; None when there was nothing to change."""
        expires_at = self._now() + self._lifetime
        updated = await self._table.update(identity.user_id, change, expires_at=expires_at)
        return None if updated is None or updated.after is updated.before else updated.after
