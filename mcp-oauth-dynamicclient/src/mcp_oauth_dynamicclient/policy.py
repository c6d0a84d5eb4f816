"""Who is admitted. An empty list admits nobody; `*` admits every account of its provider."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from .login.standing import Standings
from .records import Identity
from .settings import Settings
from .store import Entry, Kind, Store

Read = Callable[[Kind, str], Awaitable[Entry | None]]


class Policy:
    """`read` looks up local accounts; the store's own `get` unless told otherwise. Without `standings` what
    the provider said at the sign-in counts for as long as the grant lives."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        *,
        read: Read | None = None,
        standings: Standings | None = None,
    ) -> None:
        self._read = read or store.get
        self._standings = standings
        self._local = settings.local_accounts
        self._github = settings.github_client_id is not None
        self._github_users = _folded(settings.allowed_github_users)
        self._github_groups = _folded(settings.allowed_github_orgs)
        self._oidc = settings.oidc_issuer is not None
        self._oidc_users = _folded(settings.allowed_oidc_users)
        self._oidc_groups = set(settings.allowed_oidc_groups)
        self._id_jag = settings.id_jag_issuer is not None

    def allowed(self, identity: Identity) -> str | None:
        """The reason that the settings do not admit a person; None when they do."""
        match identity.provider:
            case "local":
                return None if self._local else "local accounts are switched off"
            case "github":
                return self._allowed_github(identity)
            case "oidc":
                return self._allowed_oidc(identity)
            case "id-jag":
                return None if self._id_jag else "enterprise-managed authorization is switched off"

    async def still_allowed(self, identity: Identity) -> str | None:
        """As `allowed`, but a local account must still exist and be enabled, a member of a GitHub
        organisation still be one, and an OpenID provider that can be asked still vouch for the person.

        Nothing is asked of a provider here, as every request comes by; when it is time, asking is started.
        """
        if identity.provider == "local":
            return self.allowed(identity) or await self._account(identity)
        is_member_only = self._counts_as_member_only(identity)
        if self._standings is None or not (is_member_only or identity.provider == "oidc"):
            return self.allowed(identity)
        standing = await self._standings.known(identity)
        if standing is None:
            return self.allowed(identity.model_copy(update={"groups": ()}) if is_member_only else identity)
        if is_member_only:
            self._standings.ask_meanwhile(identity, standing)
        if standing.refused:
            return "the login provider no longer vouches for this person"
        if not self._standings.counts(standing):
            return "the login provider has not answered for too long"
        return self.allowed(identity.model_copy(update={"groups": standing.groups}))

    async def renew(self, identity: Identity) -> None:
        """Ask the login provider about a person if it is time. Raises TemporarilyUnavailableError when it
        cannot be asked and has not answered for too long."""
        if self._standings is not None:
            await self._standings.renew(identity)

    async def can_ask_again(self, identity: Identity) -> bool:
        """Whether the provider can be asked about a person without their doing anything."""
        return self._standings is not None and await self._standings.known(identity) is not None

    async def _account(self, identity: Identity) -> str | None:
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
