"""What a login provider is: somebody else who says who a person is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from ..errors import AccessDeniedError, ServerError
from ..records import Identity


@dataclass(frozen=True, slots=True)
class UpstreamRequest:
    """What one sign-in asks of a provider; all of it stays on the server except `state`."""

    state: str
    redirect_uri: str
    verifier: str
    """PKCE towards the provider (RFC 7636)."""
    nonce: str
    prompt: str = ""
    """`login` or `select_account`, when the person must not just be waved through."""


class SignedIn(NamedTuple):
    """Who a person is, and what the provider gave for asking about them again."""

    identity: Identity
    token: str | None = None


class StillVouched(NamedTuple):
    """What a provider says about somebody who signed in before."""

    token: str
    """For asking the next time; providers may rotate it."""
    groups: tuple[str, ...] | None = None
    """None: the provider did not say."""


class LoginProvider(Protocol):
    name: str
    """`github` or `oidc`; also the last segment of the callback's path."""
    label: str
    """What a person reads on the button: `Continue with <label>`."""

    async def begin(self, request: UpstreamRequest) -> str:
        """The URL at the provider where the person signs in."""

    async def complete(self, request: UpstreamRequest, answer: Mapping[str, str]) -> SignedIn:
        """The person, from the parameters of the provider's redirect back.

        Raises AccessDeniedError when the person refused, ServerError when the provider's answer is of no use,
        TemporarilyUnavailableError when it does not answer.
        """

    async def ask_again(self, token: str, subject: str) -> StillVouched:
        """Whether it still vouches for the person. Raises AccessDeniedError when it does not; else as
        above."""


def authorization_code(label: str, answer: Mapping[str, str]) -> str:
    """The code in a provider's redirect. Raises for the errors of RFC 6749 section 4.1.2.1."""
    error = answer.get("error")
    if error == "access_denied":
        raise AccessDeniedError(f"The sign-in at {label} was refused.")
    code = answer.get("code")
    if error or not code:
        raise ServerError(f"{label} did not complete the sign-in.")
    return code
