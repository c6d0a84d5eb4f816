"""Who is admitted. An empty list admits nobody; `*` admits every account of its provider."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from .records import Identity
from .settings import Settings
from .store import Entry, Kind, Store

Read = Callable[[Kind, str], Awaitable[Entry | None]]


class Memberships(Protocol):
    """Who belongs where at GitHub now (`login.membership`)."""

    async def groups(self, identity: Identity) -> tuple[str, ...]: ...


class Policy:
    """`read` looks up local accounts; the store's own `get` unless told otherwise. Without `memberships` the
    groups of the sign-in count for as long as the grant lives."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        *,
        read: Read | None = None,
        memberships: Memberships | None = None,
    ) -> None:
        self._read = read or store.get
        self._memberships = memberships
        self._local = settings.local_accounts
        self._github = settings.github_client_id is not None
        self._github_users = _folded(settings.allowed_github_users)
        self._github_groups = _folded(settings.allowed_github_orgs)
        self._oidc = settings.oidc_issuer is not None
        self._oidc_users = _folded(settings.allowed_oidc_users)
        self._oidc_groups = set(settings.allowed_oidc_groups)
        self._id_jag = settings.id_jag_issuer is not None

    def allowed(self, identity: Identity) -> str | None:
        """None when the settings admit the person, else the reason they do not."""
        match identity.provider:
            case "local":
                return None if self._local else "local accounts are switched off"
            case "github":
                return self._allowed_github(identity)
            case "oidc":
                return self._allowed_oidc(identity)
            case "id-jag":
                return None if self._id_jag else "enterprise-managed authorization is switched off"

    def relies_on(self, identity: Identity) -> tuple[tuple[Kind, str], ...] | None:
        """The entries whose change can change `still_allowed`; None when time alone can."""
        if self._memberships is not None and self._counts_as_member_only(identity):
            return None
        return (("account", identity.login),) if identity.provider == "local" else ()

    async def still_allowed(self, identity: Identity) -> str | None:
        """As `allowed`, but a local account must still exist and be enabled, and a member of a GitHub
        organisation must still be one."""
        if self._memberships is not None and self._counts_as_member_only(identity):
            groups = await self._memberships.groups(identity)
            return self.allowed(identity.model_copy(update={"groups": groups}))
        reason = self.allowed(identity)
        if reason is not None or identity.provider != "local":
            return reason
        account = await self._read("account", identity.login)
        if account is None:
            return "the account was removed"
        return "the account is disabled" if account.value["disabled"] else None

    def _counts_as_member_only(self, identity: Identity) -> bool:
        """Whether it matters where a person belongs: nobody is asked about those who are admitted by name."""
        if identity.provider != "github" or not self._github_groups:
            return False
        return not {"*", identity.login.casefold()} & self._github_users

    def _allowed_github(self, identity: Identity) -> str | None:
        if not self._github:
            return "sign-in with GitHub is switched off"
        if "*" in self._github_users or identity.login.casefold() in self._github_users:
            return None
        if any(group.casefold() in self._github_groups for group in identity.groups):
            return None
        return "not in ALLOWED_GITHUB_USERS, nor a member of ALLOWED_GITHUB_ORGS"

    def _allowed_oidc(self, identity: Identity) -> str | None:
        if not self._oidc:
            return "sign-in with OpenID Connect is switched off"
        names = {"*", f"sub:{identity.subject}".casefold()}
        if identity.email:
            email = identity.email.casefold()
            names |= {email, f"*@{email.rpartition('@')[2]}"}
        if names & self._oidc_users or self._oidc_groups.intersection(identity.groups):
            return None
        return "not in ALLOWED_OIDC_USERS, nor in a group of ALLOWED_OIDC_GROUPS"


def _folded(names: tuple[str, ...]) -> set[str]:
    return {name.casefold() for name in names}
