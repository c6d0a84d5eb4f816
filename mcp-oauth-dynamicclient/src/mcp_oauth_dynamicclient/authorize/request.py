"""An authorization request that has passed every check."""

from __future__ import annotations

from urllib.parse import urlencode

from ..errors import OAuth2Error
from ..records import Client, Record


class AuthorizationRequest(Record):
    client_id: str
    redirect_uri: str
    code_challenge: str
    resource: str | None
    """None: every server of the gateway."""
    scope: str
    state: str | None
    prompts: tuple[str, ...] = ()

    @property
    def again(self) -> str:
        """The path and query that ask for the same thing once more."""
        parameters = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self.redirect_uri,
            "code_challenge": self.code_challenge,
            "code_challenge_method": "S256",
            "scope": self.scope,
            "state": self.state,
            "resource": self.resource,
            "prompt": " ".join(self.prompts) or None,
        }
        return "/authorize?" + urlencode(
            {name: value for name, value in parameters.items() if value is not None}
        )


class UnverifiedError(Exception):
    """A fault before the redirect URI has been verified: only the person is told."""

    def __init__(self, error: OAuth2Error, client_id: str | None, client: Client | None) -> None:
        super().__init__(error.reason)
        self.error = error
        self.client_id = client_id
        self.client = client


class RedirectedError(Exception):
    """A fault that the client is told about, because its redirect URI has been verified."""

    def __init__(self, error: OAuth2Error, client: Client, redirect_uri: str, state: str | None) -> None:
        super().__init__(error.reason)
        self.error = error
        self.client = client
        self.redirect_uri = redirect_uri
        self.state = state
