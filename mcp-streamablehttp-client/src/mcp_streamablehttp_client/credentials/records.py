"""What is kept: which server belongs to which issuer, the client's registration, the tokens."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

RENEW_SECONDS = 60.0
"""How long before its end a token is renewed, or half its life when that is shorter."""


class _Record:
    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Self | None:
        """The record that a text holds; None when it is no such record. Members of later versions are
        ignored."""
        known = {field.name for field in fields(cls)}  # type: ignore[arg-type]  # dataclasses only
        try:
            return cls(**{name: member for name, member in value.items() if name in known})
        except TypeError:
            return None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)  # type: ignore[call-overload, no-any-return]  # dataclasses only


@dataclass(frozen=True)
class Server(_Record):
    """What is known of a server, which is not secret: lets a bridge find its tokens without asking the
    network."""

    url: str
    resource: str
    issuer: str


@dataclass(frozen=True)
class Client(_Record):
    """A client registration at one issuer; `management_url` and `management_token` are those of
    RFC 7592."""

    issuer: str
    client_id: str
    client_secret: str | None = None
    auth_method: str = "none"
    redirect_uri: str | None = None
    secret_expires_at: float = 0
    management_url: str | None = None
    management_token: str | None = None

    @property
    def expired(self) -> bool:
        return 0 < self.secret_expires_at <= time.time()


@dataclass(frozen=True)
class Tokens(_Record):
    """Tokens for one resource from one issuer, with all it takes to renew them.

    `requested_scope` is what was asked for, `scope` what was granted (RFC 6749 §5.1). `dpop_key` is
    the private JWK that was proved when they were asked for; the access
    token is `bound` to it where the answer said so, else a bearer token (RFC 9449 §5).
    Times are seconds since the epoch.
    """

    issuer: str
    resource: str
    token_endpoint: str
    client_id: str
    access_token: str
    client_secret: str | None = None
    auth_method: str = "none"
    refresh_token: str | None = None
    issued_at: float = 0
    expires_at: float | None = None
    scope: str | None = None
    requested_scope: str | None = None
    dpop_key: str | None = None
    bound: bool = False

    @property
    def expired(self) -> bool:
        return self.expires_at is not None and time.time() >= self.expires_at

    @property
    def expires_soon(self) -> bool:
        if self.expires_at is None:
            return False
        margin = min(RENEW_SECONDS, (self.expires_at - self.issued_at) / 2)
        return time.time() >= self.expires_at - margin

    def renewed(self, answer: dict[str, Any]) -> Tokens:
        """The tokens with a token answer (RFC 6749 §5.1) taken in; a refresh token not renewed is kept."""
        now = time.time()
        lifetime = answer.get("expires_in")
        if isinstance(lifetime, str) and lifetime.isdigit():
            lifetime = int(lifetime)
        timed = isinstance(lifetime, (int, float)) and not isinstance(lifetime, bool)
        refresh_token, scope = answer.get("refresh_token"), answer.get("scope")
        return replace(
            self,
            access_token=answer["access_token"],
            bound=str(answer.get("token_type")).lower() == "dpop",
            refresh_token=refresh_token if isinstance(refresh_token, str) else self.refresh_token,
            issued_at=now,
            expires_at=now + float(lifetime or 0) if timed else None,
            scope=scope if isinstance(scope, str) else (self.scope or self.requested_scope),
        )
