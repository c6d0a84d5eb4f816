from __future__ import annotations

import time
from typing import Literal

from pydantic import BaseModel, Field

from .._common.hop import Verdict
from .._common.hop_arrival import Arrival, Stated, hops
from ..call import Call
from ..redact import text as redacted
from ..toolbox import Arguments, Report, Tool
from .bearer_decode import decode

MARKS = {"well": "✓", "warning": "!", "wrong": "✗", "unseen": "?"}


class Hop(BaseModel):
    hop: str = Field(title="Hop", description="Which part of the way from the client to this server.")
    state: Literal["well", "warning", "wrong", "unseen"] = Field(
        title="State", description="unseen: nothing that arrived tells."
    )
    what: str = Field(title="What is the case", description="One sentence.")
    rule: str = Field("", title="Rule", description="What it is measured by, with its section.")
    cure: str = Field("", title="Cure", description="What to do about it.")

    @classmethod
    def of(cls, verdict: Verdict) -> Hop:
        return cls(
            hop=verdict.hop,
            state=verdict.state,
            what=redacted(verdict.what),
            rule=verdict.rule,
            cure=verdict.cure,
        )

    def text(self) -> str:
        line = f"{MARKS[self.state]} {self.hop}: {self.what}."
        return f"{line}\n    rule: {self.rule}\n    cure: {self.cure}" if self.cure else line


class Hops(Report):
    broken: list[str] = Field(title="Broken", description="The hops that are wrong, in order.")
    hops: list[Hop] = Field(title="Hops", description="Every hop, in the order a request passes them.")

    def text(self) -> str:
        first = f"Wrong: {', '.join(self.broken)}." if self.broken else "No hop is wrong."
        return "\n".join([first, *(hop.text() for hop in self.hops)])


def judged(call: Call) -> list[Hop]:
    """The hops of a call, for every tool that speaks of them."""
    own = call.settings.public_url
    statement = call.statement
    stated = None
    if statement is not None:
        # Verified before the call got here; the statement itself keeps no issuer.
        decoded = decode(statement.text)
        stated = Stated(
            issuer=str(decoded[1].get("iss", "")) if decoded else "",
            audience=statement.audience,
            user_id=statement.user_id,
            client_id=statement.client_id,
            scope=statement.scope,
            expires_at=statement.expires_at,
        )
    arrival = Arrival(
        headers=dict(call.request.headers),
        version=call.protocol_version,
        handshake=call.handshake,
        has_session=call.session_id is not None,
        client=call.client or "",
        own=own.resource("/mcp") if own else "",
        stated=stated,
        now=time.time(),
    )
    return [Hop.of(verdict) for verdict in hops(arrival)]


async def which_hop(call: Call, arguments: Arguments) -> Hops:
    found = judged(call)
    return Hops(broken=[hop.hop for hop in found if hop.state == "wrong"], hops=found)


WHICH_HOP = Tool(
    "whichHop",
    "Which hop is broken",
    "Goes through the way of this request (client, TLS, edge, gate, token, audience, session, era) and says "
    "what is right, what is not, by which rule, and what to do. It shows no secret.",
    Arguments,
    Hops,
    which_hop,
)
