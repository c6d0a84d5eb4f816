from __future__ import annotations

from pydantic import Field

from ..call import Call
from ..redact import fingerprint
from ..toolbox import Arguments, Report, Tool
from .which_hop import Hop, judged


class AuthContext(Report):
    signed_in: bool = Field(
        title="Signed in", description="Whether the gateway says who is calling, and is believed."
    )
    user_id: str | None = Field(title="User", description="The signed-in user, or null.")
    user_name: str | None = Field(title="Name", description="The user's name, or null.")
    client_id: str | None = Field(title="Client", description="The OAuth client that was used, or null.")
    identity_trusted: bool = Field(
        title="Identity trusted", description="Whether identity headers are believed here."
    )
    bearer: str | None = Field(
        title="Bearer token", description="Fingerprint of a token that reached this server; null is right."
    )
    protocol_version: str = Field(title="Protocol", description="The version this request speaks.")
    client: str | None = Field(
        title="Client program", description="Name and version that the client gave, or null."
    )
    hops: list[Hop] = Field(title="Hops", description="Each hop as whichHop sees it.")

    def text(self) -> str:
        if self.signed_in:
            name = f" ({self.user_name})" if self.user_name else ""
            first = (
                f"The gateway says you are {self.user_id}{name}, by client {self.client_id or '(unnamed)'}."
            )
        else:
            first = "Nobody is signed in as far as this server knows."
        return "\n".join([first, *(hop.text() for hop in self.hops)])


async def auth_context(call: Call, arguments: Arguments) -> AuthContext:
    identity = call.identity
    return AuthContext(
        signed_in=identity.user_id is not None,
        user_id=identity.user_id,
        user_name=identity.user_name,
        client_id=identity.client_id,
        identity_trusted=call.settings.trust_identity,
        bearer=fingerprint(call.bearer) if call.bearer else None,
        protocol_version=call.protocol_version,
        client=call.client,
        hops=judged(call),
    )


AUTH_CONTEXT = Tool(
    "authContext",
    "Who am I",
    "Says who the gateway says is calling, and which hop of the OAuth chain did its part.",
    Arguments,
    AuthContext,
    auth_context,
)
