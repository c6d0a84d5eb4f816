"""What the store holds, as typed records.

All times are seconds since the epoch. Secrets, codes and tokens appear only as hashes (`tokens.digest`).
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Identity(Record):
    """A signed-in person, as the login provider vouches for them."""

    provider: Literal["github", "oidc", "local", "id-jag"]
    subject: str
    """The provider's stable identifier; a name can change hands, this cannot."""
    login: str
    """What allow rules and `X-User-Name` use: GitHub login, local account name, OpenID preferred name."""
    name: str | None = None
    email: str | None = None
    groups: tuple[str, ...] = ()
    """GitHub `org` and `org/team`, or the OpenID `groups` claim, as of the last sign-in or re-check."""

    @property
    def user_id(self) -> str:
        """`provider:subject`, the value of `sub` in tokens and of `X-User-Id`."""
        return f"{self.provider}:{self.subject}"


NAMELESS = "a client without a name"


class Client(Record):
    """A registered client (RFC 7591), wherever its registration came from."""

    client_id: str
    metadata: dict[str, Any]
    """The registered metadata exactly as it is returned, without secrets and without null members."""
    source: Literal["dynamic", "document", "preregistered", "wellknown"]
    secret_hash: str | None = None
    registration_token_hash: str | None = None
    issued_at: float = 0
    last_used_at: float | None = None

    @property
    def name(self) -> str:
        return str(self.metadata.get("client_name") or NAMELESS)

    @property
    def redirect_uris(self) -> list[str]:
        return list(self.metadata.get("redirect_uris", ()))

    @property
    def auth_method(self) -> str:
        """The one method this client authenticates with; it is enforced, not suggested."""
        return str(self.metadata.get("token_endpoint_auth_method", "client_secret_basic"))

    def allows_grant(self, grant_type: str) -> bool:
        return grant_type in self.metadata.get("grant_types", ["authorization_code"])


class AuthorizationCode(Record):
    """An issued code, stored under its hash. Redeeming swaps `redeemed` to true; a second
    presentation of a redeemed code revokes `grant_id`."""

    client_id: str
    redirect_uri: str
    code_challenge: str
    resource: str | None
    scope: str
    identity: Identity
    grant_id: str
    client_name: str
    expires_at: float = 0
    """When it can no longer be redeemed; it is remembered longer, so that it is not issued again."""
    redeemed: bool = False


class Grant(Record):
    """One person's permission for one client at one server: the root every token hangs from.

    Deleting the grant revokes every access and refresh token issued from it. For a machine
    (client credentials) `identity` is None.
    """

    grant_id: str
    client_id: str
    client_name: str
    identity: Identity | None
    resource: str | None
    """None: every server of the gateway (the client sent no `resource`)."""
    scope: str
    created_at: float
    last_used_at: float
    ends_at: float | None = None
    """When it ends however much it is used; None only in grants that an earlier version stored."""
    generation: int = 0
    """The generation of the one refresh token that is in use; each new refresh token begins another."""
    predecessor: int | None = None
    """The generation of the token that was exchanged for it. It is answered again as long as the token in use
    has not been used; a token of any other generation was copied, and ends the grant."""
    rotated_at: float = 0
    """When the token in use was first issued."""
    redirect_host: str = ""


class RefreshToken(Record):
    """Stored under the token's hash, until the grant's refresh lifetime has passed."""

    grant_id: str
    client_id: str
    generation: int


class DeviceCode(Record):
    """A device authorization (RFC 8628), stored under the device code's hash; `user_code` finds it."""

    client_id: str
    client_name: str
    scope: str
    resource: str | None
    user_code: str
    interval: int
    polled_at: float = 0
    expires_at: float
    status: Literal["pending", "approved", "denied"] = "pending"
    identity: Identity | None = None


class Account(Record):
    """A local account; the key in the store is its name."""

    name: str
    password_hash: str = Field(repr=False)
    created_at: float
    full_name: str | None = None
    email: str | None = None
    disabled: bool = False
