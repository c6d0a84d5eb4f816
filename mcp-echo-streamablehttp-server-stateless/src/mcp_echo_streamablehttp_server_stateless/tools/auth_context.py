from typing import Literal

from pydantic import BaseModel

from ..call import Call
from ..redact import fingerprint
from ..redact import text as redacted
from ..toolbox import Arguments, Report, Tool

State = Literal["ok", "missing", "ignored", "unexpected"]


class Hop(BaseModel):
    hop: str
    state: State
    detail: str


class AuthContext(Report):
    signed_in: bool
    user_id: str | None
    user_name: str | None
    client_id: str | None
    identity_trusted: bool
    bearer: str | None
    protocol_version: str
    client: str | None
    hops: list[Hop]

    def text(self) -> str:
        if self.signed_in:
            name = f" ({self.user_name})" if self.user_name else ""
            first = (
                f"The gateway says you are {self.user_id}{name}, by client {self.client_id or '(unnamed)'}."
            )
        else:
            first = "Nobody is signed in as far as this server knows."
        return "\n".join([first, *(f"  {hop.hop}: {hop.state}. {hop.detail}" for hop in self.hops)])


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
        hops=[edge(call), gate(call), token(call)],
    )


def edge(call: Call) -> Hop:
    hop = "client to edge"
    host, scheme = call.header("x-forwarded-host"), call.header("x-forwarded-proto")
    if not (host or scheme):
        return Hop(
            hop=hop,
            state="missing",
            detail="No X-Forwarded-* header: the request came here without passing the edge.",
        )
    address = redacted(f"{scheme or 'unknown scheme'}://{host or 'unknown host'}")
    return Hop(hop=hop, state="ok", detail=f"The request passed the edge as {address}.")


def gate(call: Call) -> Hop:
    hop = "edge to authorization server"
    if call.claimed.user_id is None:
        return Hop(
            hop=hop,
            state="missing",
            detail="No X-User-Id header: the edge asked nobody who calls, or keeps the answer to itself.",
        )
    if not call.settings.trust_identity:
        return Hop(
            hop=hop,
            state="ignored",
            detail="X-User-Id is there but not believed; set MCP_TRUST_IDENTITY=true "
            "once only the gateway can reach this server.",
        )
    return Hop(hop=hop, state="ok", detail="The authorization server vouched for this request.")


def token(call: Call) -> Hop:
    hop = "token kept at the edge"
    if call.header("authorization") is None:
        return Hop(hop=hop, state="ok", detail="No Authorization header reached this server.")
    return Hop(
        hop=hop,
        state="unexpected",
        detail="An Authorization header reached this server; the gateway should have removed it.",
    )


AUTH_CONTEXT = Tool(
    "authContext",
    "Who am I",
    "Says who the gateway says is calling, and which hop of the OAuth chain did its part.",
    Arguments,
    AuthContext,
    auth_context,
)
