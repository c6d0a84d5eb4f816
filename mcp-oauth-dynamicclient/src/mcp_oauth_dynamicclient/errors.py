"""Every error the authorization server answers with, in one tree.

Raise them anywhere: `app.py` renders them once, as RFC 6749 section 5.2 JSON (`no-store`). The authorization
endpoint turns them into a redirect or a page, depending on how much of the request has been verified.

An error says two things: `description` to the client, one sentence that says what to do, and `detail` to the
log, what really happened. Raise it `from` its cause, and `detail` is that.
"""

from __future__ import annotations

import re
import unicodedata

from authlib.oauth2.base import OAuth2Error as AuthlibError

from ._common.settings import SettingsError as SettingsError

NOT_IN_A_DESCRIPTION = re.compile(r"[^\x20\x21\x23-\x5b\x5d-\x7e]")
"""RFC 6749 section 5.2."""
CAUSES = 4
"""Links of a chain of causes that the log is told."""


class OAuth2Error(AuthlibError):
    """The sentence may hold a name in any script. People and logs are told it but for what a screen does not
    show; the standard's `description` is plain ASCII. What a stranger chose is `quoted`, where the sentence
    has `{}`, so that what counts sentences (`kind`) has no more of them than the code has."""

    def __init__(
        self,
        sentence: str | None = None,
        *,
        quoted: str | None = None,
        detail: str | None = None,
        status_code: int | None = None,
    ) -> None:
        whole = sentence if sentence is None or quoted is None else sentence.replace("{}", quoted, 1)
        super().__init__(None if whole is None else _plain(whole), status_code=status_code)
        self.sentence = sentence
        self.quoted = quoted
        self._whole = whole
        self._detail = detail

    @property
    def reason(self) -> str:
        """What a person is told, and the log."""
        return _printable(self._whole or self.error or "")

    @property
    def kind(self) -> str:
        """The reason without what was quoted."""
        text = self.sentence or self.error or ""
        return _printable(text if self.quoted is None else text.replace("{}", "…", 1))

    @property
    def detail(self) -> str | None:
        """A line for the log alone: what the raiser said, and the causes, the nearest first."""
        told = [] if self._detail is None else [self._detail]
        cause = self.__cause__
        while cause is not None and len(told) < CAUSES:
            told.append(_said(cause))
            cause = cause.__cause__
        return _printable("; ".join(told)) or None


def _printable(text: str) -> str:
    """On one line, without what a screen does not show: a stranger's words begin no line of a log."""
    return "".join(char if char.isprintable() else "?" for char in text)


def _plain(text: str) -> str:
    """Letters without their accents, `'` for `"`, and `?` for what is left of other scripts."""
    letters = unicodedata.normalize("NFKD", text.replace('"', "'"))
    return NOT_IN_A_DESCRIPTION.sub("?", "".join(c for c in letters if not unicodedata.combining(c)))


def _said(cause: BaseException) -> str:
    name = type(cause).__name__
    if isinstance(cause, OAuth2Error):
        return f"{name}: {cause.reason}" if cause._detail is None else f"{name}: {cause._detail}"
    return f"{name}: {cause}" if str(cause) else name


class InvalidRequestError(OAuth2Error):
    """A parameter is missing, repeated or malformed (RFC 6749 section 5.2)."""

    error = "invalid_request"


class InvalidClientError(OAuth2Error):
    """The client is unknown or did not authenticate (RFC 6749 section 5.2)."""

    error = "invalid_client"


class InvalidGrantError(OAuth2Error):
    """A code, refresh token or assertion is invalid, expired, revoked or another client's (RFC 6749 5.2)."""

    error = "invalid_grant"


class UnauthorizedClientError(OAuth2Error):
    """The client may not use this grant type (RFC 6749 section 5.2)."""

    error = "unauthorized_client"


class UnsupportedGrantTypeError(OAuth2Error):
    """RFC 6749 section 5.2."""

    error = "unsupported_grant_type"


class UnsupportedResponseTypeError(OAuth2Error):
    """RFC 6749 section 4.1.2.1."""

    error = "unsupported_response_type"


class InvalidScopeError(OAuth2Error):
    """The scope is malformed, or goes beyond what was granted (RFC 6749 section 5.2)."""

    error = "invalid_scope"


class AccessDeniedError(OAuth2Error):
    """The person or the operator refused (RFC 6749 section 4.1.2.1)."""

    error = "access_denied"


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
    """Something this answer needs is away; the client may try again (RFC 6749 section 4.1.2.1) after
    `retry_after` seconds (RFC 9110 section 10.2.3)."""

    error = "temporarily_unavailable"
    status_code = 503
    retry_after = 2

    def get_headers(self) -> list[tuple[str, str]]:
        return [*super().get_headers(), ("Retry-After", str(self.retry_after))]


class StoreUnavailableError(TemporarilyUnavailableError):
    """The store cannot be used: always 503, never 'valid' and never a false 401.

    `why` goes on after "The token store": what is wrong, as far as it is known. It is told to clients, so it
    names no address and no path; those are in the cause, which only the log sees.
    """

    def __init__(self, why: str = "cannot be reached", retry_after: int = 2) -> None:
        super().__init__(f"The token store {why}; try again in a moment.")
        self.retry_after = retry_after
