"""What a login provider is: somebody else who says who a person is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from ..errors import AccessDeniedError, ServerError
from ..records import Identity


@dataclass(frozen=True, slots=True)
class Attempt:
    """One trip to a provider; all of it stays on the server except `state`."""

    state: str
    redirect_uri: str
    verifier: str
    """PKCE towards the provider (RFC 7636)."""
    nonce: str
    prompt: str = ""
    """`login` or `select_account`, when the person must not just be waved through."""


class LoginProvider(Protocol):
    name: str
    """`github` or `oidc`; also the last segment of the callback's path."""
    label: str
    """What a person reads on the button: `Continue with <label>`."""

    async def begin(self, attempt: Attempt) -> str:
        """The URL at the provider where the person signs in."""

    async def complete(self, attempt: Attempt, answer: Mapping[str, str]) -> Identity:
        """The person, from the parameters of the provider's redirect back.

        Raises AccessDeniedError when the person refused, ServerError when the provider's answer is of no use,
        TemporarilyUnavailableError when it does not answer.
        """


def authorization_code(label: str, answer: Mapping[str, str]) -> str:
    """The code in a provider's redirect. Raises for the errors of RFC 6749 section 4.1.2.1."""
    error = answer.get("error")
    if error == "access_denied":
        raise AccessDeniedError(f"The sign-in at {label} was refused.")
    code = answer.get("code")
    if error or not code:
        raise ServerError(f"{label} did not complete the sign-in.")
    return code
