"""The authorization request and its answer (RFC 6749 §4.1, RFC 7636, RFC 8707, RFC 9207)."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from urllib.parse import urlencode

from authlib.oauth2.rfc7636 import create_s256_code_challenge

from ..errors import OAuthRefusedError, SignInError
from ..terminal import one_line
from .discovery import AuthorizationServer


@dataclass(frozen=True)
class AuthorizationRequest:
    """One attempt; the issuer is recorded with the verifier before the browser leaves."""

    server: AuthorizationServer
    client_id: str
    redirect_uri: str
    resource: str
    scope: str | None
    state: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48))

    @property
    def url(self) -> str:
        parameters = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self.redirect_uri,
            "state": self.state,
            "code_challenge": create_s256_code_challenge(self.verifier),  # type: ignore[no-untyped-call]  # Authlib
            "code_challenge_method": "S256",
            "resource": self.resource,
        }
        if self.scope:
            parameters["scope"] = self.scope
        endpoint = self.server.authorization_endpoint
        return endpoint + ("&" if "?" in endpoint else "?") + urlencode(parameters)

    def code(self, answer: dict[str, str]) -> str:
        """The code in a redirect whose state was right.

        `iss` is judged first and byte for byte (RFC 9207 §2.4); when it is wrong nothing else of
        the answer is believed or shown. Raises SignInError.
        """
        iss = answer.get("iss")
        if iss is None and self.server.sends_iss:
            raise SignInError(
                "The answer to the sign-in does not say which authorization server it is from, "
                "although that server always does; it was rejected."
            )
        if iss is not None and iss != self.server.issuer:
            raise SignInError(
                "The answer to the sign-in is from another authorization server than the one "
                "asked; it was rejected."
            )
        if "error" in answer:
            said = one_line(f"{answer['error']}: {answer.get('error_description', '')}".strip(": "))
            raise OAuthRefusedError(answer["error"], f"The sign-in was refused ({said}).")
        if not answer.get("code"):
            raise SignInError("The answer to the sign-in contains no code.")
        return answer["code"]
