"""Every error the authorization server answers with, in one tree.

Authlib's classes carry the RFC 6749 codes; the ones it lacks are added here. Raise them anywhere:
`app.py` renders them once, as RFC 6749 section 5.2 JSON (`no-store`). The authorization endpoint turns them
into a redirect or a page, depending on how much of the request has been verified.
"""

from __future__ import annotations

from authlib.oauth2.rfc6749.errors import (
    AccessDeniedError,
    InvalidClientError,
    InvalidGrantError,
    InvalidRequestError,
    InvalidScopeError,
    OAuth2Error,
    UnauthorizedClientError,
    UnsupportedGrantTypeError,
    UnsupportedResponseTypeError,
)

__all__ = [
    "AccessDeniedError",
    "AuthorizationPendingError",
    "ExpiredTokenError",
    "InvalidClientError",
    "InvalidClientMetadataError",
    "InvalidGrantError",
    "InvalidRedirectURIError",
    "InvalidRequestError",
    "InvalidScopeError",
    "InvalidTargetError",
    "InvalidTokenError",
    "OAuth2Error",
    "ServerError",
    "SettingsError",
    "SlowDownError",
    "StoreUnavailable",
    "TemporarilyUnavailableError",
    "TooManyRequestsError",
    "UnauthorizedClientError",
    "UnsupportedGrantTypeError",
    "UnsupportedResponseTypeError",
]


class InvalidTargetError(OAuth2Error):
    """The `resource` is not one of this gateway's servers (RFC 8707 section 2)."""

    error = "invalid_target"


class InvalidRedirectURIError(OAuth2Error):
    """A redirection URI may not be registered (RFC 7591 section 3.2.2)."""

    error = "invalid_redirect_uri"


class InvalidClientMetadataError(OAuth2Error):
    """A metadata field of a registration has an unusable value (RFC 7591 section 3.2.2)."""

    error = "invalid_client_metadata"


class InvalidTokenError(OAuth2Error):
    """A bearer token is missing, expired, revoked or malformed (RFC 6750 section 3.1)."""

    error = "invalid_token"
    status_code = 401


class AuthorizationPendingError(OAuth2Error):
    """The person has not decided yet (RFC 8628 section 3.5)."""

    error = "authorization_pending"


class SlowDownError(OAuth2Error):
    """The device polls faster than its interval (RFC 8628 section 3.5)."""

    error = "slow_down"


class ExpiredTokenError(OAuth2Error):
    """The device code has expired (RFC 8628 section 3.5)."""

    error = "expired_token"


class ServerError(OAuth2Error):
    """Something went wrong that neither person nor client can mend (RFC 6749 section 4.1.2.1)."""

    error = "server_error"


class TooManyRequestsError(OAuth2Error):
    """A rate limit is reached; the answer carries Retry-After in seconds (RFC 6585 section 4)."""

    error = "temporarily_unavailable"
    status_code = 429

    def __init__(self, description: str, retry_after: int) -> None:
        super().__init__(description)
        self.retry_after = retry_after

    def get_headers(self) -> list[tuple[str, str]]:
        return [*super().get_headers(), ("Retry-After", str(self.retry_after))]


class TemporarilyUnavailableError(OAuth2Error):
    """Something this answer needs is away; the client may try again (RFC 6749 section 4.1.2.1)."""

    error = "temporarily_unavailable"
    status_code = 503


class StoreUnavailable(TemporarilyUnavailableError):
    """The store cannot be reached: always 503, never 'valid' and never a false 401."""

    def __init__(self) -> None:
        super().__init__("The token store cannot be reached; try again in a moment.")


class SettingsError(Exception):
    """A setting is missing or contradicts another; the message is one line that names it."""
